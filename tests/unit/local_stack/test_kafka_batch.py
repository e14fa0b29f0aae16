"""How batches are cut, and what is committed when they are settled."""

from __future__ import annotations

from local_stack.triggers.kafka.batch import PAYLOAD_BYTES_MAX, Batch, Batcher
from local_stack.triggers.kafka.event import build_event
from local_stack.triggers.kafka.retry import Outcome, Policy, plan
from tests.support.kafka_records import a_record

WINDOW_S = 0.5
SIZE = 5


def _batcher(*partitions: int, size: int = SIZE) -> Batcher:
    batcher = Batcher(batch_size=size, window_s=WINDOW_S)
    batcher.assign(partitions)
    return batcher


def _add(batcher: Batcher, partition: int, *offsets: int, now: float = 0.0) -> None:
    batcher.add([a_record(partition, offset) for offset in offsets], now)


def _offsets(batch: Batch | None) -> list[tuple[int, int]]:
    assert batch is not None
    return [(record.partition, record.offset) for record in batch.records]


def _next(batcher: Batcher, now: float = 0.0) -> Batch:
    batch = batcher.next_batch(now)
    assert batch is not None
    return batch


def _settle(
    batcher: Batcher, batch: Batch, failed: dict[int, int] | None, retry_at: float
) -> dict[int, int]:
    """Settle as a mapping without limits does; returns what is to be committed."""
    plans = {piece.partition: plan(piece, Outcome(failed), Policy()) for piece in batch.pieces}
    batcher.settle(batch, {n: found.left for n, found in plans.items()}, lambda _: retry_at)
    return batcher.commits()


# --- cutting ---------------------------------------------------------------------------------


def test_nothing_is_due_before_the_window_has_passed() -> None:
    batcher = _batcher(0)
    _add(batcher, 0, 0, 1, now=10.0)

    assert batcher.next_batch(10.499) is None
    assert batcher.next_due(10.2) == 0.3000000000000007
    assert _offsets(batcher.next_batch(10.5)) == [(0, 0), (0, 1)]


def test_the_window_counts_from_the_first_record() -> None:
    batcher = _batcher(0)
    _add(batcher, 0, 0, now=10.0)
    _add(batcher, 0, 1, now=10.4)

    assert _offsets(batcher.next_batch(10.5)) == [(0, 0), (0, 1)]


def test_a_full_batch_goes_at_once_and_holds_no_record_more() -> None:
    batcher = _batcher(0)
    _add(batcher, 0, *range(SIZE - 1))
    assert batcher.next_batch(0.0) is None

    _add(batcher, 0, *range(SIZE - 1, SIZE + 2))

    assert _offsets(batcher.next_batch(0.0)) == [(0, offset) for offset in range(SIZE)]
    assert batcher.waiting() == 2


def test_records_of_several_partitions_fill_one_batch() -> None:
    batcher = _batcher(0, 1, 2)
    _add(batcher, 1, 7, now=0.1)
    _add(batcher, 0, 3, 4, now=0.2)

    batch = _next(batcher, 0.6)

    assert _offsets(batch) == [(1, 7), (0, 3), (0, 4)]
    assert [piece.partition for piece in batch.pieces] == [1, 0]


def test_the_partition_that_waited_longest_comes_first() -> None:
    batcher = _batcher(0, 1, size=2)
    _add(batcher, 0, 0, 1, now=0.2)
    _add(batcher, 1, 0, 1, now=0.1)

    assert _offsets(batcher.next_batch(0.3)) == [(1, 0), (1, 1)]


def test_a_window_of_zero_sends_whatever_is_there() -> None:
    batcher = Batcher(batch_size=SIZE, window_s=0.0)
    batcher.assign([0])
    _add(batcher, 0, 0)

    assert _offsets(batcher.next_batch(0.0)) == [(0, 0)]


def test_a_batch_fits_into_a_payload() -> None:
    batcher = _batcher(0, size=10_000)
    value = b"x" * 1_000_000
    batcher.add([a_record(0, offset, value=value) for offset in range(6)], 0.0)

    batch = _next(batcher)  # the bytes alone make it due

    assert len(batch.records) == 4
    assert len(build_event(batch.records, ["b:9092"])) <= PAYLOAD_BYTES_MAX
    assert batcher.next_batch(0.0) is None


def test_another_partition_does_not_make_a_payload_too_large() -> None:
    batcher = _batcher(0, 1, size=10_000)
    value = b"x" * 3_000_000
    batcher.add([a_record(0, 0, value=value)], 0.0)
    batcher.add([a_record(1, 0, value=value)], 0.1)

    assert _offsets(batcher.next_batch(0.2)) == [(0, 0)]
    assert _offsets(batcher.next_batch(0.6)) == [(1, 0)]


def test_a_record_too_large_for_any_payload_goes_alone() -> None:
    batcher = _batcher(0, 1)
    batcher.add([a_record(0, 0, value=b"x" * 7_000_000), a_record(0, 1), a_record(1, 0)], 0.0)

    assert _offsets(batcher.next_batch(0.0)) == [(0, 0)]
    assert _offsets(batcher.next_batch(1.0)) == [(1, 0)]


def test_a_partition_is_full_at_a_batch_or_a_payload() -> None:
    batcher = _batcher(0, 1)
    _add(batcher, 0, *range(SIZE - 1))
    assert not batcher.full(0)
    _add(batcher, 0, SIZE - 1)
    assert batcher.full(0)

    batcher.add([a_record(1, 0, value=b"x" * 5_000_000)], 0.0)
    assert batcher.full(1)
    assert not batcher.full(2)


# --- settling --------------------------------------------------------------------------------


def test_what_is_done_is_committed_to_the_next_offset() -> None:
    batcher = _batcher(0, 1)
    _add(batcher, 0, 3, 4)
    _add(batcher, 1, 7)

    assert _settle(batcher, _next(batcher, 1.0), {}, 0.0) == {0: 5, 1: 8}
    assert (batcher.in_flight(), batcher.waiting()) == (0, 0)


def test_offsets_may_have_gaps() -> None:
    batcher = _batcher(0)
    _add(batcher, 0, 3, 9, 20)

    assert _settle(batcher, _next(batcher, 1.0), {0: 9}, 0.0) == {0: 9}
    assert _offsets(batcher.next_batch(0.0)) == [(0, 9), (0, 20)]


def test_a_partition_has_one_batch_in_flight() -> None:
    batcher = _batcher(0, size=1)
    _add(batcher, 0, 0, 1)
    batch = _next(batcher)

    assert batcher.next_batch(100.0) is None
    assert batcher.next_due(100.0) is None
    _settle(batcher, batch, {}, 0.0)
    assert _offsets(batcher.next_batch(100.0)) == [(0, 1)]


def test_a_failed_batch_commits_nothing_and_comes_again_when_it_is_time() -> None:
    batcher = _batcher(0)
    _add(batcher, 0, 0, 1)

    assert _settle(batcher, _next(batcher, 1.0), None, 5.0) == {}
    assert batcher.next_batch(4.999) is None
    assert batcher.next_due(4.0) == 1.0
    batch = _next(batcher, 5.0)
    assert _offsets(batch) == [(0, 0), (0, 1)]
    assert [piece.attempt for piece in batch.pieces] == [1]


def test_attempts_are_counted_until_something_is_done() -> None:
    batcher = _batcher(0)
    _add(batcher, 0, 0, 1, 2)

    attempts = []
    for failed in (None, None, {0: 1}, {0: 1}, {}):
        batch = _next(batcher, 1.0)
        attempts.append(batch.pieces[0].attempt)
        _settle(batcher, batch, failed, 0.0)

    # {0: 1} does one record and fails two; done again, it does none.
    assert attempts == [0, 1, 2, 1, 2]
    assert batcher.waiting() == 0


def test_a_failed_batch_of_several_partitions_is_retried_partition_by_partition() -> None:
    batcher = _batcher(0, 1)
    _add(batcher, 0, 0)
    _add(batcher, 1, 0)
    _settle(batcher, _next(batcher, 1.0), None, 2.0)

    one, other = _next(batcher, 2.0), _next(batcher, 2.0)

    assert {tuple(_offsets(one)), tuple(_offsets(other))} == {((0, 0),), ((1, 0),)}


def test_a_failing_partition_blocks_only_itself() -> None:
    batcher = _batcher(0, 1)
    _add(batcher, 0, 0)
    _add(batcher, 1, 0)
    assert _settle(batcher, _next(batcher, 1.0), {0: 0}, 1e9) == {1: 1}

    _add(batcher, 0, 1, now=1.0)
    _add(batcher, 1, 1, now=1.0)

    assert _offsets(batcher.next_batch(2.0)) == [(1, 1)]
    assert batcher.next_batch(2.0) is None


def test_what_failed_comes_again_alone_and_exactly_as_it_was() -> None:
    batcher = _batcher(0)
    _add(batcher, 0, 0, 1, 2)
    batch = _next(batcher, 1.0)
    _add(batcher, 0, 3, now=1.0)

    _settle(batcher, batch, {0: 1}, 0.0)
    _add(batcher, 0, 4, now=1.0)

    for _ in range(2):
        retry = _next(batcher, 1.0)
        assert _offsets(retry) == [(0, 1), (0, 2)]
        _settle(batcher, retry, None, 0.0)
    _settle(batcher, _next(batcher, 1.0), {}, 0.0)
    assert _offsets(batcher.next_batch(2.0)) == [(0, 3), (0, 4)]


def test_pieces_of_a_split_batch_come_one_after_the_other() -> None:
    batcher = _batcher(0)
    _add(batcher, 0, 0, 1, 2, 3)
    batch = _next(batcher, 1.0)
    halves = plan(batch.pieces[0], Outcome(None), Policy(bisect=True)).left

    batcher.settle(batch, {0: halves}, lambda _: 0.0)

    first = _next(batcher, 1.0)
    assert _offsets(first) == [(0, 0), (0, 1)]
    assert batcher.next_batch(1.0) is None
    assert _settle(batcher, first, {}, 0.0) == {0: 2}
    assert _offsets(batcher.next_batch(1.0)) == [(0, 2), (0, 3)]


def test_the_wait_grows_with_failures_in_a_row_and_starts_anew_after_a_success() -> None:
    batcher = _batcher(0, size=1)
    _add(batcher, 0, 0, 1)
    seen: list[int] = []

    def retry_at(failures: int) -> float:
        seen.append(failures)
        return 0.0

    for outcome in ("fails", "fails", "works", "fails"):
        batch = _next(batcher, 1.0)
        left = {0: batch.pieces} if outcome == "fails" else {}
        batcher.settle(batch, left, retry_at)

    assert seen == [1, 2, 1]


# --- filtered out ----------------------------------------------------------------------------


def _even(batcher_size: int = SIZE) -> Batcher:
    batcher = Batcher(
        batch_size=batcher_size, window_s=WINDOW_S, passes=lambda record: record.offset % 2 == 0
    )
    batcher.assign([0])
    return batcher


def test_what_is_filtered_out_is_in_no_batch_and_is_settled_with_what_comes_before() -> None:
    batcher = _even()

    assert batcher.add([a_record(0, offset) for offset in range(6)], 0.0) == 3

    assert batcher.commits() == {}
    batch = _next(batcher, 1.0)
    assert _offsets(batch) == [(0, 0), (0, 2), (0, 4)]
    assert _settle(batcher, batch, {0: 2}, 0.0) == {0: 2}
    assert _settle(batcher, _next(batcher, 1.0), {}, 0.0) == {0: 6}


def test_a_partition_of_which_nothing_passes_is_committed_all_the_same() -> None:
    batcher = _even()
    _add(batcher, 0, 1, 3, 5)

    assert batcher.next_batch(10.0) is None
    assert batcher.commits() == {0: 6}
    assert batcher.commits() == {}


def test_what_was_only_read_is_not_committed() -> None:
    batcher = _batcher(0)
    _add(batcher, 0, 7, 8)

    assert batcher.commits() == {}
    _next(batcher, 1.0)
    assert batcher.commits() == {}


# --- rebalancing -----------------------------------------------------------------------------


def test_what_waits_of_a_partition_that_is_taken_away_is_forgotten() -> None:
    batcher = _batcher(0, 1)
    _add(batcher, 0, 0)
    _add(batcher, 1, 0)

    batcher.revoke([0])
    _add(batcher, 0, 1)

    assert _offsets(batcher.next_batch(1.0)) == [(1, 0)]


def test_a_batch_of_a_partition_that_was_taken_away_commits_nothing() -> None:
    batcher = _batcher(0, 1)
    _add(batcher, 0, 0)
    _add(batcher, 1, 0)
    batch = _next(batcher, 1.0)

    batcher.revoke([0])

    assert _settle(batcher, batch, {}, 0.0) == {1: 1}


def test_a_partition_that_comes_back_waits_for_its_old_batch() -> None:
    batcher = _batcher(0)
    _add(batcher, 0, 0)
    old = _next(batcher, 1.0)
    batcher.revoke([0])
    batcher.assign([0])
    _add(batcher, 0, 0, now=1.0)

    assert batcher.next_batch(10.0) is None
    assert _settle(batcher, old, {}, 0.0) == {}
    assert _offsets(batcher.next_batch(10.0)) == [(0, 0)]


def test_a_partition_that_is_assigned_again_starts_anew() -> None:
    batcher = _batcher(0)
    _add(batcher, 0, 0)
    _settle(batcher, _next(batcher, 1.0), None, 1e9)

    batcher.assign([0])
    _add(batcher, 0, 0, now=2.0)

    batch = _next(batcher, 2.5)
    assert (_offsets(batch), batch.pieces[0].attempt) == ([(0, 0)], 0)
