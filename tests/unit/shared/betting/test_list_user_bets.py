"""A cursor is a place in a list; whatever else arrives as one is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.betting.bets import BetRow
from shared.betting.list_user_bets import _cursor, _read_cursor
from shared.errors import ValidationFailed

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def row(created_at: datetime, bet_id: UUID) -> BetRow:
    """A bet of which only its place matters."""
    one = Decimal("1.00")
    return BetRow(
        str(bet_id), "g", "n", "t", "open", one, "win", None, one, one, "accepted", "t", created_at
    )


@given(st.integers(min_value=0, max_value=2**53), st.uuids())
def test_a_cursor_leads_back_to_its_bet(microseconds: int, bet_id: UUID) -> None:
    created_at = EPOCH + timedelta(microseconds=microseconds)
    cursor = _cursor(row(created_at, bet_id))
    assert len(cursor) == 32
    read_at, read_id = _read_cursor(cursor, 0)
    assert read_at == created_at
    assert UUID(read_id) == bet_id


@pytest.mark.parametrize(
    "cursor", ["", "x", "A" * 31, "A" * 33, "A" * 36, "_" * 32, "ä" * 32, "A" * 31 + "=", "%00" * 8]
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        _read_cursor(cursor, 0)
    assert refused.value.details["errors"] == [
        {"pointer": "/cursor", "message": "is not a cursor of this list"}
    ]


@given(st.text(max_size=64))
def test_any_text_is_a_cursor_or_refused(cursor: str) -> None:
    try:
        moment, _ = _read_cursor(cursor, 0)
    except ValidationFailed:
        return
    assert moment >= EPOCH


def test_a_cursor_does_not_go_with_an_offset() -> None:
    cursor = _cursor(row(datetime(2026, 1, 1, tzinfo=UTC), UUID(int=1)))
    with pytest.raises(ValidationFailed):
        _read_cursor(cursor, 1)
