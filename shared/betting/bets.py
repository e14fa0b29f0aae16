"""The table `bets`, and the one statement that places a bet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

from shared.betting.events import BET_EVENTS_TOPIC, REQUEST_ID_HEADER
from shared.idempotency import KEY_KNOWN, KNOWN_KEY, UNLESS_KNOWN
from shared.json_text import render_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal
    from uuid import UUID

    from shared.idempotency import RequestKey
    from shared.postgres import Connection

# One snapshot serves the whole statement, so after waiting for the wallet's lock only the locked
# row is read anew. Everything that decides is therefore taken from `wallet` and `game`, which lock
# what they read: the balance told in a refusal is the one it was refused on, and no bet slips past
# a closing. The new balance is computed from it too: PostgreSQL checks constraints on what it makes
# of the snapshot's row before it notices that the row has a successor, so `wallets.balance - amount`
# would be refused for being negative just after a deposit that covers it. Time and ids are taken
# after the lock, so they follow the order of the ledger.
_DEBIT: LiteralString = """
wallet AS MATERIALIZED (
    SELECT wallets.user_id, wallets.balance, users.status
    FROM wallets JOIN users ON users.id = wallets.user_id
    WHERE wallets.user_id = %(user_id)s {unless_known}
    FOR NO KEY UPDATE OF wallets
), game AS MATERIALIZED (
    SELECT status FROM games WHERE id = %(game_id)s {unless_known} FOR SHARE
), debited AS (
    UPDATE wallets SET
        balance = wallet.balance - %(amount)s::numeric,
        bet_count = wallets.bet_count + 1,
        updated_at = clock_timestamp()
    FROM wallet, game
    WHERE wallets.user_id = wallet.user_id
        AND wallet.status = 'active' AND game.status = 'open'
        AND wallet.balance >= %(amount)s::numeric
    RETURNING wallets.user_id, wallets.balance, wallets.updated_at AS at,
        uuidv7() AS bet_id, uuidv7() AS transaction_id
), bet AS (
    INSERT INTO bets (id, user_id, game_id, transaction_id, amount, odds, potential_win,
        bet_type, bet_value, created_at)
    SELECT bet_id, user_id, %(game_id)s, transaction_id, %(amount)s, %(odds)s, %(potential_win)s,
        %(bet_type)s, %(bet_value)s, at
    FROM debited
), entry AS (
    INSERT INTO wallet_transactions (id, user_id, bet_id, type, amount, balance_before,
        balance_after, created_at)
    SELECT transaction_id, user_id, bet_id, 'bet', %(amount)s, balance + %(amount)s::numeric,
        balance, at
    FROM debited
), event AS (
    INSERT INTO outbox (topic, key, headers, payload, created_at)
    SELECT %(topic)s, user_id, %(headers)s::jsonb, json_build_object(
        'eventId', transaction_id, 'eventType', 'bet.placed', 'version', 1, 'occurredAt', at,
        'betId', bet_id, 'userId', user_id, 'gameId', %(game_id)s::uuid,
        'amount', %(amount)s::text, 'betType', %(bet_type)s::text,
        'betValue', %(bet_value)s::text, 'odds', %(odds)s::text,
        'potentialWin', %(potential_win)s::text, 'transactionId', transaction_id,
        'newBalance', balance::text), at
    FROM debited
)
"""

# The event of a bet has the id of its ledger row, so it can be announced again as the same event.
_ANNOUNCE_AGAIN: LiteralString = """
INSERT INTO outbox (topic, key, headers, payload)
SELECT %(topic)s, bets.user_id, %(headers)s::jsonb, json_build_object(
    'eventId', entry.id, 'eventType', 'bet.placed', 'version', 1, 'occurredAt', bets.created_at,
    'betId', bets.id, 'userId', bets.user_id, 'gameId', bets.game_id,
    'amount', bets.amount::text, 'betType', bets.bet_type, 'betValue', bets.bet_value,
    'odds', bets.odds::text, 'potentialWin', bets.potential_win::text,
    'transactionId', entry.id, 'newBalance', entry.balance_after::text)
FROM bets JOIN wallet_transactions AS entry ON entry.id = bets.transaction_id
WHERE bets.id = ANY(%(ids)s::uuid[])
ORDER BY bets.id
"""

_KEPT: LiteralString = """
, kept AS (
    INSERT INTO idempotency_keys (user_id, route, key, fingerprint, answer)
    SELECT user_id, %(route)s, %(key)s, %(fingerprint)s, json_build_object(
        'betId', bet_id, 'transactionId', transaction_id, 'newBalance', balance)
    FROM debited
)
"""

_OUTCOME: LiteralString = """
SELECT wallet.status, game.status, wallet.balance, debited.balance,
    debited.bet_id::text, debited.transaction_id::text, {key_known}
FROM (VALUES (1)) AS always
    LEFT JOIN wallet ON true LEFT JOIN game ON true LEFT JOIN debited ON true
"""

_PLACE: LiteralString = "WITH" + _DEBIT.format(unless_known="") + _OUTCOME.format(key_known="false")
_PLACE_KEYED: LiteralString = (
    KNOWN_KEY
    + _DEBIT.format(unless_known=UNLESS_KNOWN)
    + _KEPT
    + _OUTCOME.format(key_known=KEY_KNOWN)
)

_PAGE: LiteralString = """
SELECT wallets.bet_count, page.*
FROM wallets LEFT JOIN LATERAL (
    SELECT bets.id::text, bets.game_id::text, games.name, games.type, games.status, bets.amount,
        bets.bet_type, bets.bet_value, bets.odds, bets.potential_win, bets.status AS bet_status,
        bets.transaction_id::text, bets.created_at
    FROM bets JOIN games ON games.id = bets.game_id
    WHERE bets.user_id = wallets.user_id {older}
    ORDER BY bets.created_at DESC, bets.id DESC
    LIMIT %(limit)s {skip}
) AS page ON true
WHERE wallets.user_id = %(user_id)s
ORDER BY page.created_at DESC, page.id DESC
"""

_PAGE_AT_OFFSET: LiteralString = _PAGE.format(older="", skip="OFFSET %(offset)s")
_PAGE_OLDER: LiteralString = _PAGE.format(
    older="AND (bets.created_at, bets.id) < (%(created_at)s, %(bet_id)s)", skip=""
)


class BetAttempt(NamedTuple):
    """What the statement found and did. Without a new balance it did nothing."""

    user_status: str | None
    game_status: str | None
    balance: Decimal | None
    new_balance: Decimal | None
    bet_id: str | None
    transaction_id: str | None
    key_known: bool

    @property
    def accepted(self) -> bool:
        """Whether the bet was placed."""
        return self.new_balance is not None


class BetRow(NamedTuple):
    """A bet with what its game is now."""

    bet_id: str
    game_id: str
    game_name: str
    game_type: str
    game_status: str
    amount: Decimal
    bet_type: str
    bet_value: str | None
    odds: Decimal
    potential_win: Decimal
    status: str
    transaction_id: str
    created_at: datetime


class BetPage(NamedTuple):
    """Some bets of a user, newest first, and how many there are in all."""

    bet_count: int
    bets: list[BetRow]


def insert_bet(
    conn: Connection,
    bet: Mapping[str, object],
    request_id: str,
    key: RequestKey | None,
) -> BetAttempt:
    """Place a bet in one statement: debit, bet, ledger row, event and idempotency key, or nothing.

    `bet` has user_id, game_id, amount, odds, potential_win, bet_type and bet_value, all valid.
    """
    params = {
        **bet,
        "topic": BET_EVENTS_TOPIC,
        "headers": render_json({"content-type": "application/json", REQUEST_ID_HEADER: request_id}),
    }
    if key is None:
        row = conn.row(_PLACE, params)
    else:
        row = conn.row(_PLACE_KEYED, {**params, **key.params()})
    assert row is not None, "the statement always answers with one row"
    return BetAttempt._make(row)


def announce_again(conn: Connection, ids: Sequence[UUID], request_id: str) -> int:
    """Put the events of these bets into the outbox once more; returns how many bets there were."""
    headers = {"content-type": "application/json", REQUEST_ID_HEADER: request_id}
    return conn.execute(
        _ANNOUNCE_AGAIN,
        {"topic": BET_EVENTS_TOPIC, "headers": render_json(headers), "ids": list(ids)},
    ).rowcount


def select_bets_at_offset(
    conn: Connection, user_id: str, *, limit: int, offset: int
) -> BetPage | None:
    """`limit` bets of a user after skipping `offset`; None if there is no such user."""
    return _page(conn.rows(_PAGE_AT_OFFSET, {"user_id": user_id, "limit": limit, "offset": offset}))


def select_bets_older(
    conn: Connection, user_id: str, *, limit: int, created_at: datetime, bet_id: str
) -> BetPage | None:
    """`limit` bets of a user older than the given one; None if there is no such user."""
    return _page(
        conn.rows(
            _PAGE_OLDER,
            {"user_id": user_id, "limit": limit, "created_at": created_at, "bet_id": bet_id},
        )
    )


def _page(rows: Sequence[tuple[Any, ...]]) -> BetPage | None:
    if not rows:
        return None
    # A user without bets on this page is one row of nulls beside the count.
    return BetPage(rows[0][0], [BetRow._make(row[1:]) for row in rows if row[1] is not None])
