"""A Kafka event source under test: a topic of its own, and a function that does as it is told."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
import warnings
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kafka import KafkaProducer

from local_stack.model import KafkaSource
from local_stack.triggers.client import Answer
from local_stack.triggers.kafka.mapping import KafkaMapping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

    import pytest

    from tests.support.kafka import Broker

PARTITIONS = 3
TIMEOUT_S = 20.0
# The embedded broker gives a group its partitions after half of it; Kafka takes no less than 6.
SESSION_S = 6.0 if os.environ.get("TEST_KAFKA") == "apache" else 1.0
Place = tuple[int, int]  # partition, offset


@contextmanager
def sockets_collected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What kafka-python leaves open is collected at the end of the test that left it."""
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
            "session_s": SESSION_S,
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

    async def __call__(self, function: str, payload: bytes) -> Answer:
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
        return Answer(result, f"request-{len(self.batches)}")

    def seen(self) -> list[Place]:
        return [place for batch in self.batches for place in batch]


async def eventually(predicate: Callable[[], object], message: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not predicate():
        assert time.monotonic() < deadline, f"not true within {TIMEOUT_S} s: {message}"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def polling(source: KafkaSource, function: Function) -> AsyncIterator[KafkaMapping]:
    mapping = KafkaMapping(source, function)
    mapping.start()
    try:
        yield mapping
    finally:
        await mapping.stop()
        assert not any(poller.is_alive for poller in mapping.pollers)


def run(test: Callable[[Function], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(Function())

    asyncio.run(main())


def places_of(partition: int, offsets: Iterable[int]) -> list[Place]:
    return [(partition, offset) for offset in offsets]


def failures(topic: Topic, places: Sequence[Place]) -> bytes:
    items = [
        {"itemIdentifier": {"partition": f"{topic.name}-{partition}", "offset": offset}}
        for partition, offset in places
    ]
    return json.dumps({"batchItemFailures": items}).encode()
