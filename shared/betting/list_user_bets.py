"""Reading a user's bets, newest first: by offset for people, by cursor for whoever wants all."""

import base64
from datetime import UTC, datetime, timedelta

from shared.betting.bets import BetRow, select_bets_at_offset, select_bets_older
from shared.betting.model import Answer, Id, Money
from shared.errors import UserNotFound, ValidationFailed
from shared.postgres import connection

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
# Every bet skipped is read; whoever wants more of them uses a cursor.
OFFSET_MAX = 100_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR_BYTES = 8 + 16


class ListedBet(Answer):
    """A bet, with what its game is now."""

    bet_id: Id
    game_id: Id
    game_name: str
    game_type: str
    game_status: str
    amount: Money
    bet_type: str
    bet_value: str | None
    odds: Money
    potential_win: Money
    status: str
    transaction_id: Id
    created_at: datetime


class Pagination(Answer):
    """Where this page stands; `next_cursor` is null on the last one."""

    limit: int
    offset: int
    total: int
    next_cursor: str | None


class UserBets(Answer):
    """A page of a user's bets, newest first."""

    user_id: Id
    bets: list[ListedBet]
    pagination: Pagination


def list_user_bets(
    user_id: str, *, limit: int = LIMIT_DEFAULT, offset: int = 0, cursor: str | None = None
) -> UserBets:
    """A page of a user's bets: after `offset` of them, or those older than `cursor` tells.

    A page read by cursor neither repeats nor misses a bet that was there when the first page was
    read. Raises `UserNotFound`, and `ValidationFailed` for a cursor that is not ours or that
    comes with an offset.
    """
    # One more than asked for tells whether there is a next page.
    with connection() as conn:
        if cursor is None:
            page = select_bets_at_offset(conn, user_id, limit=limit + 1, offset=offset)
        else:
            created_at, bet_id = _read_cursor(cursor, offset)
            page = select_bets_older(
                conn, user_id, limit=limit + 1, created_at=created_at, bet_id=bet_id
            )
    if page is None:
        raise UserNotFound
    shown = page.bets[:limit]
    next_cursor = _cursor(shown[-1]) if len(page.bets) > limit else None
    return UserBets(
        user_id=user_id,
        bets=[ListedBet(**row._asdict()) for row in shown],
        pagination=Pagination(
            limit=limit, offset=offset, total=page.bet_count, next_cursor=next_cursor
        ),
    )


def _cursor(row: BetRow) -> str:
    """The place after `row`: when it was placed, in microseconds, and its id."""
    microseconds = (row.created_at - _EPOCH) // timedelta(microseconds=1)
    place = microseconds.to_bytes(8, "big") + bytes.fromhex(row.bet_id.replace("-", ""))
    return base64.urlsafe_b64encode(place).decode()


def _read_cursor(cursor: str, offset: int) -> tuple[datetime, str]:
    if offset:
        raise _invalid("/cursor", "cannot be combined with offset")
    try:
        place = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        if len(place) != _CURSOR_BYTES:
            raise _invalid("/cursor", "is not a cursor of this list")
        microseconds = int.from_bytes(place[:8], "big")
        return _EPOCH + timedelta(microseconds=microseconds), place[8:].hex()
    except (ValueError, OverflowError):
        raise _invalid("/cursor", "is not a cursor of this list") from None


def _invalid(pointer: str, message: str) -> ValidationFailed:
    return ValidationFailed(errors=[{"pointer": pointer, "message": message}])
