"""PostgreSQL's books: are they in balance, which bets do they hold, and what was verified already.

Everything is asked for a span of time and found through ids (UUIDv7 begins with milliseconds), so
a question costs what happened in the span, whatever the tables hold. The moments of a span are
those of the ledger (`created_at`); an id is at most `ID_MARGIN` away from it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from decimal import Decimal

    from shared.postgres import Connection

RECONCILE_LOCK = 0x7265636F6E63  # "reconc"
ID_MARGIN = timedelta(seconds=1)
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)  # before any bet


class Span(NamedTuple):
    """From a moment on, up to another and without it."""

    start: datetime
    end: datetime

    def params(self) -> dict[str, object]:
        """For the queries here."""
        return {
            "start": self.start,
            "end": self.end,
            "first_id": _id_at(self.start - ID_MARGIN),
            "last_id": _id_at(self.end + ID_MARGIN),
        }


class Remembered(NamedTuple):
    """What the last run left, and PostgreSQL's own time."""

    now: datetime
    verified_to: datetime | None
    resent_at: datetime | None
    oldest_waiting: datetime | None  # the first event in the outbox


class Digest(NamedTuple):
    """What two stores that hold the same bets agree on: count, stakes, and a sum over the ids."""

    bets: int
    stakes: Decimal
    tails: int


class BookFaults(NamedTuple):
    """What is wrong in a span of the ledger; all zero in books that balance."""

    broken_chains: int  # a row that does not begin where the user's row before it ended
    wrong_wallets: int  # a balance other than what the user's newest row left
    bets_without_entry: int
    entries_without_bet: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)


_IN_SPAN = (
    "id >= %(first_id)s AND id < %(last_id)s AND created_at >= %(start)s AND created_at < %(end)s"
)

_REMEMBERED: LiteralString = """
SELECT clock_timestamp(), verified_to, resent_at,
    (SELECT created_at FROM outbox ORDER BY id LIMIT 1)
FROM (VALUES (1)) AS always LEFT JOIN reconciliation ON true
"""

_DIGEST: LiteralString = f"""
SELECT count(*), coalesce(sum(amount), 0),
    coalesce(sum(('x' || right(id::text, 8))::bit(32)::bigint), 0)::bigint
FROM bets WHERE {_IN_SPAN}
"""  # noqa: S608 - a constant of ours

_IDS: LiteralString = f"SELECT id FROM bets WHERE {_IN_SPAN} ORDER BY id"  # noqa: S608 - a constant of ours

_CHUNK_END: LiteralString = f"""
SELECT created_at FROM bets WHERE {_IN_SPAN} ORDER BY id OFFSET %(most)s LIMIT 1
"""  # noqa: S608 - a constant of ours

# One statement sees one moment, so a bet that is being placed cannot look like a fault.
_FAULTS: LiteralString = f"""
WITH entries AS MATERIALIZED (
    SELECT id, user_id, bet_id, type, amount, balance_before, balance_after, created_at,
        lag(balance_after) OVER ledger AS left_before,
        lag(id) OVER ledger IS NULL AS is_first
    FROM wallet_transactions WHERE {_IN_SPAN}
    WINDOW ledger AS (PARTITION BY user_id ORDER BY id)
), placed AS MATERIALIZED (
    SELECT id, user_id, transaction_id, amount FROM bets WHERE {_IN_SPAN}
), broken AS (
    SELECT count(*) FROM entries LEFT JOIN LATERAL (
        SELECT balance_after FROM wallet_transactions AS earlier
        WHERE entries.is_first AND earlier.user_id = entries.user_id
            AND earlier.created_at <= entries.created_at AND earlier.id < entries.id
        ORDER BY earlier.created_at DESC, earlier.id DESC LIMIT 1
    ) AS before ON true
    WHERE balance_before <> coalesce(left_before, before.balance_after, 0)
), wrong AS (
    SELECT count(*) FROM (SELECT DISTINCT user_id FROM entries) AS touched
        JOIN wallets USING (user_id)
        CROSS JOIN LATERAL (
            SELECT balance_after FROM wallet_transactions AS newest
            WHERE newest.user_id = touched.user_id
            ORDER BY newest.created_at DESC, newest.id DESC LIMIT 1
        ) AS last
    WHERE wallets.balance <> last.balance_after
), unpaid AS (
    SELECT count(*) FROM placed LEFT JOIN wallet_transactions AS entry
        ON entry.id = placed.transaction_id AND entry.bet_id = placed.id AND entry.type = 'bet'
        AND entry.user_id = placed.user_id AND entry.amount = placed.amount
    WHERE entry.id IS NULL
), idle AS (
    SELECT count(*) FROM entries LEFT JOIN bets
        ON bets.id = entries.bet_id AND bets.transaction_id = entries.id
    WHERE entries.type = 'bet' AND bets.id IS NULL
)
SELECT broken.count, wrong.count, unpaid.count, idle.count FROM broken, wrong, unpaid, idle
"""  # noqa: S608 - a constant of ours

_REMEMBER: LiteralString = """
INSERT INTO reconciliation (verified_to, report)
VALUES (%(verified_to)s, %(report)s::jsonb)
ON CONFLICT (is_only) DO UPDATE SET
    verified_to = greatest(reconciliation.verified_to, excluded.verified_to),
    checked_at = now(), report = excluded.report
"""

_RESENT: LiteralString = """
INSERT INTO reconciliation (resent_at) VALUES (clock_timestamp())
ON CONFLICT (is_only) DO UPDATE SET resent_at = excluded.resent_at
"""


def try_lock(conn: Connection) -> bool:
    """Become the one run, unless there is one; it ends with `unlock`, or with the connection."""
    row = conn.execute("SELECT pg_try_advisory_lock(%s)", [RECONCILE_LOCK]).fetchone()
    assert row is not None
    return bool(row[0])


def unlock(conn: Connection) -> None:
    """Let the next run begin."""
    conn.execute("SELECT pg_advisory_unlock(%s)", [RECONCILE_LOCK])


def remembered(conn: Connection) -> Remembered:
    """What the last run left."""
    row = conn.row(_REMEMBERED, {})
    assert row is not None
    return Remembered._make(row)


def remember(
    conn: Connection,
    report: dict[str, Any],
    *,
    verified_to: datetime | None,
) -> None:
    """Leave what the next run needs; what was verified is never taken back."""
    conn.execute(
        _REMEMBER,
        {"verified_to": verified_to, "report": json.dumps(report)},
    )


def note_resent(conn: Connection) -> None:
    """Remember that missing bets were announced again just now."""
    conn.execute(_RESENT)


def chunk(conn: Connection, span: Span, bets_max: int) -> Span:
    """The beginning of `span`, with about `bets_max` bets at most; all of it if it has fewer."""
    row = conn.row(_CHUNK_END, {**span.params(), "most": bets_max})
    # A moment later than the start, or it would never end.
    return span if row is None or row[0] <= span.start else Span(span.start, row[0])


def digest(conn: Connection, span: Span) -> Digest:
    """Count, stakes and id sum of the bets in `span`."""
    row = conn.row(_DIGEST, span.params())
    assert row is not None
    return Digest._make(row)


def bet_ids(conn: Connection, span: Span) -> list[UUID]:
    """The bets in `span`; take a `chunk`, which bounds their number."""
    return [row[0] for row in conn.rows(_IDS, span.params())]


def faults(conn: Connection, span: Span) -> BookFaults:
    """What is wrong with the bets and ledger rows in `span`, and with the wallets they touched."""
    row = conn.row(_FAULTS, span.params())
    assert row is not None
    return BookFaults._make(row)


def _id_at(moment: datetime) -> UUID:
    """The lowest UUIDv7 of a millisecond."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)
