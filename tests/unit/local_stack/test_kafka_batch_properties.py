"""Whatever comes, fails or is taken away: no record is lost, skipped or done by two at once.

A topic, a consumer that owns some of its partitions, a function that may fail in every way, and a
policy that may give up. Time and outcomes are the machine's.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from typing_extensions import override

from local_stack.triggers.kafka import batch
from local_stack.triggers.kafka.batch import Batch, Batcher
from local_stack.triggers.kafka.retry import (
    DELAY_S_MAX,
    Condition,
    Outcome,
    Piece,
    Policy,
    delay_s,
    plan,
)
from tests.support.kafka_records import a_record

PARTITIONS = (0, 1, 2)
BATCH_SIZE = 4
WINDOW_S = 0.5
PAYLOAD_BYTES_MAX = 6_000  # small, so that a failure can be read
BIG = b"x" * 1_700  # two of them fit into a payload, three do not
SMALL, UNWANTED = b"v", b"unwanted"
ATTEMPTS_OF_A_RECORD_MAX = 60  # far above what a policy of 3 retries and batches of 4 can need


class BatcherMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(batch, "PAYLOAD_BYTES_MAX", PAYLOAD_BYTES_MAX)
        self.now = 0.0
        self.log: dict[int, list[bytes]] = defaultdict(list)
        self.position: dict[int, int] = {}  # of what is owned: the next offset to read
        self.committed: dict[int, int] = defaultdict(int)
        self.done: dict[int, set[int]] = defaultdict(set)
        self.buried: dict[int, set[int]] = defaultdict(set)
        self.tries: Counter[tuple[int, int]] = Counter()  # failures that count, since assigned
        self.running: list[Batch] = []
        self.retried_whole: dict[int, Piece] = {}  # what must come again exactly as it was

    @initialize(retries_max=st.sampled_from([-1, 0, 1, 3]), bisect=st.booleans())
    def a_mapping_is_made(self, retries_max: int, *, bisect: bool) -> None:
        self.policy = Policy(retries_max, bisect)
        self.batcher = Batcher(
            batch_size=BATCH_SIZE,
            window_s=WINDOW_S,
            passes=lambda record: record.value != UNWANTED,
        )

    # --- what happens ------------------------------------------------------------------------

    @rule(
        partition=st.sampled_from(PARTITIONS),
        values=st.lists(st.sampled_from([SMALL, SMALL, BIG, UNWANTED]), min_size=1, max_size=6),
    )
    def records_are_produced(self, partition: int, values: list[bytes]) -> None:
        self.log[partition] += values

    @rule(partition=st.sampled_from(PARTITIONS))
    def a_partition_is_assigned(self, partition: int) -> None:
        self.batcher.assign([partition])
        self.position[partition] = self.committed[partition]
        self._forget(partition)

    @precondition(lambda self: self.position)
    @rule(partition=st.sampled_from(PARTITIONS))
    def a_partition_is_taken_away(self, partition: int) -> None:
        self.batcher.revoke([partition])
        self.position.pop(partition, None)
        self._forget(partition)

    @precondition(lambda self: self.position)
    @rule(count=st.integers(1, 5))
    def records_are_read(self, count: int) -> None:
        for partition, start in self.position.items():
            if self.batcher.full(partition):
                continue  # as the poller pauses it
            values = self.log[partition][start : start + count]
            records = [a_record(partition, start + i, value=v) for i, v in enumerate(values)]
            assert self.batcher.add(records, self.now) == values.count(UNWANTED)
            self.position[partition] += len(records)
        self._commit()

    @rule(seconds=st.sampled_from([0.125, 0.5, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def due_batches_are_taken(self) -> None:
        while (due := self.batcher.next_batch(self.now)) is not None:
            self._check(due)
            self.running.append(due)

    @precondition(lambda self: self.running)
    @rule(
        which=st.integers(0, 9),
        fails=st.sampled_from(["nothing", "whole", "unreached", "too large", "some"]),
        at=st.data(),
    )
    def a_batch_is_settled(self, which: int, fails: str, at: st.DataObject) -> None:
        settled = self.running.pop(which % len(self.running))
        outcome = {
            "nothing": Outcome({}),
            "whole": Outcome(None),
            "unreached": Outcome(None, counts=False),
            "too large": Outcome(None, too_large=True),
        }.get(fails)
        if outcome is None:
            record = at.draw(st.sampled_from(settled.records))
            outcome = Outcome({record.partition: record.offset})
        self._settle(settled, outcome)

    # --- what always holds -------------------------------------------------------------------

    def _check(self, due: Batch) -> None:
        assert 1 <= len(due.records) <= BATCH_SIZE
        size = sum(record.size for record in due.records)
        assert size <= PAYLOAD_BYTES_MAX or len(due.records) == 1
        numbers = [piece.partition for piece in due.pieces]
        assert len(set(numbers)) == len(numbers)
        busy = {piece.partition for running in self.running for piece in running.pieces}
        assert not busy & set(numbers), "a partition has two batches in flight"
        for piece in due.pieces:
            offsets = [record.offset for record in piece.records]
            first = self.committed[piece.partition]
            values = self.log[piece.partition]
            wanted = [o for o in range(first, offsets[-1] + 1) if values[o] != UNWANTED]
            assert offsets == wanted, "in order, from the first that is not settled, no gap"
            again = self.retried_whole.pop(piece.partition, None)
            assert again is None or again is piece, "a retry repeats exactly what failed"

    def _settle(self, settled: Batch, outcome: Outcome) -> None:
        left: dict[int, tuple[Piece, ...]] = {}
        for piece in settled.pieces:
            planned = plan(piece, outcome, self.policy)
            open_again = {record.offset for p in planned.left for record in p.records}
            dead = {record.offset for record in planned.dead.records} if planned.dead else set()
            assert not open_again & dead
            self._check_given_up(planned.dead)
            for record in piece.records:
                if record.offset in open_again:
                    self.tries[piece.partition, record.offset] += outcome.counts
                elif record.offset in dead:
                    self.buried[piece.partition].add(record.offset)
                else:
                    assert outcome.failed is not None, "nothing is done by a batch that failed"
                    self.done[piece.partition].add(record.offset)
            left[piece.partition] = planned.left
            if planned.left and piece.partition in self.position and self._is_ours(piece):
                self.retried_whole[piece.partition] = planned.left[0]
        self.batcher.settle(settled, left, lambda n: self.now + delay_s(n, 0.5))
        self._commit()

    def _check_given_up(self, dead: Piece | None) -> None:
        if dead is None:
            return
        if dead.given_up == Condition.PAYLOAD:
            assert len(dead.records) == 1
        else:
            assert self.policy.retries_max >= 0, "without a bound nothing is given up"
            assert dead.attempt == self.policy.retries_max + 1

    def _is_ours(self, piece: Piece) -> bool:
        partition = self.batcher.partitions.get(piece.partition)
        return partition is not None and partition.in_flight is piece

    def _commit(self) -> None:
        for partition, offset in self.batcher.commits().items():
            assert offset > self.committed[partition], "a commit never goes back"
            settled = self.done[partition] | self.buried[partition]
            for number in range(offset):
                is_unwanted = self.log[partition][number] == UNWANTED
                assert is_unwanted or number in settled, "committed before it was settled"
            self.committed[partition] = offset

    def _forget(self, partition: int) -> None:
        self.retried_whole.pop(partition, None)
        for key in [key for key in self.tries if key[0] == partition]:
            del self.tries[key]

    @invariant()
    def everything_read_is_somewhere(self) -> None:
        for number, partition in self.batcher.partitions.items():
            held = [*partition.waiting]
            held += [r for piece in partition.retries for r in piece.records]
            held += partition.in_flight.records if partition.in_flight else ()
            offsets = {record.offset for record in held}
            values = self.log[number]
            unsettled = {
                offset
                for offset in range(self.committed[number], self.position[number])
                if values[offset] != UNWANTED
            }
            assert offsets == unsettled

    @invariant()
    def attempts_are_bounded(self) -> None:
        if self.policy.retries_max >= 0:
            assert all(count <= ATTEMPTS_OF_A_RECORD_MAX for count in self.tries.values())

    @invariant()
    def it_says_when_to_come_back(self) -> None:
        due = self.batcher.next_due(self.now)
        assert due is None or 0 <= due <= DELAY_S_MAX

    @override
    def teardown(self) -> None:
        try:
            if hasattr(self, "batcher"):
                self._everything_is_done_in_the_end()
        finally:
            self.patch.undo()

    def _everything_is_done_in_the_end(self) -> None:
        """Once the function works and every partition is ours."""
        for settled in self.running:
            self._settle(settled, Outcome({}))
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
                self._settle(settled, Outcome({}))
            self.running = []
        msg = f"{dict(self.committed)} of { ({p: len(r) for p, r in self.log.items()}) } is done"
        raise AssertionError(msg)


BatcherMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestBatcher = BatcherMachine.TestCase
