"""Gathers records into batches and keeps account of every partition. Pure: time is a parameter.

A partition is idle, gathering, or has exactly one batch in flight. Its committed position moves
only past records whose outcome is settled. A batch of several partitions goes out in one
invocation; once it fails, each of its partitions is retried alone, so that a failing partition
blocks only itself.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from local_stack.triggers.kafka.event import Record

PAYLOAD_BYTES_MAX = 6 * 1024 * 1024 - 64 * 1024  # Lambda's limit, less the event's frame


@dataclass(slots=True)
class Partition:
    """The state of one partition that this source was assigned."""

    number: int
    waiting: deque[Record] = field(default_factory=deque)
    waiting_bytes: int = 0
    waiting_since: float = 0.0
    in_flight: tuple[Record, ...] = ()
    attempt: int = 0  # failed attempts of what waits to be retried, alone
    retry_at: float = 0.0

    def append(self, record: Record, now: float) -> None:
        """One more record waits."""
        if not self.waiting:
            self.waiting_since = now
        self.waiting.append(record)
        self.waiting_bytes += record.size

    def take(self, count: int, size: int) -> list[Record]:
        """Move up to `count` records and `size` bytes of what waits into flight.

        One record is always taken when `size` is the whole payload: a batch of one that is too
        large fails by itself, and does not stand in the way for ever.
        """
        taken: list[Record] = []
        while self.waiting and len(taken) < count:
            record = self.waiting[0]
            if record.size > size and (taken or size < PAYLOAD_BYTES_MAX):
                break
            size -= record.size
            self.waiting_bytes -= record.size
            taken.append(self.waiting.popleft())
        self.in_flight = tuple(taken)
        return taken

    def put_back(self, records: Sequence[Record]) -> None:
        """What failed is first in line again."""
        self.waiting.extendleft(reversed(records))
        self.waiting_bytes += sum(record.size for record in records)


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes out in one invocation, and the partitions it came from."""

    records: tuple[Record, ...]
    partitions: tuple[Partition, ...]

    @property
    def attempt(self) -> int:
        """How often it has failed before."""
        return max(partition.attempt for partition in self.partitions)


class Batcher:
    """Cuts batches by size, bytes and window."""

    def __init__(self, *, batch_size: int, window_s: float) -> None:
        self._batch_size = batch_size
        self._window_s = window_s
        self._partitions: dict[int, Partition] = {}
        # Batches of partitions that were taken away while in flight: until they are settled the
        # partition gets no new batch, or two of them could run at once.
        self._stale: list[Partition] = []

    def assign(self, numbers: Iterable[int]) -> None:
        """These partitions are ours from now on; what was known of them is forgotten."""
        for number in numbers:
            self._forget(number)
            self._partitions[number] = Partition(number)

    def revoke(self, numbers: Iterable[int]) -> None:
        """These are somebody else's: what was gathered will be read there."""
        for number in numbers:
            self._forget(number)

    def add(self, records: Iterable[Record], now: float) -> None:
        """Take records as they were read, in order."""
        for record in records:
            partition = self._partitions.get(record.partition)
            if partition is not None:
                partition.append(record, now)

    def full(self, number: int) -> bool:
        """Whether the partition has a whole batch waiting, so that reading on must wait."""
        partition = self._partitions.get(number)
        return partition is not None and (
            len(partition.waiting) >= self._batch_size
            or partition.waiting_bytes >= PAYLOAD_BYTES_MAX
        )

    def next_batch(self, now: float) -> Batch | None:
        """The next batch that is due, or None. Its records are in flight afterwards."""
        free = self._free()
        for partition in free:
            if partition.attempt and partition.retry_at <= now:
                records = partition.take(self._batch_size, PAYLOAD_BYTES_MAX)
                return Batch(tuple(records), (partition,))
        fresh = [partition for partition in free if not partition.attempt]
        if not fresh or not self._due(fresh, now):
            return None
        count, size = self._batch_size, PAYLOAD_BYTES_MAX
        taken: list[Record] = []
        sources: list[Partition] = []
        for partition in sorted(fresh, key=lambda p: p.waiting_since):
            records = partition.take(count, size)
            if records:
                partition.waiting_since = now
                count -= len(records)
                size -= sum(record.size for record in records)
                taken += records
                sources.append(partition)
        return Batch(tuple(taken), tuple(sources))

    def settle(
        self, batch: Batch, failed: Mapping[int, int] | None, retry_at: float
    ) -> dict[int, int]:
        """Take a batch's outcome; returns partition → offset to commit (the next to read).

        `failed` maps partitions to their lowest failed offset; None means that all failed. What
        failed is in line again, to be tried alone at `retry_at`.
        """
        commits: dict[int, int] = {}
        for partition in batch.partitions:
            if self._partitions.get(partition.number) is not partition:
                self._stale.remove(partition)  # whoever has it now reads it again
                continue
            records = partition.in_flight
            assert records, "a partition that is settled was in flight"
            first_failed = records[0].offset if failed is None else failed.get(partition.number)
            left = [r for r in records if first_failed is not None and r.offset >= first_failed]
            done = len(records) - len(left)
            if done:
                commits[partition.number] = records[done - 1].offset + 1
            partition.in_flight = ()
            partition.put_back(left)
            partition.attempt = ((0 if done else partition.attempt) + 1) if left else 0
            partition.retry_at = retry_at
        return commits

    def next_due(self, now: float) -> float | None:
        """Seconds until something may be due, or None when nothing waits."""
        times = [
            partition.retry_at if partition.attempt else partition.waiting_since + self._window_s
            for partition in self._free()
        ]
        return max(0.0, min(times) - now) if times else None

    def in_flight(self) -> int:
        """Records handed out and not settled."""
        return sum(len(partition.in_flight) for partition in self._partitions.values())

    def waiting(self) -> int:
        """Records read and not handed out."""
        return sum(len(partition.waiting) for partition in self._partitions.values())

    def _forget(self, number: int) -> None:
        partition = self._partitions.pop(number, None)
        if partition is not None and partition.in_flight:
            self._stale.append(partition)

    def _free(self) -> list[Partition]:
        stale = {partition.number for partition in self._stale}
        return [
            partition
            for partition in self._partitions.values()
            if partition.waiting and not partition.in_flight and partition.number not in stale
        ]

    def _due(self, fresh: Sequence[Partition], now: float) -> bool:
        if sum(len(partition.waiting) for partition in fresh) >= self._batch_size:
            return True
        if sum(partition.waiting_bytes for partition in fresh) >= PAYLOAD_BYTES_MAX:
            return True
        return now - min(partition.waiting_since for partition in fresh) >= self._window_s
