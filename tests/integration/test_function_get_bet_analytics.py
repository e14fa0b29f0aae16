"""GET /api/analytics/bets on a real ClickHouse."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from shared import clock
from shared.errors import ClickHouseUnavailable
from tests.support.aws_events import FakeContext
from tests.support.clock import FakeClock
from tests.support.events import MOMENT, bet_event, event_of, events_environment
from tests.support.load_function import HttpAnswer, http_caller, load_function
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from clickhouse_connect.driver.client import Client

pytestmark = pytest.mark.integration
PATH = "/api/analytics/bets"


@pytest.fixture
def call(analytics: Client) -> Callable[..., HttpAnswer]:
    """The function, after four bets in three hours of two days."""
    events = [
        bet_event(amount="10.00"),
        bet_event(amount="0.01"),
        bet_event(amount="5.25", occurredAt=(MOMENT + timedelta(hours=1)).isoformat()),
        bet_event(amount="99999.99", occurredAt=(MOMENT - timedelta(days=1)).isoformat()),
    ]
    load_function("sink_bet_events").handler(event_of(events), FakeContext(remaining_ms=30_000))
    return http_caller("get_bet_analytics")


def test_hours_are_told_oldest_first_with_exact_sums(call: Callable[..., HttpAnswer]) -> None:
    query = {"groupBy": "hour", "startDate": "2026-11-23", "endDate": "2026-11-24"}
    answer = call("GET", PATH, query=query)
    assert answer.status == 200
    assert answer.json == {
        "analytics": [
            {
                "period": "2026-11-23T12:00:00Z",
                "betCount": 1,
                "totalAmount": Decimal("99999.99"),
                "avgAmount": Decimal("99999.99"),
            },
            {
                "period": "2026-11-24T12:00:00Z",
                "betCount": 2,
                "totalAmount": Decimal("10.01"),
                "avgAmount": Decimal("5.01"),
            },
            {
                "period": "2026-11-24T13:00:00Z",
                "betCount": 1,
                "totalAmount": Decimal("5.25"),
                "avgAmount": Decimal("5.25"),
            },
        ],
        "groupBy": "hour",
        "period": {"startDate": "2026-11-23", "endDate": "2026-11-24"},
    }
    assert '"totalAmount":99999.99,' in answer.text


def test_days_are_told_by_their_date(call: Callable[..., HttpAnswer]) -> None:
    query = {"groupBy": "day", "startDate": "2026-11-01", "endDate": "2026-11-30T00:00:00Z"}
    answer = call("GET", PATH, query=query).json
    told = [(row["period"], row["betCount"], row["totalAmount"]) for row in answer["analytics"]]
    assert told == [("2026-11-23", 1, Decimal("99999.99")), ("2026-11-24", 3, Decimal("15.26"))]
    assert answer["period"] == {"startDate": "2026-11-01", "endDate": "2026-11-30T00:00:00Z"}


def test_a_span_leaves_out_what_lies_outside(call: Callable[..., HttpAnswer]) -> None:
    query = {"startDate": "2026-11-24T13:00:00+01:00", "endDate": "2026-11-24T12:59:59Z"}
    rows = call("GET", PATH, query=query).json["analytics"]
    assert [row["period"] for row in rows] == ["2026-11-24T12:00:00Z"]


def test_without_parameters_it_is_the_last_seven_days_by_hour(
    call: Callable[..., HttpAnswer],
) -> None:
    with clock.use(FakeClock(wall=(MOMENT + timedelta(days=6)).timestamp())):
        answer = call("GET", PATH).json
    assert answer["groupBy"] == "hour"
    assert answer["period"] == {"startDate": "2026-11-24", "endDate": "2026-11-30"}
    assert len(answer["analytics"]) == 2


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"groupBy": "minute"}, "/groupBy"),
        ({"groupBy": ""}, "/groupBy"),
        ({"startDate": "yesterday"}, "/startDate"),
        ({"endDate": "'; DROP TABLE bet_events; --"}, "/endDate"),
        ({"startDate": "2026-11-25", "endDate": "2026-11-24"}, "/startDate"),
        ({"startDate": "2020-01-01", "endDate": "2026-11-24"}, "/startDate"),
    ],
)
def test_what_makes_no_sense_is_refused(
    call: Callable[..., HttpAnswer], query: dict[str, Any], pointer: str
) -> None:
    answer = call("GET", PATH, query=query)
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [fault["pointer"] for fault in answer.json["errors"]] == [pointer]


def test_without_clickhouse_it_is_unavailable() -> None:
    url = f"http://default@127.0.0.1:{free_port()}/default"
    with events_environment(CLICKHOUSE_URL=url):
        answer = http_caller("get_bet_analytics")("GET", PATH)
    assert answer.status == 503
    assert answer.json["code"] == ClickHouseUnavailable.code
    assert answer.headers["retry-after"] == "1"


def test_before_tables_are_made_it_is_unavailable(analytics: Client) -> None:
    analytics.command("DROP TABLE bets_hourly")
    assert http_caller("get_bet_analytics")("GET", PATH).status == 503
