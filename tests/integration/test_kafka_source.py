"""The Kafka event source against a real broker: what is delivered, and what fails."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from aws_lambda_powertools.utilities.data_classes import KafkaEvent

from local_stack.triggers.client import InvokeFailed
from local_stack.triggers.kafka import delivery
from local_stack.triggers.kafka.retry import BASE_S
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


# --- delivery --------------------------------------------------------------------------------


def test_records_arrive_in_the_exact_event_of_lambda(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    moment = 1_545_084_650_987
    topic.produce(1, b'{"a": 1}', key=b"user-7", headers=[("trace", b"a\xff")], timestamp_ms=moment)
    topic.produce(1, None, key=b"user-7", timestamp_ms=moment)
    topic.produce(2, b"", timestamp_ms=moment)

    async def test(function: Function) -> None:
        async with polling(topic.source(window_s=0.3), function):
            await eventually(lambda: len(function.seen()) == 3, "three records arrive")

        records: dict[str, Any] = defaultdict(list)
        for event in function.events:
            assert event["eventSource"] == "SelfManagedKafka"
            assert event["bootstrapServers"] == kafka_server.bootstrap_servers
            assert set(event) == {"eventSource", "bootstrapServers", "records"}
            assert list(KafkaEvent(event).records)
            for key, items in event["records"].items():
                records[key] += items
        common = {"topic": topic.name, "timestamp": moment, "timestampType": "CREATE_TIME"}
        assert records == {
            f"{topic.name}-1": [
                {
                    **common,
                    "partition": 1,
                    "offset": 0,
                    "key": "dXNlci03",
                    "value": "eyJhIjogMX0=",
                    "headers": [{"trace": [97, 255]}],
                },
                {**common, "partition": 1, "offset": 1, "key": "dXNlci03", "headers": []},
            ],
            f"{topic.name}-2": [
                {**common, "partition": 2, "offset": 0, "value": "", "headers": []}
            ],
        }

    run(test)


def test_many_records_arrive_once_and_in_order_in_batches_of_the_size(
    kafka_server: Broker,
) -> None:
    topic = Topic(kafka_server)
    for partition in range(PARTITIONS):
        topic.produce(partition, *(b"%d" % number for number in range(700)))

    async def test(function: Function) -> None:
        async with polling(topic.source(batch_size=100), function):
            await eventually(lambda: len(function.done) >= 2100, "all of them arrive")

        assert max(len(batch) for batch in function.batches) == 100
        for partition in range(PARTITIONS):
            offsets = [offset for number, offset in function.seen() if number == partition]
            assert offsets == list(range(700))

    run(test)


# --- failures --------------------------------------------------------------------------------


def test_a_partial_failure_comes_again_from_its_lowest_offset(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, *[b"v"] * 5)
    topic.produce(1, *[b"v"] * 2)

    async def test(function: Function) -> None:
        failed: list[Place] = [(0, 3), (0, 2)]

        def behave(places: list[Place]) -> bytes:
            if (0, 2) in places and failed:
                return failures(topic, [failed.pop() for _ in list(failed)])
            return b'{"batchItemFailures": []}'

        function.behave = behave
        source = topic.source(report_batch_item_failures=True, window_s=0.3)
        async with polling(source, function):
            await eventually(lambda: function.seen().count((0, 4)) == 2, "it comes again")

        again = function.batches[-1]
        assert again == places_of(0, [2, 3, 4])
        assert Counter(function.seen()) == Counter(
            places_of(0, [0, 1, 2, 3, 4, 2, 3, 4]) + places_of(1, [0, 1])
        )

    run(test)


def test_what_a_function_reports_counts_only_where_the_mapping_says_so(
    kafka_server: Broker,
) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"1", b"2")

    async def test(function: Function) -> None:
        function.behave = lambda places: failures(topic, places[:1])
        async with polling(topic.source(), function):
            await eventually(lambda: len(function.done) == 2, "they arrive")
            topic.produce(0, b"3")
            await eventually(lambda: (0, 2) in function.done, "and the next")

        assert function.seen() == places_of(0, [0, 1, 2])

    run(test)


@pytest.mark.parametrize("function_error", [True, False])
def test_a_failure_is_retried_with_back_off_and_blocks_only_its_partition(
    kafka_server: Broker, caplog: pytest.LogCaptureFixture, *, function_error: bool
) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"poison", b"after")
    topic.produce(1, b"fine")

    async def test(function: Function) -> None:
        fails = True

        def behave(places: list[Place]) -> bytes:
            if fails and (0, 0) in places:
                raise InvokeFailed("ValueError: poison", function_error=function_error)
            return b"null"

        function.behave = behave
        async with polling(topic.source(window_s=0.3), function):
            await eventually(lambda: function.seen().count((0, 0)) >= 4, "the batch is tried again")
            topic.produce(1, b"more")
            await eventually(lambda: (1, 1) in function.done, "the other partition goes on")
            assert (0, 0) not in function.done
            fails = False
            await eventually(lambda: (0, 1) in function.done, "it works in the end")

        attempts = [i for i, batch in enumerate(function.batches) if (0, 0) in batch]
        assert all(function.batches[i] == places_of(0, [0, 1]) for i in attempts[1:])
        pauses = [
            function.times[later] - function.times[earlier]
            for earlier, later in pairwise(attempts[:4])
        ]
        for number, pause in enumerate(pauses):
            assert pause >= BASE_S * 2**number / 2

    run(test)
    messages = [r.getMessage() for r in caplog.records if r.name == delivery.__name__]
    assert messages.count("Source: ValueError: poison; trying again") >= 1


def test_a_defect_in_what_invokes_is_a_failure_too(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"v")

    async def test(function: Function) -> None:
        def behave(places: list[Place]) -> bytes:
            if len(function.batches) < 3:
                raise ZeroDivisionError
            return b"null"

        function.behave = behave
        async with polling(topic.source(), function):
            await eventually(lambda: function.done, "it works in the end")

        assert function.seen() == places_of(0, [0, 0, 0])

    run(test)
