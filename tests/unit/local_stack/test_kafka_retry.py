"""What is tried again after a failure, and what is given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.model import Destination, KafkaSource
from local_stack.triggers.kafka.retry import (
    Condition,
    Outcome,
    Piece,
    Plan,
    Policy,
    Response,
    is_expired,
    plan,
)
from tests.support.kafka_records import a_record

if TYPE_CHECKING:
    from collections.abc import Iterable

ANSWER = Response("id", "Unhandled")
FAILED = Outcome(None, ANSWER)


def _piece(*offsets: int, **fields: Any) -> Piece:
    return Piece(0, tuple(a_record(0, offset) for offset in offsets), **fields)


def _offsets(pieces: Iterable[Piece]) -> list[list[int]]:
    return [[record.offset for record in piece.records] for piece in pieces]


def _source(**fields: Any) -> KafkaSource:
    return KafkaSource("S", "F", "t", ("b:1",), "g", **fields)


def test_what_is_done_is_not_tried_again() -> None:
    assert plan(_piece(1, 2), Outcome({}), Policy()) == Plan()
    assert plan(_piece(1, 2), Outcome({7: 3}), Policy()) == Plan()


def test_a_whole_batch_is_tried_again_without_an_end_by_default() -> None:
    piece = _piece(1, 2)
    for attempt in range(1, 200):
        planned = plan(piece, FAILED, Policy())
        assert planned.dead is None
        [piece] = planned.left
        assert piece.attempt == piece.invocations == attempt
    assert _offsets([piece]) == [[1, 2]]


@pytest.mark.parametrize("retries_max", [0, 1, 2, 10_000])
def test_after_the_retries_the_batch_is_given_up(retries_max: int) -> None:
    last = _piece(1, 2, attempt=retries_max)

    planned = plan(last, FAILED, Policy(retries_max))

    assert planned.left == ()
    assert planned.dead is not None
    assert _offsets([planned.dead]) == [[1, 2]]
    assert planned.dead.given_up == Condition.RETRIES
    assert planned.dead.response == ANSWER
    if retries_max:
        one_before = _piece(1, 2, attempt=retries_max - 1)
        assert plan(one_before, FAILED, Policy(retries_max)).dead is None


def test_with_a_destination_infinite_means_ten_retries() -> None:
    topic = Destination("kafka", "dead")

    assert Policy.of(_source()).retries_max == -1
    assert Policy.of(_source(on_failure=topic)).retries_max == 10
    assert Policy.of(_source(on_failure=topic, retries_max=3)).retries_max == 3
    assert Policy.of(_source(on_failure=topic, retries_max=10_000)).retries_max == 10_000


def test_bisecting_splits_a_failed_batch_and_uses_up_no_retry() -> None:
    piece = _piece(1, 2, 3, 4, 5, attempt=1)

    planned = plan(piece, FAILED, Policy(retries_max=1, bisect=True))

    assert _offsets(planned.left) == [[1, 2], [3, 4, 5]]
    assert [p.attempt for p in planned.left] == [1, 1]
    assert planned.dead is None


def test_one_record_cannot_be_split() -> None:
    planned = plan(_piece(1), FAILED, Policy(retries_max=0, bisect=True))

    assert planned.dead is not None


def test_a_reported_failure_cuts_the_batch_there_and_not_in_halves() -> None:
    reported = Outcome({0: 3}, Response("id", None))

    planned = plan(_piece(1, 2, 3, 4), reported, Policy(retries_max=2, bisect=True))

    assert _offsets(planned.left) == [[3, 4]]
    assert planned.left[0].attempt == 1


def test_progress_starts_the_count_anew_for_what_failed_now() -> None:
    planned = plan(_piece(1, 2, 3, attempt=2), Outcome({0: 2}), Policy(retries_max=2))

    assert [(p.attempt, _offsets([p])) for p in planned.left] == [(1, [[2, 3]])]
    stuck = plan(_piece(1, 2, 3, attempt=2), Outcome({0: 1}), Policy(retries_max=2))
    assert stuck.dead is not None


def test_without_retries_a_reported_failure_is_given_up_at_once() -> None:
    planned = plan(_piece(1, 2, 3), Outcome({0: 2}), Policy(retries_max=0))

    assert planned.dead is not None
    assert _offsets([planned.dead]) == [[2, 3]]


def test_what_did_not_reach_the_function_uses_up_no_retry() -> None:
    piece = _piece(1, 2)

    for policy in (Policy(0), Policy(0, bisect=True)):
        assert plan(piece, Outcome(None, counts=False), policy) == Plan((piece,))


def test_a_batch_that_is_too_large_is_split_and_a_record_that_is_is_given_up() -> None:
    too_large = Outcome(None, too_large=True)

    assert _offsets(plan(_piece(1, 2, 3), too_large, Policy()).left) == [[1], [2, 3]]
    planned = plan(_piece(1), too_large, Policy())
    assert planned.dead is not None
    assert planned.dead.given_up == Condition.PAYLOAD
    assert planned.dead.response is None


@pytest.mark.parametrize(
    ("age_s_max", "age_ms", "expired"),
    [(-1, 10**12, False), (60, 60_000, False), (60, 60_001, True), (604_800, 604_800_000, False)],
)
def test_a_record_expires_after_its_age(age_s_max: int, age_ms: int, expired: bool) -> None:
    record = a_record(timestamp=1_000)

    assert is_expired(record, Policy(age_s_max=age_s_max), 1_000 + age_ms) is expired


@given(
    count=st.integers(1, 40),
    poison=st.sets(st.integers(0, 39), max_size=4),
    retries_max=st.integers(0, 3),
)
def test_bisecting_isolates_exactly_the_poison(
    count: int, poison: set[int], retries_max: int
) -> None:
    poison = {offset for offset in poison if offset < count}
    policy, pieces = Policy(retries_max, bisect=True), [_piece(*range(count))]
    dead: list[int] = []
    done: list[int] = []
    invocations = 0
    while pieces:
        piece = pieces.pop(0)
        invocations += 1
        fails = any(record.offset in poison for record in piece.records)
        planned = plan(piece, FAILED if fails else Outcome({}), policy)
        pieces[:0] = planned.left
        if planned.dead is not None:
            dead += [record.offset for record in planned.dead.records]
        elif not planned.left:
            done += [record.offset for record in piece.records]

    assert dead == sorted(poison)
    assert sorted(done + dead) == list(range(count))
    assert done == sorted(done), "in order"
    # Each poison record: a path of splits, and its retries; then at most as many good halves.
    assert invocations <= 1 + len(poison) * (2 * 6 + retries_max + 1)
