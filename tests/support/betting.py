"""The platform as a customer and an auditor see it: people, games, books and arrivals.

It goes through HTTP, PostgreSQL and ClickHouse, and imports nothing of the application: what the
application believes of itself is not evidence.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, LiteralString
from uuid import uuid4

import clickhouse_connect
import httpx
import psycopg

from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.stack import StackUnderTest

GAME = "f783c034-82a0-4da5-b94a-06662871f974"  # of the demo data, open
RELAY_LOCK = 0x6F7574626F78  # docs/operations.md: who holds it is the relay
ANSWER_TIMEOUT_S = 30
ARRIVAL_TIMEOUT_S = 90

_WALLETS_ARE_SUMS = """
SELECT count(*) FROM wallets LEFT JOIN (
    SELECT user_id, sum(balance_after - balance_before) AS total
    FROM wallet_transactions GROUP BY user_id
) AS ledger USING (user_id)
WHERE balance <> coalesce(total, 0)
"""
_BETS_WITHOUT_LEDGER_ROW = """
SELECT count(*) FROM bets LEFT JOIN wallet_transactions AS ledger ON ledger.id = bets.transaction_id
WHERE ledger.bet_id IS DISTINCT FROM bets.id OR ledger.type <> 'bet'
    OR ledger.amount <> bets.amount OR ledger.user_id <> bets.user_id
"""
_LEDGER_ROWS_WITHOUT_BET = """
SELECT count(*) FROM wallet_transactions AS ledger LEFT JOIN bets ON bets.id = ledger.bet_id
WHERE ledger.type = 'bet' AND bets.transaction_id IS DISTINCT FROM ledger.id
"""
_BET_COUNTS = """
SELECT count(*) FROM wallets
LEFT JOIN (SELECT user_id, count(*) AS placed FROM bets GROUP BY user_id) AS bet USING (user_id)
WHERE bet_count <> coalesce(placed, 0)
"""
_CHAINS = """
SELECT count(*) FROM (
    SELECT balance_before, lag(balance_after, 1, 0.00)
        OVER (PARTITION BY user_id ORDER BY created_at, id) AS before
    FROM wallet_transactions
) AS ledger WHERE balance_before <> before
"""
_EVERYTHING = """
SELECT (SELECT count(*) FROM bets), (SELECT count(*) FROM wallet_transactions),
    (SELECT count(*) FROM idempotency_keys), (SELECT sum(balance) FROM wallets),
    (SELECT sum(bet_count) FROM wallets), (SELECT last_value FROM outbox_id_seq),
    (SELECT count(*) FROM users), (SELECT count(*) FROM games)
"""
_ARRIVED = """
SELECT (SELECT uniqExact(bet_id) FROM bet_events), (SELECT count() FROM bet_events),
    (SELECT sum(bet_count) FROM bets_hourly), (SELECT sum(bet_count) FROM bets_daily),
    (SELECT sum(total_amount) FROM bets_daily)
"""


@dataclass(slots=True)
class Platform:
    """One running stack, and clients that keep their connections."""

    stack: StackUnderTest
    http: httpx.Client
    database: psycopg.Connection  # every statement commits by itself

    def restart(self) -> None:
        """Stop the stack as a person would, and start it again."""
        self.database.close()
        self.stack.cli("down")
        self.stack.cli("up")
        self.database = psycopg.connect(self.stack.database_url, autocommit=True)

    # ---- a customer ----

    def bet(
        self, user_id: str, amount: str = "1.00", key: str | None = None, **changes: object
    ) -> httpx.Response:
        """Place a bet; `changes` are further members of the request."""
        body = {
            "userId": user_id,
            "gameId": GAME,
            "amount": float(amount),
            "betType": "win",
            "odds": 2.5,
            **changes,
        }
        return self.http.post("/api/bet", json=body, headers=_key(key))

    def deposit(self, user_id: str, amount: str, key: str | None = None) -> httpx.Response:
        """Put money into a wallet."""
        path = f"/api/wallets/{user_id}/deposits"
        return self.http.post(path, json={"amount": float(amount)}, headers=_key(key))

    # ---- the database ----

    def rows(self, query: LiteralString, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What PostgreSQL answers."""
        return self.database.execute(query, params).fetchall()

    def row(self, query: LiteralString, params: Sequence[object] = ()) -> tuple[Any, ...]:
        """The one row that PostgreSQL answers."""
        (row,) = self.rows(query, params)
        return row

    def new_user(self, balance: str = "0.00", status: str = "active") -> str:
        """Somebody with that much money, which a deposit in the ledger explains."""
        user_id = str(uuid4())
        with self.database.transaction():
            add_user(self.database, user_id, balance, status)
        return user_id

    def balance(self, user_id: str) -> Decimal:
        """What the wallet's row holds."""
        (balance,) = self.row("SELECT balance FROM wallets WHERE user_id = %s", [user_id])
        assert isinstance(balance, Decimal)
        return balance

    def everything(self) -> tuple[Any, ...]:
        """Counts and sums of all that a request could change."""
        return self.row(_EVERYTHING)

    @contextlib.contextmanager
    def relay_stopped(self) -> Iterator[None]:
        """Be the relay for the length of the block, so that what waits in the outbox stays."""
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [RELAY_LOCK])
            yield

    # ---- the auditor ----

    def audit(self) -> None:
        """Fail unless the books are right: every wallet, every bet, every entry."""
        assert self.row(_WALLETS_ARE_SUMS) == (0,), "a wallet is not the sum of its ledger"
        assert self.row(_BETS_WITHOUT_LEDGER_ROW) == (0,), "a bet has no ledger row of its own"
        assert self.row(_LEDGER_ROWS_WITHOUT_BET) == (0,), "a ledger row has no bet"
        assert self.row(_BET_COUNTS) == (0,), "a wallet counts its bets wrongly"
        assert self.row(_CHAINS) == (0,), "a ledger row does not begin where the last one ended"

    def arrived(self) -> tuple[Any, ...]:
        """ClickHouse's bets, its rows, and what the aggregates count and sum up."""
        (row,) = self.ask_clickhouse(_ARRIVED)
        return tuple(row)

    def ask_clickhouse(self, query: str, parameters: dict[str, Any] | None = None) -> list[Any]:
        """The rows that ClickHouse answers."""
        client = clickhouse_connect.get_client(
            dsn=self.stack.clickhouse_url, autogenerate_session_id=False
        )
        try:
            return list(client.query(query, parameters).result_rows)
        finally:
            client.close()

    def drained(self) -> bool:
        """Whether all that PostgreSQL knows is in ClickHouse, once, and counted."""
        if self.row("SELECT count(*) FROM outbox") != (0,):
            return False
        count, total = self.row("SELECT count(*), coalesce(sum(amount), 0) FROM bets")
        return self.arrived() == (count, count, count, count, total)

    def wait_until_drained(self) -> None:
        """Return once it is so."""
        wait_until(
            self.drained, ARRIVAL_TIMEOUT_S, "every bet is in ClickHouse once", interval_s=0.1
        )


def add_user(
    connection: psycopg.Connection, user_id: str, balance: str = "0.00", status: str = "active"
) -> None:
    """The rows of a user, unless they are there."""
    added = connection.execute(
        "INSERT INTO users (id, username, email, first_name, last_name, status)"
        " VALUES (%(id)s::uuid, %(id)s::text, %(id)s::text, 'Under', 'Test', %(status)s)"
        " ON CONFLICT DO NOTHING",
        {"id": user_id, "status": status},
    )
    if added.rowcount == 0:
        return
    connection.execute("INSERT INTO wallets (user_id, balance) VALUES (%s, %s)", [user_id, balance])
    if Decimal(balance):
        connection.execute(
            "INSERT INTO wallet_transactions (user_id, type, amount, balance_before, balance_after)"
            " VALUES (%(id)s, 'deposit', %(balance)s::numeric, 0, %(balance)s::numeric)",
            {"id": user_id, "balance": balance},
        )


def connected(stack: StackUnderTest) -> Iterator[Platform]:
    """A platform with clients of its own, which are closed afterwards."""
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    with httpx.Client(
        base_url=stack.http_url, timeout=ANSWER_TIMEOUT_S, trust_env=False, limits=limits
    ) as http:
        platform = Platform(stack, http, psycopg.connect(stack.database_url, autocommit=True))
        yield platform
        platform.database.close()


def _key(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}
