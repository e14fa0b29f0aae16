"""The schema is made once, by whoever comes first, and the demo data's books are right."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest

from shared.betting.demo_data import (
    GAMES,
    LOAD_USERS_COUNT,
    PEOPLE,
    Loaded,
    load_demo_data,
    load_user_id,
)
from shared.errors import PostgresUnavailable
from shared.migrations.postgres_schema import MIGRATION_LOCK, MIGRATIONS, migrate_postgres
from shared.postgres import LockTimedOut, advisory_lock
from tests.support.postgres import BettingDatabase, function_environment, in_processes, new_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.services import PostgresServer

pytestmark = pytest.mark.integration

IDS = sorted(path.stem for path in MIGRATIONS.glob("*.sql") if ".rollback" not in path.name)


@pytest.fixture
def empty(postgres_server: PostgresServer) -> Iterator[BettingDatabase]:
    """A database without anything in it."""
    with new_database(postgres_server, "template0") as made:
        yield made


def test_migrating_twice_applies_everything_once(empty: BettingDatabase) -> None:
    assert migrate_postgres(empty.url) == IDS
    assert migrate_postgres(empty.url) == []


def test_migrations_at_once_exclude_each_other(empty: BettingDatabase) -> None:
    applied = in_processes(4, lambda _: migrate_postgres(empty.url))
    assert sorted(applied, key=len) == [[], [], [], IDS]


def test_a_migration_that_died_before_it_was_noted_is_repeated(empty: BettingDatabase) -> None:
    migrate_postgres(empty.url)
    empty.query("DELETE FROM _yoyo_migration")
    assert migrate_postgres(empty.url) == IDS


def test_every_migration_can_be_taken_back(empty: BettingDatabase) -> None:
    migrate_postgres(empty.url)
    for name in reversed(IDS):
        empty.query((MIGRATIONS / f"{name}.rollback.sql").read_text())
    left = empty.query(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename !~ 'yoyo'"
    )
    assert left == []


def test_the_indexes_of_the_report_are_there(database: BettingDatabase) -> None:
    found = dict(
        database.query("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'")
    )
    assert found["idx_bets_user_id_created_at"].endswith("(user_id, created_at)")
    assert found["idx_wallet_transactions_user_id_created_at"].endswith("(user_id, created_at)")


def test_without_a_database_it_is_unavailable() -> None:
    with pytest.raises(PostgresUnavailable):
        migrate_postgres("postgresql://postgres@127.0.0.1:1/nothing")


def test_a_lock_that_somebody_keeps_is_not_waited_for_for_ever(empty: BettingDatabase) -> None:
    with (
        advisory_lock(empty.url, MIGRATION_LOCK, timeout_s=1),
        pytest.raises(LockTimedOut),
        advisory_lock(empty.url, MIGRATION_LOCK, timeout_s=0.05),
    ):
        pass
    with advisory_lock(empty.url, MIGRATION_LOCK, timeout_s=1):
        pass


def test_demo_data_is_what_the_contract_says(database: BettingDatabase) -> None:
    assert database.value("SELECT count(*) FROM users") == 5 + LOAD_USERS_COUNT == 1005
    assert database.value("SELECT count(*) FROM games WHERE status = 'open'") == 5
    assert database.value("SELECT count(*) FROM games WHERE starts_at > now()") == 5
    assert database.query("SELECT DISTINCT balance, currency, bet_count FROM wallets") == [
        (Decimal("1000000.00"), "EUR", 0)
    ]
    names = dict(database.query("SELECT id, username FROM users"))
    assert all(names[UUID(person.user_id)] == person.username for person in PEOPLE)
    assert names[UUID(load_user_id(1000))] == "load_user_1000"
    games = dict(database.query("SELECT id, name FROM games"))
    assert all(games[UUID(game.game_id)] == game.name for game in GAMES)


def test_demo_data_balances_the_books(database: BettingDatabase) -> None:
    assert database.audit() == []


def test_loading_again_changes_nothing(database: BettingDatabase) -> None:
    before = database.rows_in_all_tables()
    database.query("UPDATE games SET status = 'closed' WHERE id = %s", [GAMES[0].game_id])
    assert load_demo_data() == Loaded(users=0, games=0)
    assert database.rows_in_all_tables() == before
    database.query("UPDATE games SET status = 'open' WHERE id = %s", [GAMES[0].game_id])


def test_loading_again_restores_what_is_missing_and_moves_past_games(
    postgres_server: PostgresServer, betting_template: str
) -> None:
    with (
        new_database(postgres_server, betting_template) as made,
        function_environment(made.url),
    ):
        user = load_user_id(7)
        made.query("DELETE FROM wallet_transactions WHERE user_id = %s", [user])
        made.query("DELETE FROM wallets WHERE user_id = %s", [user])
        made.query("DELETE FROM users WHERE id = %s", [user])
        made.query("UPDATE games SET starts_at = now() - interval '1 day' WHERE type = 'tennis'")
        assert load_demo_data() == Loaded(users=1, games=1)
        assert made.audit() == []
        assert made.value("SELECT count(*) FROM games WHERE starts_at > now()") == 5


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE wallets SET balance = -0.01",
        "UPDATE wallets SET balance = 1000000000000",
        "UPDATE wallets SET currency = 'USD'",
        "INSERT INTO wallet_transactions (user_id, type, amount, balance_before, balance_after)"
        " SELECT user_id, 'deposit', 1, 0, 2 FROM wallets LIMIT 1",
        "INSERT INTO wallet_transactions (user_id, type, amount, balance_before, balance_after)"
        " SELECT user_id, 'gift', 1, 0, 1 FROM wallets LIMIT 1",
        "INSERT INTO wallet_transactions (user_id, type, amount, balance_before, balance_after)"
        " SELECT user_id, 'bet', 1, 1, 0 FROM wallets LIMIT 1",
        "INSERT INTO wallet_transactions (user_id, type, amount, balance_before, balance_after)"
        " SELECT user_id, 'deposit', -1, 1, 0 FROM wallets LIMIT 1",
    ],
)
def test_the_tables_refuse_books_that_do_not_add_up(
    statement: str, database: BettingDatabase
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        database.query(statement)
