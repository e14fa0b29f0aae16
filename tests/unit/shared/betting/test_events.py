"""What a reader of `bet-events` makes of what it finds there."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.betting.events import BetPlacedV1, decode_bet_event
from shared.errors import PoisonRecord
from tests.support.events import bet_event


def encoded(event: object) -> bytes:
    return json.dumps(event).encode()


def test_a_bet_is_read_with_its_types() -> None:
    event = bet_event(occurredAt="2026-11-24T13:30:00.123456+01:00", betValue=None)
    bet = decode_bet_event(encoded(event))
    assert isinstance(bet, BetPlacedV1)
    assert bet.event_id == UUID(event["eventId"])
    assert bet.occurred_at == datetime(2026, 11, 24, 12, 30, 0, 123456, UTC)
    assert bet.amount == Decimal("10.50")
    assert bet.bet_value is None


def test_fields_that_are_not_known_are_ignored() -> None:
    assert decode_bet_event(encoded(bet_event(channel="mobile", tags=[1, {"a": None}])))


@pytest.mark.parametrize(
    "changes",
    [
        {"eventType": "bet.settled"},
        {"eventType": "bet.settled", "version": 7, "amount": None},
        {"version": 2},
        {"version": 2, "amount": {"value": "1.00", "currency": "EUR"}},
    ],
    ids=str,
)
def test_what_is_for_other_readers_is_skipped(changes: dict[str, Any]) -> None:
    assert decode_bet_event(encoded(bet_event(**changes))) is None


def test_a_tombstone_is_skipped() -> None:
    assert decode_bet_event(None) is None


POISON: dict[str, Any] = {
    "empty": b"",
    "not JSON": b"bet!",
    "not UTF-8": b"\xff\xfe",
    "cut off": encoded(bet_event())[:-1],
    "a list": b"[]",
    "a number": b"1",
    "nested without end": b"[" * 100_000,
    "a number without end": b'{"eventType":"bet.placed","version":' + b"9" * 5_000 + b"}",
    "no event id": encoded({k: v for k, v in bet_event().items() if k != "eventId"}),
    "no type": encoded(bet_event(eventType=None)),
    "a type of another topic": encoded(bet_event(eventType="user.created")),
    "version in words": encoded(bet_event(version="one")),
    "version zero": encoded(bet_event(version=0)),
    "not a UUID": encoded(bet_event(betId="7")),
    "amount is text": encoded(bet_event(amount="much")),
    "amount is not a number": encoded(bet_event(amount="NaN")),
    "amount is infinite": encoded(bet_event(amount="Infinity")),
    "amount is negative": encoded(bet_event(amount="-0.01")),
    "amount has three decimals": encoded(bet_event(amount="1.005")),
    "amount has too many digits": encoded(bet_event(amount="12345678901234567.00")),
    "odds are zero": encoded(bet_event(odds="0.00")),
    "no bet type": encoded(bet_event(betType="")),
    "a bet type without end": encoded(bet_event(betType="x" * 65)),
    "a bet value without end": encoded(bet_event(betValue="x" * 1_001)),
    "half a character": encoded(bet_event(betValue="\ud800")),
    "no time zone": encoded(bet_event(occurredAt="2026-11-24T12:30:00")),
    "time is a number": encoded(bet_event(occurredAt=5)),
    "long ago": encoded(bet_event(occurredAt="1999-12-31T23:59:59Z")),
    "too far away": encoded(bet_event(occurredAt="2200-01-01T00:00:00Z")),
}


@pytest.mark.parametrize("value", POISON.values(), ids=POISON.keys())
def test_what_nobody_can_read_is_poison_with_a_reason(value: bytes) -> None:
    with pytest.raises(PoisonRecord) as caught:
        decode_bet_event(value)
    assert caught.value.message
    assert caught.value.message != PoisonRecord.default_message()


def test_limits_can_be_reached() -> None:
    event = bet_event(
        amount="9999999999999999.99",
        betType="x" * 64,
        betValue="x" * 1_000,
        occurredAt="2199-12-31T23:59:59.999999Z",
    )
    assert decode_bet_event(encoded(event))


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(encoded)
)
def test_any_bytes_are_read_skipped_or_poison(value: bytes) -> None:
    with suppress(PoisonRecord):
        decode_bet_event(value)


@given(st.sampled_from(sorted(bet_event())), st.none() | st.integers() | st.text() | st.booleans())
def test_any_value_of_any_field_is_read_skipped_or_poison(field: str, value: object) -> None:
    with suppress(PoisonRecord):
        decode_bet_event(encoded(bet_event(**{field: value})))
