"""Bet events for tests, the Kafka event that carries them, and stores to put them in."""

from __future__ import annotations

import base64
import gc
import json
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import clickhouse_connect
import pytest
from kafka import KafkaConsumer, TopicPartition

from shared import clickhouse, kafka, settings
from shared.betting import health, metrics
from shared.migrations.clickhouse_schema import migrate_clickhouse
from tests.support.kafka import Broker, running_kafka

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clickhouse_connect.driver.client import Client

    from tests.support.services import ClickHouseServer

MOMENT = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
CONSUME_TIMEOUT_S = 10


def bet_event(**changes: Any) -> dict[str, Any]:
    """A `bet.placed` event as it stands in the topic, with `changes` made to it."""
    return {
        "eventId": str(uuid4()),
        "eventType": "bet.placed",
        "version": 1,
        "occurredAt": MOMENT.isoformat(),
        "betId": str(uuid4()),
        "userId": str(uuid4()),
        "gameId": str(uuid4()),
        "amount": "10.50",
        "betType": "win",
        "betValue": "Lakers",
        "odds": "2.10",
        "potentialWin": "22.05",
        "transactionId": str(uuid4()),
        "newBalance": "989.50",
        **changes,
    }


def bet_events(count: int, *, start: datetime = MOMENT, step_ms: int = 1) -> list[dict[str, Any]]:
    """`count` events, `step_ms` apart."""
    return [
        bet_event(occurredAt=(start + timedelta(milliseconds=step_ms * number)).isoformat())
        for number in range(count)
    ]


def kafka_record(
    value: object,
    *,
    partition: int = 0,
    offset: int = 0,
    key: bytes | None = b"user",
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """One record of a Kafka event: bytes as they are, None for a tombstone, else as JSON.

    https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html
    """
    record: dict[str, Any] = {
        "topic": "bet-events",
        "partition": partition,
        "offset": offset,
        "timestamp": 1_795_523_400_000,
        "timestampType": "CREATE_TIME",
        "headers": [{name: list(text.encode())} for name, text in (headers or {}).items()],
    }
    if key is not None:
        record["key"] = base64.b64encode(key).decode()
    if value is not None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        record["value"] = base64.b64encode(data).decode()
    return record


def kafka_event(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The event that carries these records, grouped by topic and partition."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault(f"{record['topic']}-{record['partition']}", []).append(record)
    return {
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": "127.0.0.1:9092",
        "records": groups,
    }


def event_of(values: Iterable[object], *, partition: int = 0) -> dict[str, Any]:
    """A Kafka event with one record a value, at offsets from 0."""
    return kafka_event(
        kafka_record(value, partition=partition, offset=offset)
        for offset, value in enumerate(values)
    )


@contextmanager
def events_environment(**variables: str) -> Iterator[None]:
    """The environment of a function on the events' side, with nothing left of an earlier one."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        close_events_clients()
        try:
            yield
        finally:
            close_events_clients()


def close_events_clients() -> None:
    """Let go of every client that the environment's functions made."""
    kafka.close()
    clickhouse.close()
    health.close()
    metrics.close()
    settings.forget_settings()
    with warnings.catch_warnings():
        # kafka-python leaves sockets of refused connections to the garbage collector. Collect them
        # here, not in the middle of another test.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def consume(broker: Broker, topic: str, count: int) -> list[Any]:
    """The first `count` records of a topic, over all partitions; fails when they do not come."""
    consumer = KafkaConsumer(
        bootstrap_servers=broker.bootstrap_servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    try:
        partitions = 3 if topic == "bet-events" else 1
        consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
        records: list[Any] = []
        deadline = datetime.now(UTC) + timedelta(seconds=CONSUME_TIMEOUT_S)
        while len(records) < count and datetime.now(UTC) < deadline:
            for polled in consumer.poll(timeout_ms=200).values():
                records += polled
    finally:
        consumer.close()
    assert len(records) == count, f"{len(records)} of {count} records came"
    return records


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka is given up after a second or two, so that outages do not cost the tests minutes."""
    for name, seconds in {
        "CONNECT_TIMEOUT_S": 1.0,
        "METADATA_TIMEOUT_S": 1.0,
        "LINGER_S": 0.5,
        "REQUEST_TIMEOUT_S": 1.0,
        "DELIVERY_TIMEOUT_S": 1.5,
    }.items():
        monkeypatch.setattr(kafka, name, seconds)


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A broker of this test's own, without topics; its address is in the environment."""
    with (
        running_kafka() as made,
        events_environment(KAFKA_BOOTSTRAP_SERVERS=made.bootstrap_servers),
    ):
        yield made


@pytest.fixture
def topics(broker: Broker) -> Broker:
    """The broker, with the platform's topics."""
    kafka.ensure_topics()
    return broker


@pytest.fixture
def analytics(clickhouse_server: ClickHouseServer) -> Iterator[Client]:
    """A client of this test's own database, migrated; its address is in the environment."""
    name = f"test_{uuid4().hex}"
    admin = clickhouse_connect.get_client(dsn=clickhouse_server.url, dedicated_pool=True)
    admin.command(f"CREATE DATABASE {name}")
    url = clickhouse_server.url.removesuffix("/default") + f"/{name}"
    client = clickhouse_connect.get_client(dsn=url, dedicated_pool=True)
    try:
        with events_environment(CLICKHOUSE_URL=url):
            migrate_clickhouse()
            yield client
    finally:
        client.close()
        admin.command(f"DROP DATABASE {name}")
        admin.close()
