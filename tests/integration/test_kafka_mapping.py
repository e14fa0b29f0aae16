"""A Kafka mapping with all its settings, against a real broker."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aws_lambda_powertools.utilities.data_classes import KafkaEvent
from kafka import KafkaConsumer

from local_stack.errors import RuntimeFailed
from local_stack.kafka_writer import RecordTooLarge, TopicWriter
from local_stack.model import Destination
from local_stack.telemetry.source_metrics import EventSourceMetrics
from local_stack.triggers.client import InvokeFailed
from local_stack.triggers.kafka.mapping import KafkaMapping
from tests.support.kafka import running_kafka
from tests.support.kafka_source import (
    PARTITIONS,
    Function,
    Place,
    Topic,
    eventually,
    failures,
    places_of,
    polling,
    run,
    sockets_collected,
)
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kafka import Broker

pytestmark = [
    pytest.mark.integration,
    # kafka-python leaves sockets of refused connections to the garbage collector, whenever it runs.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]
CLUSTER = "arn:aws:kafka:us-east-1:000000000000:cluster/c/1"


@pytest.fixture(autouse=True)
def quick(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with sockets_collected(caplog):
        yield


@pytest.fixture
def dead(kafka_server: Broker) -> str:
    """A topic for what is given up."""
    name = f"dead-{uuid4().hex[:8]}"
    kafka_server.create_topic(name, 1)
    return name


def _read(broker: Broker, topic: str, count: int) -> list[Any]:
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap_servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=10_000,
    )
    try:
        return [next(consumer) for _ in range(count)]
    finally:
        consumer.close()


def _fails_for(*poison: Place) -> Any:
    def behave(places: list[Place]) -> bytes:
        if set(places) & set(poison):
            raise InvokeFailed("ValueError: poison", function_error=True, request_id="the-request")
        return b"null"

    return behave


# --- what is given up ------------------------------------------------------------------------


def test_bisecting_finds_the_poison_and_buries_it_alone(kafka_server: Broker, dead: str) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, *(b"%d" % n for n in range(9)), key=b"user-7")

    async def test(function: Function) -> None:
        function.behave = _fails_for((0, 5))
        source = topic.source(
            bisect_on_error=True, retries_max=1, on_failure=Destination("kafka", dead)
        )
        async with polling(source, function):
            await eventually(lambda: (0, 8) in function.done, "what comes after is done")
            topic.produce(0, b"later")
            await eventually(lambda: (0, 9) in function.done, "and what comes later")
        assert function.done == places_of(0, [0, 1, 2, 3, 4, 6, 7, 8, 9]), "once each, in order"
        assert function.seen().count((0, 5)) >= 2

        again = Function()
        topic.produce(0, b"last")
        async with polling(source, again):
            await eventually(lambda: again.done, "a restart goes on after what was buried")
        assert again.seen() == places_of(0, [10])

    run(test)
    [record] = _read(kafka_server, dead, 1)
    message = json.loads(record.value)
    assert record.key == b"user-7"
    assert message["requestContext"]["condition"] == "RetriesExhausted"
    assert message["requestContext"]["requestId"] == "the-request"
    [buried] = KafkaEvent(message["payload"]).records
    assert (buried.partition, buried.offset, buried.decoded_value) == (0, 5, b"5")


def test_without_a_destination_what_is_given_up_is_skipped(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"poison")
    metrics = EventSourceMetrics()

    async def test(function: Function) -> None:
        function.behave = _fails_for((0, 0))
        mapping = KafkaMapping(topic.source(retries_max=2), function, metrics)
        mapping.start()
        await eventually(lambda: len(function.batches) == 3, "it is tried, and tried again twice")
        topic.produce(0, b"after")
        await eventually(lambda: (0, 1) in function.done, "the next one is done")
        await mapping.stop()
        assert function.seen().count((0, 0)) == 3

    run(test)
    count = metrics.registry.get_sample_value
    assert count("kafka_source_dropped_total", {"source": "Source"}) == 1
    assert count("kafka_source_retries_total", {"source": "Source"}) == 2


def test_reported_failures_are_given_up_from_the_lowest_on(kafka_server: Broker, dead: str) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, *(b"%d" % n for n in range(4)))

    async def test(function: Function) -> None:
        function.behave = lambda places: failures(topic, [p for p in places if p[1] == 2])
        source = topic.source(
            report_batch_item_failures=True,
            retries_max=1,
            on_failure=Destination("kafka", dead),
        )
        async with polling(source, function):
            await eventually(lambda: len(function.batches) >= 2, "it is tried again")
            topic.produce(0, b"later")
            await eventually(lambda: (0, 4) in function.seen(), "the partition goes on")
        assert function.seen() == places_of(0, [0, 1, 2, 3, 2, 3, 4])

    run(test)
    letters = [json.loads(record.value) for record in _read(kafka_server, dead, 2)]
    assert [m["KafkaBatchInfo"]["recordInfo"]["offset"] for m in letters] == ["2", "3"]


def test_a_record_too_large_for_lambda_does_not_block_its_partition(
    kafka_server: Broker, dead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local_stack.triggers.kafka.delivery.EVENT_BYTES_MAX", 5000)
    topic = Topic(kafka_server)
    topic.produce(0, b"small", b"x" * 6000, b"after")

    async def test(function: Function) -> None:
        async with polling(topic.source(on_failure=Destination("kafka", dead)), function):
            await eventually(lambda: (0, 2) in function.done, "what comes after is done")
        assert function.done == places_of(0, [0, 2])

    run(test)
    [record] = _read(kafka_server, dead, 1)
    message = json.loads(record.value)
    assert message["requestContext"]["condition"] == "MaximumPayloadSizeExceeded"
    assert message["responseContext"] is None


def test_records_past_their_age_are_not_handed_over(kafka_server: Broker, dead: str) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"old", timestamp_ms=1_545_084_650_987)
    topic.produce(0, b"young")

    async def test(function: Function) -> None:
        source = topic.source(record_age_s_max=60, on_failure=Destination("kafka", dead))
        async with polling(source, function):
            await eventually(lambda: function.done, "the young one is done")
        assert function.seen() == places_of(0, [1])

    run(test)
    [record] = _read(kafka_server, dead, 1)
    assert json.loads(record.value)["requestContext"]["condition"] == "RecordAgeExceeded"


# --- what is read ----------------------------------------------------------------------------


def test_what_the_filters_keep_out_is_committed_and_counted(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b'{"a": 1}', b'{"a": 2}', b"text", None, b'{"a": 2}', key=b"k")
    metrics = EventSourceMetrics()

    async def test(function: Function) -> None:
        source = topic.source(filters=('{"value": {"a": [1]}}',))
        mapping = KafkaMapping(source, function, metrics)
        mapping.start()
        await eventually(lambda: len(function.done) == 3, "those that pass arrive")
        topic.produce(0, b'{"a": 3}')
        wanted = {"source": "Source"}
        await eventually(
            lambda: metrics.registry.get_sample_value("kafka_source_filtered_total", wanted) == 3,
            "the others are counted",
        )
        await mapping.stop()
        assert function.seen() == places_of(0, [0, 2, 3])

        again = Function()
        topic.produce(0, b'{"a": 1}')
        async with polling(source, again):
            await eventually(lambda: again.done, "what passes next arrives")
        assert again.seen() == places_of(0, [6])

    run(test)


def test_an_msk_mapping_gets_the_event_of_msk(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"v")

    async def test(function: Function) -> None:
        async with polling(topic.source(kind="msk", source_arn=CLUSTER), function):
            await eventually(lambda: function.done, "it arrives")
        event = KafkaEvent(function.events[0])
        assert (event.event_source, event.event_source_arn) == ("aws:kafka", CLUSTER)
        assert event.decoded_bootstrap_servers == [kafka_server.bootstrap_servers]

    run(test)


def test_a_group_that_is_new_may_start_at_a_time(kafka_server: Broker) -> None:
    """Tansu goes by the time a record arrived, and finds whole batches."""
    topic = Topic(kafka_server)
    topic.produce(0, b"early")
    topic.produce(1, b"early")
    begin_s = time.time() + 0.1
    wait_until(lambda: time.time() > begin_s, 5, "some time passes")
    topic.produce(0, b"late")
    topic.produce(0, b"later")

    async def test(function: Function) -> None:
        source = topic.source(starting_position="AT_TIMESTAMP", starting_timestamp_s=begin_s)
        async with polling(source, function):
            await eventually(lambda: len(function.done) >= 2, "from that time on")
            topic.produce(1, b"later")
            await eventually(lambda: (1, 1) in function.done, "and what comes later")
        assert function.seen() == [*places_of(0, [1, 2]), (1, 1)]

        topic.produce(0, b"new")
        again = Function()
        async with polling(source, again):
            await eventually(lambda: again.done, "a group that is known goes on where it stood")
        assert again.seen() == places_of(0, [3])

    run(test)


def test_a_group_that_is_new_may_start_at_the_newest_record(kafka_server: Broker) -> None:
    """Tansu counts batches where it should count records: each is a batch of its own here."""
    topic = Topic(kafka_server)
    topic.produce(0, b"early")

    async def test(function: Function) -> None:
        async with polling(topic.source(starting_position="LATEST"), function):

            def arrives() -> bool:
                topic.produce(0, b"late")
                return bool(function.done)

            await eventually(arrives, "what comes once it reads")
        assert (0, 0) not in function.seen()

    run(test)


def test_several_pollers_share_the_partitions(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)

    async def test(function: Function) -> None:
        async with polling(topic.source(pollers_min=PARTITIONS + 1), function) as mapping:
            assert len(mapping.pollers) == PARTITIONS + 1

            def shares() -> list[int]:
                return sorted(len(poller._assigned) for poller in mapping.pollers)

            await eventually(lambda: shares() == [0, 1, 1, 1], "each of three reads one")
            for partition in range(PARTITIONS):
                topic.produce(partition, *[b"v"] * 20)
            await eventually(lambda: len(function.done) == 60, "all arrive")
            for partition in range(PARTITIONS):
                seen = [offset for number, offset in function.done if number == partition]
                assert seen == list(range(20))

    run(test)


def test_lag_and_age_are_shown(kafka_server: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_stack.triggers.kafka.source.LOOK_S", 0.0)
    topic = Topic(kafka_server)
    metrics = EventSourceMetrics()

    async def test(function: Function) -> None:
        function.go.clear()
        mapping = KafkaMapping(topic.source(), function, metrics)
        mapping.start()
        topic.produce(0, b"v")

        def value(name: str, **labels: str) -> float | None:
            labels = {"source": "Source", **labels}
            return metrics.registry.get_sample_value(f"kafka_source_{name}", labels)

        await eventually(lambda: value("lag", partition="0") == 1, "one record is behind")
        await eventually(lambda: (value("unsettled_oldest_seconds") or 0) > 0.2, "and grows old")
        function.go.set()
        await eventually(lambda: value("lag", partition="0") == 0, "none is")
        await eventually(lambda: value("unsettled_oldest_seconds") == 0, "nothing is open")
        await mapping.stop()
        assert value("lag", partition="0") is None

    run(test)


# --- the writer ------------------------------------------------------------------------------


def test_a_writer_keeps_key_and_headers(kafka_server: Broker, dead: str) -> None:
    async def main() -> None:
        writer = TopicWriter([kafka_server.bootstrap_servers])
        await asyncio.gather(
            *(writer.send(dead, b"%d" % n, key=b"k", headers=[("a", b"\xff")]) for n in range(20))
        )
        await writer.close()
        await writer.close()

    asyncio.run(main())
    records = _read(kafka_server, dead, 20)
    assert sorted(int(record.value) for record in records) == list(range(20))
    assert {(record.key, *record.headers) for record in records} == {(b"k", ("a", b"\xff"))}


def test_a_writer_says_when_a_record_is_not_taken(
    dead: str, kafka_server: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local_stack.kafka_writer.RECORD_BYTES_MAX", 1000)

    async def main() -> None:
        writer = TopicWriter([kafka_server.bootstrap_servers])
        with pytest.raises(RecordTooLarge):
            await writer.send(dead, b"x" * 2000)
        await writer.send(dead, b"small")
        await writer.close()

    asyncio.run(main())


def test_a_writer_waits_for_a_broker_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_stack.kafka_writer.CONNECT_S_MAX", 0.2)

    async def main() -> None:
        with running_kafka() as broker:
            broker.create_topic("t", 1)
            writer = TopicWriter([broker.bootstrap_servers])
            broker.stop()
            with pytest.raises(RuntimeFailed, match="topic t: the record was not written"):
                await writer.send("t", b"v")
            broker.start()
            broker.create_topic("t", 1)
            await writer.send("t", b"v")
            await writer.close()
            assert len(_read(broker, "t", 1)) == 1

    asyncio.run(main())
