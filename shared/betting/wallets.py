"""The tables `wallets` and `wallet_transactions`, and the one statement that deposits."""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString, NamedTuple

from shared.betting.model import BALANCE_LIMIT
from shared.idempotency import KEY_KNOWN, KNOWN_KEY, UNLESS_KNOWN

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from shared.idempotency import RequestKey
    from shared.postgres import Connection

# The new balance comes from the locked row, for the reason that `shared.betting.bets` gives.
_CREDIT: LiteralString = """
wallet AS MATERIALIZED (
    SELECT wallets.user_id, wallets.balance, users.status
    FROM wallets JOIN users ON users.id = wallets.user_id
    WHERE wallets.user_id = %(user_id)s {unless_known}
    FOR NO KEY UPDATE OF wallets
), credited AS (
    UPDATE wallets SET
        balance = wallet.balance + %(amount)s::numeric, updated_at = clock_timestamp()
    FROM wallet
    WHERE wallets.user_id = wallet.user_id
        AND wallet.status = 'active'
        AND wallet.balance + %(amount)s::numeric < %(balance_limit)s::numeric
    RETURNING wallets.user_id, wallets.balance, wallets.updated_at AS at,
        uuidv7() AS transaction_id
), entry AS (
    INSERT INTO wallet_transactions (id, user_id, type, amount, balance_before, balance_after,
        created_at)
    SELECT transaction_id, user_id, 'deposit', %(amount)s, balance - %(amount)s::numeric,
        balance, at
    FROM credited
)
"""

_KEPT: LiteralString = """
, kept AS (
    INSERT INTO idempotency_keys (user_id, route, key, fingerprint, answer)
    SELECT user_id, %(route)s, %(key)s, %(fingerprint)s, json_build_object(
        'transactionId', transaction_id, 'newBalance', balance)
    FROM credited
)
"""

_OUTCOME: LiteralString = """
SELECT wallet.status, wallet.balance, credited.balance, credited.transaction_id::text, {key_known}
FROM (VALUES (1)) AS always LEFT JOIN wallet ON true LEFT JOIN credited ON true
"""

_DEPOSIT: LiteralString = (
    "WITH" + _CREDIT.format(unless_known="") + _OUTCOME.format(key_known="false")
)
_DEPOSIT_KEYED: LiteralString = (
    KNOWN_KEY
    + _CREDIT.format(unless_known=UNLESS_KNOWN)
    + _KEPT
    + _OUTCOME.format(key_known=KEY_KNOWN)
)

_SELECT: LiteralString = """
SELECT balance, currency, bet_count, updated_at FROM wallets WHERE user_id = %(user_id)s
"""


class DepositAttempt(NamedTuple):
    """What the statement found and did. Without a new balance it did nothing."""

    user_status: str | None
    balance: Decimal | None
    new_balance: Decimal | None
    transaction_id: str | None
    key_known: bool

    @property
    def accepted(self) -> bool:
        """Whether the money was credited."""
        return self.new_balance is not None


class WalletRow(NamedTuple):
    """What a wallet holds."""

    balance: Decimal
    currency: str
    bet_count: int
    updated_at: datetime


def insert_deposit(
    conn: Connection, user_id: str, amount: Decimal, key: RequestKey | None
) -> DepositAttempt:
    """Credit a wallet in one statement: balance, ledger row and idempotency key, or nothing."""
    params = {"user_id": user_id, "amount": amount, "balance_limit": BALANCE_LIMIT}
    if key is None:
        row = conn.row(_DEPOSIT, params)
    else:
        row = conn.row(_DEPOSIT_KEYED, {**params, **key.params()})
    assert row is not None, "the statement always answers with one row"
    return DepositAttempt._make(row)


def select_wallet(conn: Connection, user_id: str) -> WalletRow | None:
    """The wallet of a user; None if there is no such user."""
    row = conn.row(_SELECT, {"user_id": user_id})
    return None if row is None else WalletRow._make(row)
