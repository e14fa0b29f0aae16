"""GET /api/health on real stores, with each of them away or deaf."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.events import events_environment
from tests.support.load_function import HttpAnswer, http_caller
from tests.support.postgres import function_environment
from tests.support.proxy import Proxy, running_proxy
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.kafka import Broker
    from tests.support.services import ClickHouseServer, PostgresServer

pytestmark = pytest.mark.integration

STORES = ("postgresql", "clickhouse", "kafka")


@pytest.fixture
def proxies(
    postgres_server: PostgresServer, clickhouse_server: ClickHouseServer, broker: Broker
) -> Iterator[dict[str, Proxy]]:
    """A proxy in front of each store; their addresses are in the environment."""
    with (
        running_proxy(postgres_server.port) as postgresql,
        running_proxy(clickhouse_server.port) as clickhouse,
        running_proxy(broker.port) as kafka,
        function_environment(
            f"postgresql://postgres@127.0.0.1:{postgresql.port}/postgres",
            DB_CONNECT_TIMEOUT_SECONDS="1",
        ),
        events_environment(
            CLICKHOUSE_URL=f"http://default@127.0.0.1:{clickhouse.port}/default",
            KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{kafka.port}",
        ),
    ):
        yield {"postgresql": postgresql, "clickhouse": clickhouse, "kafka": kafka}


@pytest.fixture
def call(proxies: dict[str, Proxy]) -> Callable[..., HttpAnswer]:
    return http_caller("check_health")


def states(*unhealthy: str) -> dict[str, str]:
    return {store: "unhealthy" if store in unhealthy else "healthy" for store in STORES}


def asked_within(seconds: float, call: Callable[..., HttpAnswer]) -> HttpAnswer:
    started = time.monotonic()
    answer = call("GET", "/api/health")
    assert time.monotonic() - started < seconds
    return answer


def test_with_all_stores_it_is_healthy(call: Callable[..., HttpAnswer]) -> None:
    for _ in range(3):
        answer = call("GET", "/api/health")
        assert (answer.status, answer.json["status"]) == (200, "healthy")
        assert answer.json["services"] == states()
        assert answer.json["timestamp"].endswith("Z")
        assert list(answer.json) == ["status", "timestamp", "services"]


@pytest.mark.parametrize(
    ("store", "status", "code"),
    [("postgresql", "unhealthy", 503), ("clickhouse", "degraded", 200), ("kafka", "degraded", 200)],
)
def test_a_store_that_stops_is_told_and_so_is_its_return(
    call: Callable[..., HttpAnswer], proxies: dict[str, Proxy], store: str, status: str, code: int
) -> None:
    call("GET", "/api/health")
    proxies[store].stop()
    answer = asked_within(2, call)
    assert (answer.status, answer.json["status"]) == (code, status)
    assert answer.json["services"] == states(store)
    assert answer.headers["content-type"] == "application/json"
    proxies[store].start()
    wait_until(lambda: call("GET", "/api/health").json["status"] == "healthy", 10, "it is back")


@pytest.mark.parametrize("store", STORES)
def test_a_deaf_store_costs_a_second_until_it_hears_again(
    call: Callable[..., HttpAnswer], proxies: dict[str, Proxy], store: str
) -> None:
    call("GET", "/api/health")
    proxies[store].deafen()
    for _ in range(3):
        assert asked_within(1.8, call).json["services"] == states(store)
    proxies[store].hear()
    wait_until(lambda: call("GET", "/api/health").json["status"] == "healthy", 15, "it hears again")


def test_with_everything_away_the_answer_comes_in_little_more_than_a_second(
    call: Callable[..., HttpAnswer], proxies: dict[str, Proxy]
) -> None:
    call("GET", "/api/health")
    for proxy in proxies.values():
        proxy.deafen()
    answer = asked_within(1.8, call)
    assert (answer.status, answer.json["services"]) == (503, states(*STORES))


def test_asking_creates_no_topic(call: Callable[..., HttpAnswer], broker: Broker) -> None:
    call("GET", "/api/health")
    assert broker.topics() == set()
