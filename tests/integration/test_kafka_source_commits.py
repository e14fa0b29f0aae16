"""The Kafka event source against a real broker: what is committed, and a broker that goes away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from local_stack.triggers.client import InvokeFailed
from local_stack.triggers.kafka.mapping import KafkaMapping
from tests.support.kafka import running_kafka
from tests.support.kafka_source import (
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


@pytest.fixture(autouse=True)
def quick(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with sockets_collected(caplog):
        yield


# --- what is committed -----------------------------------------------------------------------


def test_offsets_are_committed_only_after_success(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"1", b"2", b"3")

    async def test(function: Function) -> None:
        def fail(places: list[Place]) -> bytes:
            raise InvokeFailed("not now", function_error=True)

        function.behave = fail
        async with polling(topic.source(), function):
            await eventually(lambda: function.batches, "it is tried")
        assert function.done == []

        again = Function()
        async with polling(topic.source(), again):
            await eventually(lambda: len(again.done) == 3, "a restart brings it again")
        assert again.seen() == places_of(0, [0, 1, 2])

        topic.produce(0, b"4")
        last = Function()
        async with polling(topic.source(), last):
            await eventually(lambda: last.done, "only what is new")
        assert last.seen() == places_of(0, [3])

    run(test)


def test_a_part_of_a_batch_that_is_done_is_not_done_again(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"1", b"2", b"3")

    async def test(function: Function) -> None:
        function.behave = lambda places: failures(topic, [(0, 2)])
        source = topic.source(report_batch_item_failures=True, window_s=0.3)
        async with polling(source, function):
            await eventually(lambda: len(function.batches) >= 2, "it comes again")

        again = Function()
        async with polling(source, again):
            await eventually(lambda: again.done, "a restart goes on where it stood")
        assert again.seen() == places_of(0, [2])

    run(test)


def test_a_polite_stop_waits_for_what_is_in_flight(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"1")

    async def test(function: Function) -> None:
        function.go.clear()
        poller = KafkaMapping(topic.source(), function)
        poller.start()
        await eventually(lambda: function.batches, "it is in flight")
        stopping = asyncio.create_task(poller.stop())
        await asyncio.sleep(0)
        function.go.set()
        await stopping
        assert function.done == places_of(0, [0])

        topic.produce(0, b"2")
        again = Function()
        async with polling(topic.source(), again):
            await eventually(lambda: again.done, "only what is new")
        assert again.seen() == places_of(0, [1])

    run(test)


def test_a_stop_that_drains_reads_the_topic_to_its_end(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"first")

    async def test(function: Function) -> None:
        poller = KafkaMapping(topic.source(batch_size=10), function)
        poller.start()
        await eventually(lambda: function.done, "it reads")
        topic.produce(0, *[b"more"] * 50)
        topic.produce(1, *[b"more"] * 50)

        await poller.stop(drain_s=10.0)

        assert len(function.done) == 101

    run(test)


def test_two_groups_get_every_record_each(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"1", b"2")

    async def test(function: Function) -> None:
        other = Function()
        async with (
            polling(topic.source("one"), function),
            polling(topic.source("two"), other),
        ):
            await eventually(lambda: len(function.done) == 2, "one has them")
            await eventually(lambda: len(other.done) == 2, "the other has them")

    run(test)


# --- the broker goes away --------------------------------------------------------------------


def test_a_broker_that_comes_back_is_read_again(caplog: pytest.LogCaptureFixture) -> None:
    """The embedded broker forgets everything: its topics return empty, their offsets at 0."""

    async def test(function: Function) -> None:
        with running_kafka() as broker:
            topic = Topic(broker)
            topic.produce(0, b"1", b"2", b"3")
            async with polling(topic.source(), function):
                await eventually(lambda: len(function.done) == 3, "the first three arrive")

                broker.stop()
                broker.start()
                topic = Topic(broker, topic.name)
                topic.produce(0, b"4")
                topic.produce(2, b"5")

                await eventually(
                    lambda: {(0, 0), (2, 0)} <= set(function.done[3:]), "what came since arrives"
                )

    run(test)
    assert not [record for record in caplog.records if record.levelname == "CRITICAL"]


def test_a_broker_that_is_not_there_yet_is_waited_for(kafka_server: Broker) -> None:
    async def test(function: Function) -> None:
        with running_kafka() as broker:
            topic = Topic(broker)
            source = topic.source()
            broker.stop()
            async with polling(source, function) as mapping:
                broker.start()
                topic = Topic(broker, topic.name)
                topic.produce(0, b"1")
                await eventually(lambda: function.done, "it arrives")
                assert all(poller.is_alive for poller in mapping.pollers)

    run(test)
