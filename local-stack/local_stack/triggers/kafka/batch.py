"""Gathers records into batches and keeps account of every partition. Pure: time is a parameter.

A partition is idle, gathering, or has exactly one piece of a batch in flight. Its committed
position moves only past records whose outcome is settled. A batch of several partitions goes out
in one invocation; what failed of it is tried again piece by piece, each exactly as it was, so that
a failing partition blocks only itself and a retry repeats what failed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local_stack.triggers.kafka.retry import Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from local_stack.triggers.kafka.event import Record

PAYLOAD_BYTES_MAX = 6 * 1024 * 1024 - 64 * 1024  # Lambda's limit, less the event's frame


@dataclass(slots=True)
class Partition:
    """The state of one partition that this source was assigned."""

    number: int
    waiting: deque[Record] = field(default_factory=deque)
    waiting_bytes: int = 0
    waiting_since: float = 0.0
    in_flight: Piece | None = None
    retries: deque[Piece] = field(default_factory=deque)  # in order; all older than what waits
    failures: int = 0  # in a row: how long the next retry waits
    retry_at: float = 0.0
    read_to: int | None = None  # the next offset to read
    settled_to: int | None = None  # what was read below is done, filtered out or buried

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
        if taken:
            self.in_flight = Piece(self.number, tuple(taken))
        return taken

    def first_unsettled(self) -> Record | None:
        """The oldest record whose outcome is open."""
        if self.in_flight is not None:
            return self.in_flight.records[0]
        if self.retries:
            return self.retries[0].records[0]
        return self.waiting[0] if self.waiting else None

    def newly_settled(self) -> int | None:
        """The offset to commit, if there is more to commit than last time."""
        first = self.first_unsettled()
        position = self.read_to if first is None else first.offset
        if position is None or position == self.settled_to:
            return None
        self.settled_to = position
        return position


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes out in one invocation."""

    pieces: tuple[Piece, ...]

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record of it, partition by partition."""
        return tuple(record for piece in self.pieces for record in piece.records)


class Batcher:
    """Cuts batches by size, bytes and window; keeps out what `passes` does not let through."""

    def __init__(
        self,
        *,
        batch_size: int,
        window_s: float,
        passes: Callable[[Record], bool] | None = None,
    ) -> None:
        self._batch_size = batch_size
        self._window_s = window_s
        self._passes = passes
        self._partitions: dict[int, Partition] = {}
        # Pieces of partitions that were taken away while in flight: until they are settled the
        # partition gets no new batch, or two of them could run at once.
        self._stale: list[Piece] = []

    @property
    def partitions(self) -> Mapping[int, Partition]:
        """Those that are ours, by number; to look at."""
        return self._partitions

    def assign(self, numbers: Iterable[int]) -> None:
        """These partitions are ours from now on; what was known of them is forgotten."""
        for number in numbers:
            self._forget(number)
            self._partitions[number] = Partition(number)

    def revoke(self, numbers: Iterable[int]) -> None:
        """These are somebody else's: what was gathered will be read there."""
        for number in numbers:
            self._forget(number)

    def add(self, records: Iterable[Record], now: float) -> int:
        """Take records as they were read, in order; returns how many were filtered out."""
        filtered = 0
        for record in records:
            partition = self._partitions.get(record.partition)
            if partition is None:
                continue
            partition.read_to = record.offset + 1
            if partition.settled_to is None:
                partition.settled_to = record.offset
            if self._passes is None or self._passes(record):
                partition.append(record, now)
            else:
                filtered += 1
        return filtered

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
            if partition.retries and partition.retry_at <= now:
                partition.in_flight = partition.retries.popleft()
                return Batch((partition.in_flight,))
        fresh = [partition for partition in free if not partition.retries]
        if not fresh or not self._due(fresh, now):
            return None
        count, size = self._batch_size, PAYLOAD_BYTES_MAX
        pieces: list[Piece] = []
        for partition in sorted(fresh, key=lambda p: p.waiting_since):
            records = partition.take(count, size)
            if partition.in_flight is not None:
                partition.waiting_since = now
                count -= len(records)
                size -= sum(record.size for record in records)
                pieces.append(partition.in_flight)
        return Batch(tuple(pieces))

    def settle(
        self,
        batch: Batch,
        left: Mapping[int, Sequence[Piece]],
        retry_at: Callable[[int], float],
    ) -> None:
        """Take a batch's outcome: `left` maps partitions to what must be tried again, in order.

        `retry_at` tells the time of the next try from the number of failures in a row.
        """
        for piece in batch.pieces:
            partition = self._partitions.get(piece.partition)
            if partition is None or partition.in_flight is not piece:
                self._stale.remove(piece)  # whoever has it now reads it again
                continue
            partition.in_flight = None
            again = left.get(piece.partition, ())
            partition.retries.extendleft(reversed(again))
            partition.failures = partition.failures + 1 if again else 0
            partition.retry_at = retry_at(partition.failures) if again else 0.0

    def commits(self) -> dict[int, int]:
        """Partition → offset to commit (the next to read), where there is something new.

        A record that was filtered out is settled once those before it are.
        """
        found = {number: p.newly_settled() for number, p in self._partitions.items()}
        return {number: offset for number, offset in found.items() if offset is not None}

    def next_due(self, now: float) -> float | None:
        """Seconds until something may be due, or None when nothing waits."""
        times = [
            partition.retry_at if partition.retries else partition.waiting_since + self._window_s
            for partition in self._free()
        ]
        return max(0.0, min(times) - now) if times else None

    def in_flight(self) -> int:
        """Records handed out and not settled."""
        pieces = [p.in_flight for p in self._partitions.values() if p.in_flight is not None]
        return sum(len(piece.records) for piece in pieces)

    def waiting(self) -> int:
        """Records read and not handed out, and those to be tried again."""
        return sum(
            len(partition.waiting) + sum(len(piece.records) for piece in partition.retries)
            for partition in self._partitions.values()
        )

    def _forget(self, number: int) -> None:
        partition = self._partitions.pop(number, None)
        if partition is not None and partition.in_flight is not None:
            self._stale.append(partition.in_flight)

    def _free(self) -> list[Partition]:
        stale = {piece.partition for piece in self._stale}
        return [
            partition
            for partition in self._partitions.values()
            if (partition.waiting or partition.retries)
            and partition.in_flight is None
            and partition.number not in stale
        ]

    def _due(self, fresh: Sequence[Partition], now: float) -> bool:
        if sum(len(partition.waiting) for partition in fresh) >= self._batch_size:
            return True
        if sum(partition.waiting_bytes for partition in fresh) >= PAYLOAD_BYTES_MAX:
            return True
        return now - min(partition.waiting_since for partition in fresh) >= self._window_s
