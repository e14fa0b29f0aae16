"""Whatever comes, fails or is taken away: no record is lost, skipped or done by two at once."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from typing_extensions import override

from local_stack.triggers.kafka import batch
from local_stack.triggers.kafka.batch import Batch, Batcher
from tests.support.kafka_records import a_record

PARTITIONS = (0, 1, 2)
BATCH_SIZE = 4
WINDOW_S = 0.5
PAYLOAD_BYTES_MAX = 6_000  # small, so that a failure can be read
BIG = b"x" * 1_700  # two of them fit into a payload, three do not


class BatcherMachine(RuleBasedStateMachine):
    """A topic, a consumer that owns some of its partitions, and a function that may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(batch, "PAYLOAD_BYTES_MAX", PAYLOAD_BYTES_MAX)
        self.now = 0.0
        self.batcher = Batcher(batch_size=BATCH_SIZE, window_s=WINDOW_S)
        self.log: dict[int, list[bytes]] = defaultdict(list)
        self.position: dict[int, int] = {}  # of what is owned: the next offset to read
        self.committed: dict[int, int] = defaultdict(int)
        self.done: dict[int, set[int]] = defaultdict(set)
        self.running: list[Batch] = []

    # --- what happens ------------------------------------------------------------------------

    @rule(partition=st.sampled_from(PARTITIONS), count=st.integers(1, 6), big=st.booleans())
    def records_are_produced(self, partition: int, count: int, *, big: bool) -> None:
        self.log[partition] += [BIG if big else b"v"] * count

    @rule(partition=st.sampled_from(PARTITIONS))
    def a_partition_is_assigned(self, partition: int) -> None:
        self.batcher.assign([partition])
        self.position[partition] = self.committed[partition]

    @precondition(lambda self: self.position)
    @rule(partition=st.sampled_from(PARTITIONS))
    def a_partition_is_taken_away(self, partition: int) -> None:
        self.batcher.revoke([partition])
        self.position.pop(partition, None)

    @precondition(lambda self: self.position)
    @rule(count=st.integers(1, 5))
    def records_are_read(self, count: int) -> None:
        for partition, start in self.position.items():
            if self.batcher.full(partition):
                continue  # as the poller pauses it
            values = self.log[partition][start : start + count]
            records = [a_record(partition, start + i, value=v) for i, v in enumerate(values)]
            self.batcher.add(records, self.now)
            self.position[partition] += len(records)

    @rule(seconds=st.sampled_from([0.125, 0.5, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def due_batches_are_taken(self) -> None:
        while (due := self.batcher.next_batch(self.now)) is not None:
            self._check(due)
            self.running.append(due)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 9), fails=st.sampled_from(["nothing", "all", "some"]), at=st.data())
    def a_batch_is_settled(self, which: int, fails: str, at: st.DataObject) -> None:
        settled = self.running.pop(which % len(self.running))
        failed: dict[int, int] | None = None if fails == "all" else {}
        if fails == "some":
            record = at.draw(st.sampled_from(settled.records))
            failed = {record.partition: record.offset}
        self._settle(settled, failed)

    # --- what always holds -------------------------------------------------------------------

    def _check(self, due: Batch) -> None:
        assert 1 <= len(due.records) <= BATCH_SIZE
        size = sum(record.size for record in due.records)
        assert size <= PAYLOAD_BYTES_MAX or len(due.records) == 1
        taken: dict[int, list[int]] = defaultdict(list)
        for record in due.records:
            taken[record.partition].append(record.offset)
        assert set(taken) == {partition.number for partition in due.partitions}
        busy = {p.number for running in self.running for p in running.partitions}
        assert not busy & set(taken), "a partition has two batches in flight"
        for partition, offsets in taken.items():
            first = self.committed[partition]
            assert offsets == list(range(first, first + len(offsets))), "in order, without a gap"

    def _settle(self, settled: Batch, failed: dict[int, int] | None) -> None:
        for record in settled.records:
            lowest = 0 if failed is None else failed.get(record.partition)
            if lowest is None or record.offset < lowest:
                self.done[record.partition].add(record.offset)
        for partition, offset in self.batcher.settle(settled, failed, self.now + 1.0).items():
            assert offset > self.committed[partition], "a commit never goes back"
            assert set(range(offset)) <= self.done[partition], "committed before it was done"
            self.committed[partition] = offset

    @invariant()
    def everything_read_is_somewhere(self) -> None:
        read = sum(self.position[p] - self.committed[p] for p in self.position)
        assert self.batcher.waiting() + self.batcher.in_flight() == read

    @invariant()
    def it_says_when_to_come_back(self) -> None:
        due = self.batcher.next_due(self.now)
        assert due is None or 0 <= due <= 1.0

    @override
    def teardown(self) -> None:
        try:
            self._everything_is_done_in_the_end()
        finally:
            self.patch.undo()

    def _everything_is_done_in_the_end(self) -> None:
        """Once the function works and every partition is ours."""
        for settled in self.running:
            self._settle(settled, {})
        self.running = []
        for partition in PARTITIONS:
            if partition not in self.position:
                self.a_partition_is_assigned(partition)
        for _ in range(500):
            if all(self.committed[p] == len(self.log[p]) for p in PARTITIONS):
                return
            self.records_are_read(5)
            self.now += 1.0
            self.due_batches_are_taken()
            for settled in self.running:
                self._settle(settled, {})
            self.running = []
        msg = f"{dict(self.committed)} of { ({p: len(r) for p, r in self.log.items()}) } is done"
        raise AssertionError(msg)


BatcherMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestBatcher = BatcherMachine.TestCase
