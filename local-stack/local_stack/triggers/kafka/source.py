"""One poller of a Kafka event source mapping: reads a topic in a consumer group.

kafka-python's consumer belongs to one thread, so reading, committing, pausing and resuming happen
here, in a thread of its own; invocations run on the event loop. Offsets are committed only after
the outcome of their batch is settled. The library tells of rebalancing in its own I/O thread, while
ours may be busy: what it says is queued, and taken up before anything is read or handed out.
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
from kafka.errors import IllegalStateError, KafkaError
from kafka.structs import OffsetAndMetadata

from local_stack import clock
from local_stack.kafka_writer import security_settings
from local_stack.triggers.kafka.batch import Batch, Batcher
from local_stack.triggers.kafka.event import Record
from local_stack.triggers.kafka.filters import read_filters
from local_stack.triggers.kafka.retry import delay_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local_stack.model import KafkaSource
    from local_stack.telemetry.source_metrics import SourceMetrics
    from local_stack.triggers.kafka.delivery import Delivery
    from local_stack.triggers.kafka.retry import Piece

    Left = Mapping[int, tuple[Piece, ...]]

_LOGGER = logging.getLogger(__name__)
HEARTBEATS = 4  # a session: three may be missed
POLL_S_MAX = 0.25  # how long a stop, or a settled batch, may have to wait for the thread
POLL_S_BUSY = 0.02
RECONNECT_S = 1.0
QUIET_S = 0.5  # a topic that was silent for so long is taken to be read to its end
LOOK_S = 1.0  # how often lag and age are looked at
SURPLUS_S = 15.0  # how often a poller without a partition to read looks again
FETCH_BYTES_MAX = 8 * 1024 * 1024
POLL_RECORDS_MAX = 2000
BLOCK_MS = 5000  # for one question to the broker


class KafkaPoller:
    """One consumer at work. `start` from the event loop, `stop` from there too."""

    def __init__(
        self, source: KafkaSource, delivery: Delivery, metrics: SourceMetrics, ordinal: int = 0
    ) -> None:
        self._source = source
        self._delivery = delivery
        self._metrics = metrics
        self._ordinal = ordinal
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._settled: queue.SimpleQueue[tuple[Batch, Left]] = queue.SimpleQueue()
        # Partitions that the group gave us (True) or took away.
        self._changes: queue.SimpleQueue[tuple[bool, frozenset[TopicPartition]]]
        self._changes = queue.SimpleQueue()
        self._batcher = Batcher(
            batch_size=source.batch_size,
            window_s=source.window_s,
            passes=read_filters(source.filters),
        )
        name = f"kafka-{source.name}-{ordinal}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._assigned: set[TopicPartition] = set()
        self._to_commit: dict[TopicPartition, OffsetAndMetadata] = {}
        self._to_seek: set[TopicPartition] = set()
        self._consumer: KafkaConsumer | None = None
        self._assigned_at = self._stopped_at = self._drain_until = self._looked_at = 0.0

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

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
                self._lost()
                self._stopping.wait(RECONNECT_S)
            except Exception:
                _LOGGER.exception("%s: connecting again", self._source.name)
                self._lost()
                self._stopping.wait(RECONNECT_S)
        self._lost()

    def _lost(self) -> None:
        self._consumer = None
        self._take_changes()
        self._revoked(set(self._assigned))

    def _session(self) -> None:
        with contextlib.closing(self._open()) as consumer:
            self._consumer = consumer
            if self._is_surplus(consumer):
                self._stopping.wait(SURPLUS_S)
                return
            consumer.subscribe([self._source.topic], listener=_Listener(self))
            paused: set[TopicPartition] = set()
            read_at = 0.0
            while not (self._stopping.is_set() and self._drained(read_at)):
                polled = consumer.poll(timeout_ms=self._poll_ms(), max_records=POLL_RECORDS_MAX)
                now = clock.monotonic()
                self._take_changes()
                self._seek_by_time(consumer)
                read_at = now if polled else read_at
                for records in polled.values():
                    filtered = self._batcher.add(map(_record, records), now)
                    if filtered:
                        self._metrics.filtered(filtered)
                self._settle()
                self._commit(consumer)
                while (batch := self._batcher.next_batch(now)) is not None:
                    asyncio.run_coroutine_threadsafe(self._process(batch), self._loop)
                paused = self._pause_full(consumer, paused)
                self._look(consumer, now)
            self._finish(consumer)

    def _is_surplus(self, consumer: KafkaConsumer) -> bool:
        """Whether there are more pollers than partitions, so that this one would sit idle."""
        if self._ordinal == 0:
            return False
        return self._ordinal >= len(consumer.partitions_for_topic(self._source.topic) or ())

    def _drained(self, read_at: float) -> bool:
        """Whether a stop has nothing more to wait for, or has waited long enough."""
        now = clock.monotonic()
        if now >= self._drain_until:
            return True
        busy = self._batcher.in_flight() or self._batcher.waiting()
        quiet_since = max(read_at, self._stopped_at, self._assigned_at)
        return bool(self._assigned) and not busy and now - quiet_since >= QUIET_S

    def _open(self) -> KafkaConsumer:
        latest = self._source.starting_position == "LATEST"
        return KafkaConsumer(
            bootstrap_servers=list(self._source.bootstrap_servers),
            group_id=self._source.group_id,
            client_id=f"local-stack-{self._source.name}-{self._ordinal}",
            auto_offset_reset="latest" if latest else "earliest",
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            session_timeout_ms=int(self._source.session_s * 1000),
            heartbeat_interval_ms=int(self._source.session_s * 1000) // HEARTBEATS,
            fetch_max_bytes=FETCH_BYTES_MAX,
            reconnect_backoff_max_ms=1000,
            request_timeout_ms=10_000,
            metadata_max_age_ms=10_000,
            bootstrap_timeout_ms=BLOCK_MS,
            **security_settings(self._source.security),
        )

    def _poll_ms(self) -> int:
        limit = POLL_S_BUSY if self._batcher.in_flight() else POLL_S_MAX
        due = self._batcher.next_due(clock.monotonic())
        return int(1000 * (limit if due is None else min(limit, due))) + 1

    def _settle(self) -> None:
        while True:
            try:
                batch, left = self._settled.get_nowait()
            except queue.Empty:
                return
            self._batcher.settle(batch, left, _retry_at)

    def _commit(self, consumer: KafkaConsumer) -> None:
        """Commit what is settled; what cannot be committed now is with the next time.

        Until then the records may be delivered again, which is what at-least-once means.
        """
        for number, offset in self._batcher.commits().items():
            partition = TopicPartition(self._source.topic, number)
            self._to_commit[partition] = OffsetAndMetadata(offset, "", -1)
        if not self._to_commit:
            return
        try:
            consumer.commit(dict(self._to_commit), timeout_ms=BLOCK_MS)
        except KafkaError as error:
            _LOGGER.warning("%s: commit failed: %s", self._source.name, error)
        else:
            self._to_commit.clear()

    def _pause_full(
        self, consumer: KafkaConsumer, paused: set[TopicPartition]
    ) -> set[TopicPartition]:
        full = {p for p in self._assigned if self._batcher.full(p.partition)}
        start, stop = paused & self._assigned - full, full - paused
        with contextlib.suppress(IllegalStateError):  # it was taken away this very moment
            if stop:
                consumer.pause(*stop)
            if start:
                consumer.resume(*start)
        return full

    def _look(self, consumer: KafkaConsumer, now: float) -> None:
        """Show how far behind we are."""
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        oldest: list[int] = []
        for partition in self._assigned:
            account = self._batcher.partitions[partition.partition]
            try:
                first, end = account.first_unsettled(), consumer.highwater(partition)
            except IllegalStateError:  # it was taken away this very moment
                continue
            if first is not None:
                oldest.append(first.timestamp)
            position = account.read_to if first is None else first.offset
            if end is not None and position is not None:
                self._metrics.lag(partition.partition, max(0, end - position))
        self._metrics.looked(clock.epoch_ms() - min(oldest) if oldest else None)

    def _seek_by_time(self, consumer: KafkaConsumer) -> None:
        """Start partitions that the group never committed at the first record of the time."""
        if not self._to_seek:
            return
        assert self._source.starting_timestamp_s is not None
        new = [p for p in self._to_seek if consumer.committed(p, timeout_ms=BLOCK_MS) is None]
        wanted = dict.fromkeys(new, int(self._source.starting_timestamp_s * 1000))
        found = consumer.offsets_for_times(wanted, timeout_ms=BLOCK_MS) if wanted else {}
        for partition in new:
            start = found.get(partition)
            # Nothing so young is there yet: Kafka says so with no offset, Tansu with no time.
            if start is None or start.offset < 0 or start.timestamp < 0:
                consumer.seek_to_end(partition)
            else:
                consumer.seek(partition, start.offset)
        consumer.resume(*self._to_seek)
        self._to_seek = set()

    def _finish(self, consumer: KafkaConsumer) -> None:
        """Give what is in flight a moment, so that a polite stop repeats nothing."""
        give_up = clock.monotonic() + 5.0
        while self._batcher.in_flight() and clock.monotonic() < give_up:
            with contextlib.suppress(queue.Empty):
                self._settled.put(self._settled.get(timeout=0.1))
            self._settle()
        self._commit(consumer)

    def _take_changes(self) -> None:
        while not self._changes.empty():
            is_ours, partitions = self._changes.get_nowait()
            if is_ours:
                self._take(set(partitions))
            else:
                self._revoked(set(partitions))

    def _take(self, partitions: set[TopicPartition]) -> None:
        self._assigned |= partitions
        self._assigned_at = clock.monotonic()
        self._batcher.assign(sorted(p.partition for p in partitions))
        if self._source.starting_position == "AT_TIMESTAMP":
            self._to_seek |= partitions
        _LOGGER.info("%s: assigned %s", self._source.name, sorted(p.partition for p in partitions))

    def _revoked(self, partitions: set[TopicPartition]) -> None:
        self._assigned -= partitions
        self._to_seek -= partitions
        self._batcher.revoke(p.partition for p in partitions)
        for partition in partitions:
            self._to_commit.pop(partition, None)
            self._metrics.lag(partition.partition, None)

    # --- in the library's thread -------------------------------------------------------------

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """The group gave us these."""
        consumer, partitions = self._consumer, frozenset(partitions)
        if self._source.starting_position == "AT_TIMESTAMP" and consumer is not None and partitions:
            # The broker cannot be asked from in here: nothing is read until our thread has.
            consumer.pause(*partitions)
        self._changes.put((True, partitions))

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """The group took these away."""
        self._changes.put((False, frozenset(partitions)))

    # --- on the event loop -----------------------------------------------------------------

    async def _process(self, batch: Batch) -> None:
        try:
            left = await self._delivery.deliver(batch)
        except Exception:  # a defect: nothing of the batch may be lost by it
            _LOGGER.exception("%s: a batch could not be delivered", self._source.name)
            left = {piece.partition: (piece,) for piece in batch.pieces}
        self._settled.put((batch, left))


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Tells the poller of changes."""

    def __init__(self, poller: KafkaPoller) -> None:
        self._poller = poller

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._poller.revoked(revoked)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._poller.assigned(assigned)


def _retry_at(failures: int) -> float:
    pause = delay_s(failures, random.random())  # noqa: S311 - jitter is no secret
    return clock.monotonic() + pause


def _record(raw: Any) -> Record:
    return Record(
        topic=raw.topic,
        partition=raw.partition,
        offset=raw.offset,
        timestamp=raw.timestamp,
        timestamp_type=raw.timestamp_type,
        key=raw.key,
        value=raw.value,
        headers=[(name, value or b"") for name, value in raw.headers],  # a value may be null
    )
