"""The sink's pure parts: spans of time and tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from shared.betting.events import BetPlacedV1
from shared.betting.sink_bet_events import SPANS_MAX, _spans, _token
from tests.support.events import MOMENT, bet_event

if TYPE_CHECKING:
    from collections.abc import Sequence


def bets_at(minutes: Sequence[float]) -> list[BetPlacedV1]:
    return [
        BetPlacedV1.model_validate(
            bet_event(occurredAt=(MOMENT + timedelta(minutes=minute)).isoformat())
        )
        for minute in minutes
    ]


def minute_us(minute: float) -> int:
    return round((MOMENT + timedelta(minutes=minute)).timestamp() * 1e6)


def test_events_close_together_are_one_span() -> None:
    assert _spans(bets_at([5, 0, 59, 60])) == [(minute_us(0) - 1_000, minute_us(60) + 1_000)]


def test_an_old_event_among_new_ones_has_a_span_of_its_own() -> None:
    assert _spans(bets_at([0, 100_000, 100_001])) == [
        (minute_us(0) - 1_000, minute_us(0) + 1_000),
        (minute_us(100_000) - 1_000, minute_us(100_001) + 1_000),
    ]


def test_as_many_spans_as_the_bound_are_kept_apart_and_more_become_one() -> None:
    days = [24 * 60 * day for day in range(SPANS_MAX + 1)]
    assert len(_spans(bets_at(days[:-1]))) == SPANS_MAX
    assert _spans(bets_at(days)) == [(minute_us(0) - 1_000, minute_us(days[-1]) + 1_000)]


@given(st.lists(st.floats(0, 100_000), min_size=1, max_size=50))
def test_every_event_lies_in_a_span(minutes: list[float]) -> None:
    spans = _spans(bets_at(minutes))
    for minute in minutes:
        assert any(first <= minute_us(minute) <= last for first, last in spans)
    assert spans == sorted(spans)


@given(st.lists(st.uuids(), min_size=1, unique=True), st.randoms())
def test_a_token_depends_on_the_events_and_not_on_their_order(
    ids: list[UUID], chance: object
) -> None:
    shuffled = list(ids)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert _token(ids) == _token(shuffled)
    assert _token(ids) != _token([*ids[1:], UUID(int=ids[0].int ^ 1)])
    assert _token(ids) != _token(ids[1:])
