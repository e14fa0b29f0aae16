"""Databases of the betting platform: one a module, cloned from a template with the demo data."""

from __future__ import annotations

import multiprocessing
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

from shared import postgres, settings
from shared.betting.demo_data import load_demo_data
from shared.migrations.postgres_schema import migrate_postgres
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

    from tests.support.services import PostgresServer

TEMPLATE = "betting_template"
FORKED_TIMEOUT_S = 60

# Rows mean that the books are wrong.
AUDIT = """
SELECT 'wallet' AS what, wallets.user_id AS id FROM wallets
LEFT JOIN (
    SELECT user_id, sum(CASE WHEN type IN ('deposit', 'refund', 'win_payout') THEN amount
        ELSE -amount END) AS total
    FROM wallet_transactions GROUP BY user_id
) AS ledger USING (user_id)
WHERE wallets.balance <> coalesce(ledger.total, 0)
UNION ALL
SELECT 'bet without ledger row', bets.id FROM bets
LEFT JOIN wallet_transactions AS entry
    ON entry.id = bets.transaction_id AND entry.bet_id = bets.id AND entry.type = 'bet'
    AND entry.amount = bets.amount AND entry.user_id = bets.user_id
WHERE entry.id IS NULL
UNION ALL
SELECT 'ledger row without bet', entry.id FROM wallet_transactions AS entry
LEFT JOIN bets ON bets.id = entry.bet_id WHERE entry.type = 'bet' AND bets.id IS NULL
UNION ALL
SELECT 'count', wallets.user_id FROM wallets
WHERE bet_count <> (SELECT count(*) FROM bets WHERE bets.user_id = wallets.user_id)
UNION ALL
SELECT 'broken chain', id FROM (
    SELECT id, balance_before, lag(balance_after, 1, 0) OVER (
        PARTITION BY user_id ORDER BY created_at, id) AS previous
    FROM wallet_transactions
) AS chain WHERE balance_before <> previous
"""


@dataclass(frozen=True, slots=True)
class BettingDatabase:
    """A database of the platform, and the shortcuts that tests want."""

    url: str

    def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own, committed at once."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode(), params)
            return cursor.fetchall() if cursor.description else []

    def value(self, sql: str, params: Sequence[object] = ()) -> Any:
        """The first column of the first row."""
        return self.query(sql, params)[0][0]

    def new_user(self, balance: str = "1000.00", *, status: str = "active") -> str:
        """A user of its own with money that came by a deposit."""
        user_id, amount = str(uuid4()), Decimal(balance)
        self.query(
            "INSERT INTO users (id, username, email, first_name, last_name, status)"
            " VALUES (%s, %s, %s, 'T', 'T', %s)",
            [user_id, user_id, user_id, status],
        )
        self.query("INSERT INTO wallets (user_id, balance) VALUES (%s, %s)", [user_id, amount])
        if amount:
            self.query(
                "INSERT INTO wallet_transactions"
                " (user_id, type, amount, balance_before, balance_after)"
                " VALUES (%s, 'deposit', %s, 0, %s)",
                [user_id, amount, amount],
            )
        return user_id

    def new_game(self, status: str = "open") -> str:
        """A game of its own."""
        return str(
            self.value(
                "INSERT INTO games (name, type, status, starts_at)"
                " VALUES ('A vs B', 'football', %s, now()) RETURNING id",
                [status],
            )
        )

    def balance(self, user_id: str) -> Decimal:
        """What the wallet holds."""
        found: Decimal = self.value("SELECT balance FROM wallets WHERE user_id = %s", [user_id])
        return found

    def bet_count(self, user_id: str) -> int:
        """How many rows `bets` has of this user."""
        found: int = self.value("SELECT count(*) FROM bets WHERE user_id = %s", [user_id])
        return found

    def rows_in_all_tables(self) -> dict[str, int]:
        """How many rows there are, to show that something changed nothing."""
        tables = ("users", "games", "wallets", "bets", "wallet_transactions", "outbox")
        return {
            table: self.value(f"SELECT count(*) FROM {table}")
            for table in (*tables, "idempotency_keys")
        }

    def audit(self) -> list[tuple[Any, ...]]:
        """What is wrong with the books."""
        return self.query(AUDIT)


@contextmanager
def function_environment(url: str, **variables: str) -> Iterator[None]:
    """The environment of a function that uses this database, with nothing left of an earlier one."""
    with pytest.MonkeyPatch.context() as patch:
        values = {
            "DATABASE_URL": url,
            "DB_IDLE_TIMEOUT_SECONDS": "60",
            "DB_CONNECT_TIMEOUT_SECONDS": "5",
            "AWS_LAMBDA_FUNCTION_NAME": "UnderTest",
            **variables,
        }
        for name, value in values.items():
            patch.setenv(name, value)
        postgres.close_all()
        settings.forget_settings()
        try:
            yield
        finally:
            postgres.close_all()
            settings.forget_settings()


@contextmanager
def new_database(server: PostgresServer, template: str = TEMPLATE) -> Iterator[BettingDatabase]:
    """A clone of `template`, dropped at the end."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        try:
            yield BettingDatabase(server.database_url(name))
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(scope="session")
def betting_template(postgres_server: PostgresServer) -> str:
    """The name of a database that was migrated and has the demo data; clone it, never change it."""
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {TEMPLATE}".encode())
    url = postgres_server.database_url(TEMPLATE)
    migrate_postgres(url)
    with function_environment(url):
        load_demo_data()
    return TEMPLATE


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer, betting_template: str) -> Iterator[BettingDatabase]:
    """This module's database, with the demo data; its address is in the environment."""
    with (
        new_database(postgres_server, betting_template) as made,
        function_environment(made.url),
    ):
        yield made


class Forked:
    """Work in a process of its own, as in an execution environment: with its own connection."""

    def __init__(self, work: Callable[[], Any]) -> None:
        postgres.close_all()  # a fork must not inherit an open connection
        self._receiver, sender = _fork.Pipe(duplex=False)
        self._process = _fork.Process(target=_report, args=(work, sender))
        self._process.start()
        sender.close()

    def result(self) -> Any:
        """What the work returned; fails with its traceback when it raised."""
        try:
            assert self._receiver.poll(FORKED_TIMEOUT_S), "the forked process did not answer"
            value, failure = self._receiver.recv()
            assert failure is None, failure
            return value
        finally:
            self._process.join(FORKED_TIMEOUT_S)
            self._process.kill()
            self._receiver.close()


def in_processes(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work(0)` … `work(count - 1)` return when all start at the same moment."""
    starting_line = _fork.Barrier(count)

    def after_all_are_there(index: int) -> Any:
        starting_line.wait(FORKED_TIMEOUT_S)
        return work(index)

    running = [Forked(partial(after_all_are_there, index)) for index in range(count)]
    return [forked.result() for forked in running]


def behind_one_lock(
    database: BettingDatabase, user_id: str, count: int, work: Callable[[int], Any]
) -> list[Any]:
    """The same, when all of them already wait for the user's wallet before the first may go on.

    So each works from a snapshot that is older than whatever the others do: no race is left out.
    """
    with (
        pytest.MonkeyPatch.context() as patch,
        psycopg.connect(database.url) as gate,
    ):
        patch.setattr(postgres, "LOCK_TIMEOUT_MS", FORKED_TIMEOUT_S * 1000)
        patch.setattr(postgres, "STATEMENT_TIMEOUT_MS", FORKED_TIMEOUT_S * 1000)
        gate.execute("SELECT 1 FROM wallets WHERE user_id = %s FOR UPDATE", [user_id])
        running = [Forked(partial(work, index)) for index in range(count)]
        wait_until(
            lambda: database.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == count,
            FORKED_TIMEOUT_S,
            f"{count} requests wait for the wallet",
        )
        gate.commit()
        return [forked.result() for forked in running]


_fork = multiprocessing.get_context("fork")


def _report(work: Callable[[], Any], sender: Connection[Any, Any]) -> None:
    try:
        sender.send((work(), None))
    except BaseException:
        sender.send((None, traceback.format_exc()))
