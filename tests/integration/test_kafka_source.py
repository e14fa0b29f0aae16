"""The Kafka event source against a real broker: a poller, and a function that may fail."""

from __future__ import annotations

import asyncio
import gc
import json
import time
import warnings
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aws_lambda_powertools.utilities.data_classes import KafkaEvent
from kafka import KafkaProducer

from local_stack.model import KafkaSource
from local_stack.triggers.client import InvokeFailed
from local_stack.triggers.kafka import source as kafka_source
from local_stack.triggers.kafka.retry import BASE_S
from local_stack.triggers.kafka.source import KafkaPoller
from tests.support.kafka import running_kafka

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

    from tests.support.kafka import Broker

pytestmark = pytest.mark.integration

PARTITIONS = 3
TIMEOUT_S = 20.0
Place = tuple[int, int]  # partition, offset


@pytest.fixture(autouse=True)
def quick_groups(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """The broker assigns partitions after half of the session timeout."""
    monkeypatch.setattr(kafka_source, "SESSION_TIMEOUT_MS", 1000)
    monkeypatch.setattr(kafka_source, "HEARTBEAT_MS", 250)
    yield
    with warnings.catch_warnings():
        # kafka-python leaves sockets of refused connections to the garbage collector. Collect them
        # here, not in the middle of another test; logged exceptions hold on to them.
        caplog.get_records("call").clear()
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class Topic:
    """A topic of its own, and a producer for it."""

    def __init__(self, broker: Broker, name: str | None = None) -> None:
        self.broker = broker
        self.name = name or f"orders-{uuid4().hex[:8]}"
        broker.create_topic(self.name, PARTITIONS)

    def produce(self, partition: int, *values: bytes | None, **fields: Any) -> None:
        producer = KafkaProducer(
            bootstrap_servers=self.broker.bootstrap_servers, enable_idempotence=False
        )
        for value in values:
            producer.send(self.name, value, partition=partition, **fields)
        producer.flush()
        producer.close()

    def source(self, group: str = "group", **fields: Any) -> KafkaSource:
        values: dict[str, Any] = {
            "name": "Source",
            "function": "Sink",
            "topic": self.name,
            "bootstrap_servers": (self.broker.bootstrap_servers,),
            "group_id": f"{group}-{self.name}",
            "window_s": 0.0,
            **fields,
        }
        return KafkaSource(**values)


class Function:
    """A function that keeps what it was given, and does as a test tells it."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.batches: list[list[Place]] = []
        self.times: list[float] = []
        self.done: list[Place] = []
        self.running: Counter[int] = Counter()
        self.behave: Callable[[list[Place]], bytes] = lambda places: b"null"
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, function: str, payload: bytes) -> bytes:
        assert function == "Sink"
        event = json.loads(payload)
        places = [
            (record["partition"], record["offset"])
            for records in event["records"].values()
            for record in records
        ]
        partitions = {partition for partition, _ in places}
        assert not partitions & set(+self.running), "a partition has two batches in flight"
        self.events.append(event)
        self.batches.append(places)
        self.times.append(time.monotonic())
        self.running.update(partitions)
        try:
            await self.go.wait()
            result = self.behave(places)
        finally:
            self.running.subtract(partitions)
        self.done += places
        return result

    def seen(self) -> list[Place]:
        return [place for batch in self.batches for place in batch]


async def _eventually(predicate: Callable[[], object], message: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not predicate():
        assert time.monotonic() < deadline, f"not true within {TIMEOUT_S} s: {message}"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def _polling(source: KafkaSource, function: Function) -> AsyncIterator[KafkaPoller]:
    poller = KafkaPoller(source, function)
    poller.start()
    try:
        yield poller
    finally:
        await poller.stop()
        assert not poller._thread.is_alive()


def _run(test: Callable[[Function], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(Function())

    asyncio.run(main())


def _places(partition: int, offsets: Iterable[int]) -> list[Place]:
    return [(partition, offset) for offset in offsets]


def _failures(topic: Topic, places: Sequence[Place]) -> bytes:
    items = [
        {"itemIdentifier": {"partition": f"{topic.name}-{partition}", "offset": offset}}
        for partition, offset in places
    ]
    return json.dumps({"batchItemFailures": items}).encode()


# --- delivery --------------------------------------------------------------------------------


def test_records_arrive_in_the_exact_event_of_lambda(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    moment = 1_545_084_650_987
    topic.produce(1, b'{"a": 1}', key=b"user-7", headers=[("trace", b"a\xff")], timestamp_ms=moment)
    topic.produce(1, None, key=b"user-7", timestamp_ms=moment)
    topic.produce(2, b"", timestamp_ms=moment)

    async def test(function: Function) -> None:
        async with _polling(topic.source(window_s=0.3), function):
            await _eventually(lambda: len(function.seen()) == 3, "three records arrive")

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

    _run(test)


def test_many_records_arrive_once_and_in_order_in_batches_of_the_size(
    kafka_server: Broker,
) -> None:
    topic = Topic(kafka_server)
    for partition in range(PARTITIONS):
        topic.produce(partition, *(b"%d" % number for number in range(700)))

    async def test(function: Function) -> None:
        async with _polling(topic.source(batch_size=100), function):
            await _eventually(lambda: len(function.done) >= 2100, "all of them arrive")

        assert max(len(batch) for batch in function.batches) == 100
        for partition in range(PARTITIONS):
            offsets = [offset for number, offset in function.seen() if number == partition]
            assert offsets == list(range(700))

    _run(test)


# --- failures --------------------------------------------------------------------------------


def test_a_partial_failure_comes_again_from_its_lowest_offset(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, *[b"v"] * 5)
    topic.produce(1, *[b"v"] * 2)

    async def test(function: Function) -> None:
        failed: list[Place] = [(0, 3), (0, 2)]

        def behave(places: list[Place]) -> bytes:
            if (0, 2) in places and failed:
                return _failures(topic, [failed.pop() for _ in list(failed)])
            return b'{"batchItemFailures": []}'

        function.behave = behave
        source = topic.source(report_batch_item_failures=True, window_s=0.3)
        async with _polling(source, function):
            await _eventually(lambda: function.seen().count((0, 4)) == 2, "it comes again")

        again = function.batches[-1]
        assert again == _places(0, [2, 3, 4])
        assert Counter(function.seen()) == Counter(
            _places(0, [0, 1, 2, 3, 4, 2, 3, 4]) + _places(1, [0, 1])
        )

    _run(test)


def test_what_a_function_reports_counts_only_where_the_mapping_says_so(
    kafka_server: Broker,
) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"1", b"2")

    async def test(function: Function) -> None:
        function.behave = lambda places: _failures(topic, places[:1])
        async with _polling(topic.source(), function):
            await _eventually(lambda: len(function.done) == 2, "they arrive")
            topic.produce(0, b"3")
            await _eventually(lambda: (0, 2) in function.done, "and the next")

        assert function.seen() == _places(0, [0, 1, 2])

    _run(test)


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
        async with _polling(topic.source(window_s=0.3), function):
            await _eventually(
                lambda: function.seen().count((0, 0)) >= 4, "the batch is tried again"
            )
            topic.produce(1, b"more")
            await _eventually(lambda: (1, 1) in function.done, "the other partition goes on")
            assert (0, 0) not in function.done
            fails = False
            await _eventually(lambda: (0, 1) in function.done, "it works in the end")

        attempts = [i for i, batch in enumerate(function.batches) if (0, 0) in batch]
        assert all(function.batches[i] == _places(0, [0, 1]) for i in attempts[1:])
        pauses = [
            function.times[later] - function.times[earlier]
            for earlier, later in pairwise(attempts[:4])
        ]
        for number, pause in enumerate(pauses):
            assert pause >= BASE_S * 2**number / 2

    _run(test)
    messages = [r.getMessage() for r in caplog.records if r.name == kafka_source.__name__]
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
        async with _polling(topic.source(), function):
            await _eventually(lambda: function.done, "it works in the end")

        assert function.seen() == _places(0, [0, 0, 0])

    _run(test)


# --- what is committed -----------------------------------------------------------------------


def test_offsets_are_committed_only_after_success(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"1", b"2", b"3")

    async def test(function: Function) -> None:
        def fail(places: list[Place]) -> bytes:
            raise InvokeFailed("not now", function_error=True)

        function.behave = fail
        async with _polling(topic.source(), function):
            await _eventually(lambda: function.batches, "it is tried")
        assert function.done == []

        again = Function()
        async with _polling(topic.source(), again):
            await _eventually(lambda: len(again.done) == 3, "a restart brings it again")
        assert again.seen() == _places(0, [0, 1, 2])

        topic.produce(0, b"4")
        last = Function()
        async with _polling(topic.source(), last):
            await _eventually(lambda: last.done, "only what is new")
        assert last.seen() == _places(0, [3])

    _run(test)


def test_a_part_of_a_batch_that_is_done_is_not_done_again(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"1", b"2", b"3")

    async def test(function: Function) -> None:
        function.behave = lambda places: _failures(topic, [(0, 2)])
        source = topic.source(report_batch_item_failures=True, window_s=0.3)
        async with _polling(source, function):
            await _eventually(lambda: len(function.batches) >= 2, "it comes again")

        again = Function()
        async with _polling(source, again):
            await _eventually(lambda: again.done, "a restart goes on where it stood")
        assert again.seen() == _places(0, [2])

    _run(test)


def test_a_polite_stop_waits_for_what_is_in_flight(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"1")

    async def test(function: Function) -> None:
        function.go.clear()
        poller = KafkaPoller(topic.source(), function)
        poller.start()
        await _eventually(lambda: function.batches, "it is in flight")
        stopping = asyncio.create_task(poller.stop())
        await asyncio.sleep(0)
        function.go.set()
        await stopping
        assert function.done == _places(0, [0])

        topic.produce(0, b"2")
        again = Function()
        async with _polling(topic.source(), again):
            await _eventually(lambda: again.done, "only what is new")
        assert again.seen() == _places(0, [1])

    _run(test)


def test_two_groups_get_every_record_each(kafka_server: Broker) -> None:
    topic = Topic(kafka_server)
    topic.produce(0, b"1", b"2")

    async def test(function: Function) -> None:
        other = Function()
        async with (
            _polling(topic.source("one"), function),
            _polling(topic.source("two"), other),
        ):
            await _eventually(lambda: len(function.done) == 2, "one has them")
            await _eventually(lambda: len(other.done) == 2, "the other has them")

    _run(test)


# --- the broker goes away --------------------------------------------------------------------


def test_a_broker_that_comes_back_is_read_again(caplog: pytest.LogCaptureFixture) -> None:
    """The embedded broker forgets everything: its topics return empty, their offsets at 0."""

    async def test(function: Function) -> None:
        with running_kafka() as broker:
            topic = Topic(broker)
            topic.produce(0, b"1", b"2", b"3")
            async with _polling(topic.source(), function):
                await _eventually(lambda: len(function.done) == 3, "the first three arrive")

                broker.stop()
                broker.start()
                topic = Topic(broker, topic.name)
                topic.produce(0, b"4")
                topic.produce(2, b"5")

                await _eventually(
                    lambda: {(0, 0), (2, 0)} <= set(function.done[3:]), "what came since arrives"
                )

    _run(test)
    assert not [record for record in caplog.records if record.levelname == "CRITICAL"]


def test_a_broker_that_is_not_there_yet_is_waited_for(kafka_server: Broker) -> None:
    async def test(function: Function) -> None:
        with running_kafka() as broker:
            topic = Topic(broker)
            source = topic.source()
            broker.stop()
            async with _polling(source, function) as poller:
                broker.start()
                topic = Topic(broker, topic.name)
                topic.produce(0, b"1")
                await _eventually(lambda: function.done, "it arrives")
                assert poller._thread.is_alive()

    _run(test)
