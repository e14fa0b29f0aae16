"""RelayOutbox on real stores: every row reaches Kafka, in order, and none is lost."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

from shared import kafka, outbox, settings
from shared.betting import relay_outbox as relay
from shared.errors import KafkaUnavailable, PostgresUnavailable
from shared.postgres import connection
from tests.fakes.broker import FakeBroker
from tests.support.aws_events import FakeContext
from tests.support.events import bet_event, consume, events_environment
from tests.support.load_function import load_function
from tests.support.ports import free_port
from tests.support.postgres import function_environment
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kafka import Broker
    from tests.support.postgres import BettingDatabase

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("impatient"),
    # kafka-python leaves sockets of refused connections to the garbage collector.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


@pytest.fixture(autouse=True)
def empty(database: BettingDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RELAY_RUN_SECONDS", "0")
    settings.forget_settings()
    database.query("DELETE FROM outbox")
    yield
    database.query("DELETE FROM outbox")


def add(
    database: BettingDatabase, count: int, *, key: str | None = None, filler: int = 0
) -> list[str]:
    """Rows as a bet writes them; returns their event ids in order."""
    rows = []
    for _ in range(count):
        event = bet_event(betValue="x" * filler)
        headers = json.dumps({"content-type": "application/json", "request-id": "request-7"})
        rows.append((key or event["userId"], headers, json.dumps(event), event["eventId"]))
    with psycopg.connect(database.url) as conn, conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO outbox (topic, key, headers, payload) VALUES ('bet-events', %s, %s, %s)",
            [row[:3] for row in rows],
        )
    return [row[3] for row in rows]


def waiting(database: BettingDatabase) -> int:
    found: int = database.value("SELECT count(*) FROM outbox")
    return found


def run(remaining_ms: int = 60_000) -> dict[str, Any]:
    handler = load_function("relay_outbox").handler
    report: dict[str, Any] = handler({}, FakeContext(remaining_ms=remaining_ms))
    return report


def create_topics(broker: Broker) -> None:
    """Make the topics as the stack does, without the client that the relay is using."""
    broker.create_topic("bet-events", 3)
    broker.create_topic("bet-events.dead-letter", 1)


def event_ids(records: list[Any]) -> list[str]:
    return [json.loads(record.value)["eventId"] for record in records]


def test_rows_leave_with_their_headers_and_are_gone(
    database: BettingDatabase, topics: Broker
) -> None:
    (event_id,) = add(database, 1, key="user-1")
    assert run() == {"relayed": 1, "batches": 1, "busy": False}
    assert waiting(database) == 0
    (record,) = consume(topics, "bet-events", 1)
    assert record.key == b"user-1"
    assert event_ids([record]) == [event_id]
    assert dict(record.headers) == {
        "content-type": b"application/json",
        "request-id": b"request-7",
        "event-id": event_id.encode(),
    }


def test_a_backlog_of_several_batches_is_drained_in_order_per_key(
    database: BettingDatabase, topics: Broker
) -> None:
    key = str(uuid4())
    own: list[str] = []
    for _ in range(5):
        own += add(database, 100, key=key)
        add(database, 400)
    report = run()
    assert report["relayed"] == 2_500
    assert report["batches"] == 3
    assert waiting(database) == 0
    records = consume(topics, "bet-events", 2_500)
    assert event_ids([record for record in records if record.key == key.encode()]) == own


def test_rows_that_fit_into_no_single_publish_leave_in_several(
    database: BettingDatabase, topics: Broker
) -> None:
    ids = add(database, 10, key="one", filler=200_000)
    assert run() == {"relayed": 10, "batches": 3, "busy": False}
    assert event_ids(consume(topics, "bet-events", 10)) == ids


def test_without_rows_nobody_asks_kafka(database: BettingDatabase) -> None:
    with events_environment(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}"):
        assert run() == {"relayed": 0, "batches": 0, "busy": False}


def test_while_another_relay_runs_this_one_leaves_at_once(
    database: BettingDatabase, topics: Broker
) -> None:
    add(database, 1)
    with psycopg.connect(database.url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [outbox.RELAY_LOCK])
        assert run() == {"relayed": 0, "batches": 0, "busy": True}
    wait_until(lambda: run()["relayed"] == 1, 10, "the lock goes with its connection")


def test_the_lock_is_free_again_after_a_run_that_failed(
    database: BettingDatabase, broker: Broker
) -> None:
    add(database, 1)
    with pytest.raises(KafkaUnavailable):
        run()
    with psycopg.connect(database.url, autocommit=True) as other:
        row = other.execute("SELECT pg_try_advisory_lock(%s)", [outbox.RELAY_LOCK]).fetchone()
        assert row == (True,)


def test_with_the_broker_away_rows_stay_and_leave_when_it_is_back(
    database: BettingDatabase, topics: Broker
) -> None:
    ids = add(database, 3, key="one")
    topics.stop()
    with pytest.raises(KafkaUnavailable):
        run()
    assert waiting(database) == 3
    topics.start()
    kafka.ensure_topics()
    assert run()["relayed"] == 3
    assert event_ids(consume(topics, "bet-events", 3)) == ids


def test_only_what_was_acknowledged_is_deleted(
    database: BettingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = add(database, 5)
    fake = FakeBroker(acknowledges=2)
    monkeypatch.setattr(kafka, "publish", fake.publish)
    with pytest.raises(KafkaUnavailable):
        run()
    assert len(fake.calls) == 1, "nothing goes out behind what failed"
    with connection() as conn:
        left = [json.loads(row.payload)["eventId"] for row in outbox.claim(conn, 10)]
    assert left == ids[2:]


def test_a_full_batch_is_followed_by_another_and_a_smaller_one_is_the_last(
    database: BettingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeBroker()
    monkeypatch.setattr(kafka, "publish", fake.publish)
    monkeypatch.setattr(relay, "BATCH_ROWS_MAX", 3)
    for rows, calls in ((2, [2]), (3, [3]), (4, [3, 1]), (7, [3, 3, 1])):
        fake.calls.clear()
        add(database, rows)
        assert run()["relayed"] == rows
        assert [len(call) for call in fake.calls] == calls


def test_near_the_end_of_its_time_a_run_stops_after_one_batch(
    database: BettingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "publish", FakeBroker().publish)
    monkeypatch.setattr(relay, "BATCH_ROWS_MAX", 2)
    add(database, 6)
    assert run(remaining_ms=5_000)["relayed"] == 2
    assert waiting(database) == 4


def test_a_run_with_time_to_spare_keeps_looking_and_outlives_an_outage(
    database: BettingDatabase, topics: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_RUN_SECONDS", "4")
    settings.forget_settings()
    monkeypatch.setattr(relay, "RETRY_INTERVAL_S", 0.1)
    reports: list[dict[str, Any]] = []
    running = threading.Thread(target=lambda: reports.append(run()))
    running.start()
    try:
        add(database, 1)
        wait_until(lambda: waiting(database) == 0, 5, "a row that came later is relayed")
        topics.stop()
        add(database, 2)
        topics.start()
        create_topics(topics)
        wait_until(lambda: waiting(database) == 0, 5, "rows of the outage are relayed")
    finally:
        running.join(20)
    assert [report["relayed"] for report in reports] == [3]


def test_without_the_database_there_is_an_error() -> None:
    url = f"postgresql://postgres@127.0.0.1:{free_port()}/postgres"
    with (
        function_environment(url, DB_CONNECT_TIMEOUT_SECONDS="1"),
        pytest.raises(PostgresUnavailable),
    ):
        run()
