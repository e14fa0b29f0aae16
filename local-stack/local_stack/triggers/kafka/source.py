"""A Kafka event source mapping: reads a topic in a consumer group and invokes a function.

kafka-python's consumer belongs to one thread, so reading, committing, pausing and resuming happen
here, in a thread of its own; invocations run on the event loop. Offsets are committed only after
the outcome of their batch is settled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import random
import threading
from typing import TYPE_CHECKING, Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from local_stack import clock
from local_stack.triggers.client import InvokeFailed
from local_stack.triggers.kafka.batch import Batch, Batcher
from local_stack.triggers.kafka.event import Record, build_event
from local_stack.triggers.kafka.outcome import failed_offsets
from local_stack.triggers.kafka.retry import delay_s

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from local_stack.model import KafkaSource

    InvokeFunction = Callable[[str, bytes], Awaitable[bytes]]

_LOGGER = logging.getLogger(__name__)
SESSION_TIMEOUT_MS = 6000  # the embedded broker assigns a new group after half of it
HEARTBEAT_MS = 1500
POLL_S_MAX = 0.25  # how long a stop, or a settled batch, may have to wait for the thread
POLL_S_BUSY = 0.02
RECONNECT_S = 1.0
QUIET_S = 0.5  # a topic that was silent for so long is taken to be read to its end
FETCH_BYTES_MAX = 8 * 1024 * 1024
POLL_RECORDS_MAX = 2000


class KafkaPoller:
    """One mapping at work. `start` from the event loop, `stop` from there too."""

    def __init__(self, source: KafkaSource, invoke: InvokeFunction) -> None:
        self._source = source
        self._invoke = invoke
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._settled: queue.SimpleQueue[tuple[Batch, Mapping[int, int] | None, float]]
        self._settled = queue.SimpleQueue()
        self._batcher = Batcher(batch_size=source.batch_size, window_s=source.window_s)
        self._thread = threading.Thread(target=self._run, name=f"kafka-{source.name}", daemon=True)
        self._failing = False
        self._assigned_at = self._stopped_at = self._drain_until = 0.0

    def start(self) -> None:
        """Start reading."""
        self._thread.start()

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Stop reading; what is in flight may finish within a poll's time.

        With `drain_s` the topic is first read to its end, for so long at most: for a broker that
        stops next and forgets what nobody has read.
        """
        self._stopped_at = clock.monotonic()
        self._drain_until = self._stopped_at + drain_s
        self._stopping.set()
        join_s = drain_s + 10.0
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join, join_s)

    # --- in the thread ---------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._session()
            except KafkaError as error:
                _LOGGER.warning("%s: %s; connecting again", self._source.name, error)
                self._batcher.revoke([p.partition for p in self._assigned])
                self._stopping.wait(RECONNECT_S)
            except Exception:
                _LOGGER.exception("%s: connecting again", self._source.name)
                self._batcher.revoke([p.partition for p in self._assigned])
                self._stopping.wait(RECONNECT_S)

    def _session(self) -> None:
        self._assigned: set[TopicPartition] = set()
        with contextlib.closing(self._consumer()) as consumer:
            consumer.subscribe([self._source.topic], listener=_Listener(self))
            paused: set[TopicPartition] = set()
            read_at = 0.0
            while not (self._stopping.is_set() and self._drained(read_at)):
                polled = consumer.poll(timeout_ms=self._poll_ms(), max_records=POLL_RECORDS_MAX)
                now = clock.monotonic()
                read_at = now if polled else read_at
                for records in polled.values():
                    self._batcher.add(map(_record, records), now)
                self._commit_settled(consumer)
                while (batch := self._batcher.next_batch(now)) is not None:
                    asyncio.run_coroutine_threadsafe(self._process(batch), self._loop)
                paused = self._pause_full(consumer, paused)
            self._finish(consumer)

    def _drained(self, read_at: float) -> bool:
        """Whether a stop has nothing more to wait for, or has waited long enough."""
        now = clock.monotonic()
        if now >= self._drain_until:
            return True
        busy = self._batcher.in_flight() or self._batcher.waiting()
        quiet_since = max(read_at, self._stopped_at, self._assigned_at)
        return bool(self._assigned) and not busy and now - quiet_since >= QUIET_S

    def _consumer(self) -> KafkaConsumer:
        earliest = self._source.starting_position == "TRIM_HORIZON"
        return KafkaConsumer(
            bootstrap_servers=list(self._source.bootstrap_servers),
            group_id=self._source.group_id,
            client_id=f"local-stack-{self._source.name}",
            auto_offset_reset="earliest" if earliest else "latest",
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            fetch_max_bytes=FETCH_BYTES_MAX,
            reconnect_backoff_max_ms=1000,
            request_timeout_ms=10_000,
            metadata_max_age_ms=10_000,
            bootstrap_timeout_ms=5_000,
        )

    def _poll_ms(self) -> int:
        limit = POLL_S_BUSY if self._batcher.in_flight() else POLL_S_MAX
        due = self._batcher.next_due(clock.monotonic())
        return int(1000 * (limit if due is None else min(limit, due))) + 1

    def _commit_settled(self, consumer: KafkaConsumer) -> None:
        offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        while True:
            try:
                batch, failed, retry_at = self._settled.get_nowait()
            except queue.Empty:
                break
            for number, offset in self._batcher.settle(batch, failed, retry_at).items():
                partition = TopicPartition(self._source.topic, number)
                offsets[partition] = OffsetAndMetadata(offset, "", -1)
        if offsets:
            # A commit that fails is repeated with the next one; until then the records may be
            # delivered again, which is what at-least-once means.
            try:
                consumer.commit(offsets, timeout_ms=5000)
            except KafkaError as error:
                _LOGGER.warning("%s: commit failed: %s", self._source.name, error)

    def _pause_full(
        self, consumer: KafkaConsumer, paused: set[TopicPartition]
    ) -> set[TopicPartition]:
        full = {p for p in self._assigned if self._batcher.full(p.partition)}
        start, stop = paused & self._assigned - full, full - paused
        if stop:
            consumer.pause(*stop)
        if start:
            consumer.resume(*start)
        return full

    def _finish(self, consumer: KafkaConsumer) -> None:
        """Give what is in flight a moment, so that a polite stop repeats nothing."""
        give_up = clock.monotonic() + 5.0
        while self._batcher.in_flight() and clock.monotonic() < give_up:
            with contextlib.suppress(queue.Empty):
                self._settled.put(self._settled.get(timeout=0.1))
            self._commit_settled(consumer)

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """The group gave us these."""
        partitions = set(partitions)
        self._assigned |= partitions
        self._assigned_at = clock.monotonic()
        self._batcher.assign(sorted(p.partition for p in partitions))
        _LOGGER.info("%s: assigned %s", self._source.name, sorted(p.partition for p in partitions))

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """The group took these away."""
        partitions = set(partitions)
        self._assigned -= partitions
        self._batcher.revoke(p.partition for p in partitions)

    # --- on the event loop -----------------------------------------------------------------

    async def _process(self, batch: Batch) -> None:
        failed: Mapping[int, int] | None = None
        try:
            payload = build_event(batch.records, self._source.bootstrap_servers)
            result = await self._invoke(self._source.function, payload)
        except InvokeFailed as error:
            self._report(str(error))
        except Exception as error:
            _LOGGER.exception("%s: a batch of %d failed", self._source.name, len(batch.records))
            self._report(str(error))
        else:
            failed = {}
            if self._source.report_batch_item_failures:
                failed = failed_offsets(result, batch.records)
            if failed == {}:
                self._recovered()
            else:
                self._report("the function reported failed records")
        pause = delay_s(batch.attempt + 1, random.random())  # noqa: S311 - jitter is no secret
        self._settled.put((batch, failed, clock.monotonic() + pause))

    def _report(self, reason: str) -> None:
        if not self._failing:  # once an outage, not once a retry
            _LOGGER.warning("%s: %s; trying again", self._source.name, reason)
        self._failing = True

    def _recovered(self) -> None:
        if self._failing:
            _LOGGER.info("%s: works again", self._source.name)
        self._failing = False


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Tells the poller of changes; called in its thread, from `poll`."""

    def __init__(self, poller: KafkaPoller) -> None:
        self._poller = poller

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._poller.revoked(revoked)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._poller.assigned(assigned)


def _record(raw: Any) -> Record:
    return Record(
        topic=raw.topic,
        partition=raw.partition,
        offset=raw.offset,
        timestamp=raw.timestamp,
        timestamp_type=raw.timestamp_type,
        key=raw.key,
        value=raw.value,
        headers=raw.headers,
    )
