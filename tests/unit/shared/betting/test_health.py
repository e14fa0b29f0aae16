"""How the platform is, from how its stores are."""

from __future__ import annotations

from itertools import product

import pytest

from shared.betting.health import Services, _status

STATES = ("healthy", "unhealthy")


@pytest.mark.parametrize(("clickhouse", "kafka"), list(product(STATES, STATES)))
def test_without_postgresql_nothing_is_well(clickhouse: str, kafka: str) -> None:
    services = {"postgresql": "unhealthy", "clickhouse": clickhouse, "kafka": kafka}
    assert _status(Services.model_validate(services)) == "unhealthy"


@pytest.mark.parametrize(
    ("clickhouse", "kafka", "status"),
    [
        ("healthy", "healthy", "healthy"),
        ("unhealthy", "healthy", "degraded"),
        ("healthy", "unhealthy", "degraded"),
        ("unhealthy", "unhealthy", "degraded"),
    ],
)
def test_without_kafka_or_clickhouse_bets_are_still_taken(
    clickhouse: str, kafka: str, status: str
) -> None:
    services = {"postgresql": "healthy", "clickhouse": clickhouse, "kafka": kafka}
    assert _status(Services.model_validate(services)) == status
