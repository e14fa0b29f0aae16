"""Publishing on a real broker: acknowledged or refused, and never into a topic that is not right."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from kafka.partitioner.default import murmur2

from shared import kafka
from shared.errors import KafkaUnavailable
from shared.kafka import Record
from tests.support.events import consume, events_environment
from tests.support.ports import free_port
from tests.support.proxy import running_proxy

if TYPE_CHECKING:
    from tests.support.kafka import Broker

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("impatient"),
    # kafka-python leaves sockets of refused connections to the garbage collector.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


def records(count: int, key: bytes = b"user") -> list[Record]:
    return [Record("bet-events", key, b"%d" % number, []) for number in range(count)]


def test_records_arrive_in_order_with_key_headers_and_value(topics: Broker) -> None:
    sent = [
        Record("bet-events", b"a", b"1", [("content-type", b"application/json"), ("x", b"")]),
        Record("bet-events", b"a", b"2", []),
    ]
    assert kafka.publish(sent) == kafka.Published([0, 1], None)
    first, second = consume(topics, "bet-events", 2)
    assert (first.key, first.value) == (b"a", b"1")
    assert list(first.headers) == [("content-type", b"application/json"), ("x", b"")]
    assert (first.partition, first.offset + 1) == (second.partition, second.offset)


def test_keys_choose_partitions_as_every_other_client_does(topics: Broker) -> None:
    # Of kafka-python's and Java's default partitioner: murmur2(key) & 0x7fffffff % 3.
    keys = [b"a", b"b", b"c", b"31c13867-275d-4890-a097-5945199642e4"]
    kafka.publish([Record("bet-events", key, key, []) for key in keys])
    for record in consume(topics, "bet-events", len(keys)):
        assert record.partition == (murmur2(record.key) & 0x7FFFFFFF) % 3


def test_nothing_to_publish_asks_nobody() -> None:
    with events_environment(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}"):
        assert kafka.publish([]) == kafka.Published([], None)


def test_a_broker_that_is_away_is_unavailable_within_seconds() -> None:
    with events_environment(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}"):
        started = time.monotonic()
        with pytest.raises(KafkaUnavailable):
            kafka.publish(records(1))
        assert time.monotonic() - started < kafka.CONNECT_TIMEOUT_S + 1


def test_a_missing_topic_is_refused_and_not_created(broker: Broker) -> None:
    with pytest.raises(KafkaUnavailable, match="bet-events does not exist"):
        kafka.publish(records(1))
    assert broker.topics() == set()


def test_a_topic_with_another_number_of_partitions_is_refused(broker: Broker) -> None:
    broker.create_topic("bet-events", 4)
    broker.create_topic("bet-events.dead-letter", 1)
    with pytest.raises(KafkaUnavailable, match="4 partitions instead of 3"):
        kafka.publish(records(1))
    with pytest.raises(KafkaUnavailable, match="4 partitions instead of 3"):
        kafka.ensure_topics()


def test_a_broker_that_lost_its_topics_gets_nothing_until_they_are_back(topics: Broker) -> None:
    assert kafka.publish(records(1)).error is None
    topics.stop()
    topics.start()
    with pytest.raises(KafkaUnavailable, match="does not exist"):
        kafka.publish(records(2))
    assert topics.topics() == set()
    assert kafka.ensure_topics() == ["bet-events", "bet-events.dead-letter"]
    started = time.monotonic()
    assert kafka.publish(records(2)) == kafka.Published([0, 1], None)
    assert time.monotonic() - started < 2
    assert [record.value for record in consume(topics, "bet-events", 2)] == [b"0", b"1"]


def test_a_broker_that_falls_silent_acknowledges_nothing_and_the_call_ends(topics: Broker) -> None:
    with running_proxy(topics.port) as proxy:
        # The broker names its own port to clients, so only the first connection is the proxy's:
        # deafen it before the first call.
        proxy.deafen()
        with events_environment(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{proxy.port}"):
            started = time.monotonic()
            with pytest.raises(KafkaUnavailable):
                kafka.publish(records(1))
            assert time.monotonic() - started < kafka.CONNECT_TIMEOUT_S + 2


def test_a_broker_that_dies_while_records_wait_fails_them_all(
    topics: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.publish(records(1))
    producer = kafka._connection().producer
    send = producer.send

    def send_then_die(*args: object, **options: object) -> object:
        topics.stop()
        return send(*args, **options)

    monkeypatch.setattr(producer, "send", send_then_die)
    started = time.monotonic()
    published = kafka.publish(records(2))
    assert published.acknowledged == []
    assert isinstance(published.error, KafkaUnavailable)
    assert time.monotonic() - started < kafka.DELIVERY_TIMEOUT_S + 2


def test_topics_are_made_once(broker: Broker) -> None:
    assert kafka.ensure_topics() == ["bet-events", "bet-events.dead-letter"]
    assert kafka.ensure_topics() == []
    assert broker.topics() == {"bet-events", "bet-events.dead-letter"}


def test_knocking_tells_whether_a_broker_serves(broker: Broker) -> None:
    knocker = kafka.Knocker()
    try:
        knocker.knock(1)
        broker.stop()
        with pytest.raises(KafkaUnavailable):
            knocker.knock(1)
        broker.start()
        knocker.knock(1)
        broker.stop()
        broker.start()
        knocker.knock(1)
    finally:
        knocker.close()
    assert broker.topics() == set()


def test_a_deaf_broker_is_given_up_in_time(broker: Broker) -> None:
    with (
        running_proxy(broker.port) as proxy,
        events_environment(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{proxy.port}"),
    ):
        knocker = kafka.Knocker()
        try:
            knocker.knock(1)
            proxy.deafen()
            started = time.monotonic()
            with pytest.raises(KafkaUnavailable):
                knocker.knock(0.2)
            assert time.monotonic() - started < 1
            proxy.hear()
            knocker.knock(1)
        finally:
            knocker.close()
