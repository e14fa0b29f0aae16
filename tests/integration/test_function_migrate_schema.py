"""MigrateSchema on empty stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import clickhouse_connect
import pytest

from shared.errors import ClickHouseUnavailable, KafkaUnavailable, PostgresUnavailable
from tests.support.aws_events import FakeContext
from tests.support.events import events_environment
from tests.support.load_function import load_function
from tests.support.ports import free_port
from tests.support.postgres import BettingDatabase, function_environment, new_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kafka import Broker
    from tests.support.services import ClickHouseServer, PostgresServer

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("impatient"),
    # kafka-python leaves sockets of refused connections to the garbage collector.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


@pytest.fixture
def empty_stores(
    postgres_server: PostgresServer, clickhouse_server: ClickHouseServer, broker: Broker
) -> Iterator[BettingDatabase]:
    """An empty database, an empty ClickHouse database and a broker without topics."""
    name = f"test_{uuid4().hex}"
    admin = clickhouse_connect.get_client(dsn=clickhouse_server.url, dedicated_pool=True)
    admin.command(f"CREATE DATABASE {name}")
    url = clickhouse_server.url.removesuffix("/default") + f"/{name}"
    try:
        with (
            new_database(postgres_server, "template0") as database,
            function_environment(database.url),
            events_environment(CLICKHOUSE_URL=url),
        ):
            yield database
    finally:
        admin.command(f"DROP DATABASE {name}")
        admin.close()


def invoke(event: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = load_function("migrate_schema").handler(event, FakeContext())
    return answer


def test_everything_is_made_and_the_demo_data_loaded(
    empty_stores: BettingDatabase, broker: Broker
) -> None:
    report = invoke({"demoData": True})
    assert len(report["postgres"]) >= 4
    assert report["clickhouse"] == ["0001.bet-events", "0002.bets-hourly", "0003.bets-daily"]
    assert report["topics"] == ["bet-events", "bet-events.dead-letter"]
    assert report["demoData"] == {"users": 1_005, "games": 5}
    assert broker.topics() == {"bet-events", "bet-events.dead-letter"}
    assert empty_stores.audit() == []


def test_repeating_it_does_nothing(empty_stores: BettingDatabase) -> None:
    invoke({"demoData": True})
    before = empty_stores.rows_in_all_tables()
    report = invoke({"demoData": True})
    assert (report["postgres"], report["clickhouse"], report["topics"]) == ([], [], [])
    assert empty_stores.rows_in_all_tables() == before


@pytest.mark.parametrize("event", [{}, {"demoData": False}, {"demoData": None}])
def test_without_being_asked_it_loads_no_demo_data(
    empty_stores: BettingDatabase, event: dict[str, Any]
) -> None:
    assert invoke(event)["demoData"] is None
    assert empty_stores.value("SELECT count(*) FROM users") == 0


@pytest.mark.parametrize(
    ("variable", "address", "error"),
    [
        ("DATABASE_URL", "postgresql://postgres@127.0.0.1:{}/postgres", PostgresUnavailable),
        ("CLICKHOUSE_URL", "http://default@127.0.0.1:{}/default", ClickHouseUnavailable),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:{}", KafkaUnavailable),
    ],
)
def test_a_store_that_is_away_is_an_error_and_a_later_run_goes_on(
    empty_stores: BettingDatabase, variable: str, address: str, error: type[Exception]
) -> None:
    with events_environment(**{variable: address.format(free_port())}), pytest.raises(error):
        invoke({})
    assert invoke({})["demoData"] is None
