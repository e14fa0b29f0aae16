"""The pool of one connection: made late, checked when it rested, replaced when it died."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from shared import clock, postgres
from shared.errors import PostgresUnavailable
from shared.postgres import (
    AlreadyExists,
    LockTimedOut,
    TransactionConflict,
    close_all,
    connection,
    connection_pool,
    retrying,
    transaction,
)
from tests.support.clock import FakeClock
from tests.support.postgres import BettingDatabase, function_environment, in_processes
from tests.support.proxy import Proxy, running_proxy
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.services import PostgresServer

pytestmark = pytest.mark.integration


@pytest.fixture
def proxy(database: BettingDatabase, postgres_server: PostgresServer) -> Iterator[Proxy]:
    """A proxy in front of PostgreSQL that the environment leads to."""
    with running_proxy(postgres_server.port) as made:
        url = database.url.replace(f":{postgres_server.port}/", f":{made.port}/")
        with function_environment(url, DB_CONNECT_TIMEOUT_SECONDS="2"):
            yield made


def backend_pid() -> int:
    with connection() as conn:
        return conn.info.backend_pid


def test_the_pool_is_made_by_its_first_use_and_once(database: BettingDatabase) -> None:
    close_all()
    assert not connection_pool.cache_info().currsize
    assert backend_pid() == backend_pid()
    pool = connection_pool()
    assert (pool.min_size, pool.max_size, pool.num_workers) == (1, 1, 1)


def test_closing_is_harmless_and_the_next_use_makes_another(database: BettingDatabase) -> None:
    first = backend_pid()
    close_all()
    close_all()
    assert backend_pid() != first


def test_a_connection_says_who_it_is_and_has_limits(database: BettingDatabase) -> None:
    with connection() as conn:
        names = ("application_name", "statement_timeout", "lock_timeout", "timezone")
        shown = [conn.row(f"SHOW {name}", {}) for name in names]
    assert shown == [("UnderTest",), ("5s",), ("2s",), ("UTC",)]


def test_forked_environments_have_connections_of_their_own(database: BettingDatabase) -> None:
    assert len(set(in_processes(5, lambda _: backend_pid()))) == 5


def test_a_fresh_connection_is_not_asked(
    database: BettingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _count_checks(monkeypatch)
    with clock.use(FakeClock()):
        close_all()
        first = backend_pid()
        assert backend_pid() == first
    assert asked == []


def test_a_connection_that_rested_is_asked_by_wall_time(
    database: BettingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _count_checks(monkeypatch)
    fake = FakeClock()
    with clock.use(fake):
        close_all()
        first = backend_pid()
        fake.freeze(postgres.CHECK_AFTER_REST_S + 0.1)
        assert backend_pid() == first
        assert len(asked) == 1


def test_a_clock_that_went_back_means_asking(
    database: BettingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _count_checks(monkeypatch)
    fake = FakeClock()
    with clock.use(fake):
        close_all()
        backend_pid()
        fake.wall -= 3_600
        backend_pid()
    assert len(asked) == 1


def test_a_connection_that_rested_too_long_is_replaced(database: BettingDatabase) -> None:
    fake = FakeClock()
    with clock.use(fake):
        close_all()
        first = backend_pid()
        fake.freeze(61)
        assert backend_pid() != first


def test_a_connection_that_the_server_ended_is_replaced_at_once(database: BettingDatabase) -> None:
    pid = backend_pid()
    database.query("SELECT pg_terminate_backend(%s)", [pid])
    _wait_until_gone(database, pid)
    assert backend_pid() != pid


def test_a_connection_that_was_cut_is_replaced_at_once(proxy: Proxy) -> None:
    backend_pid()
    proxy.cut()
    backend_pid()


def test_without_a_server_it_is_unavailable_and_afterwards_it_is_back(proxy: Proxy) -> None:
    backend_pid()
    proxy.stop()
    for _ in range(2):
        with pytest.raises(PostgresUnavailable):
            backend_pid()
    proxy.start()
    backend_pid()


def test_a_server_that_comes_back_in_time_is_waited_for(proxy: Proxy) -> None:
    backend_pid()
    proxy.stop()
    comeback = threading.Timer(0.7, proxy.start)
    comeback.start()
    backend_pid()
    comeback.join()


def test_a_caller_may_wait_shorter(proxy: Proxy) -> None:
    proxy.stop()
    close_all()
    began_s = clock.monotonic_s()
    with pytest.raises(PostgresUnavailable), connection(timeout_s=0.2):
        pass
    assert clock.monotonic_s() - began_s < 1.5


def test_a_deaf_server_costs_the_connection_not_the_environment(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres.Connection, "wait_s", 0.3)
    first = backend_pid()
    proxy.deafen()
    with pytest.raises(PostgresUnavailable), connection() as conn:
        conn.row("SELECT 1", {})
    proxy.hear()
    assert backend_pid() != first


def test_asking_a_deaf_server_is_given_up_soon(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "CHECK_TIMEOUT_S", 0.1)
    fake = FakeClock()
    with clock.use(fake):
        first = backend_pid()
        fake.freeze(postgres.CHECK_AFTER_REST_S + 1)
        proxy.deafen()
        hearing_again = threading.Timer(0.5, proxy.hear)
        hearing_again.start()
        began_s = time.monotonic()
        assert backend_pid() != first
        assert time.monotonic() - began_s < 3
        hearing_again.join()


def test_a_server_that_dies_during_a_statement_is_unavailable(database: BettingDatabase) -> None:
    with pytest.raises(PostgresUnavailable), connection() as conn:
        conn.row("SELECT pg_terminate_backend(pg_backend_pid())", {})
    backend_pid()


def test_a_statement_that_takes_too_long_is_unavailable(database: BettingDatabase) -> None:
    with connection() as conn:
        conn.execute("SET statement_timeout = '50ms'")
    with pytest.raises(PostgresUnavailable), connection() as conn:
        conn.row("SELECT pg_sleep(5)", {})
    close_all()


def test_a_lock_that_is_not_given_is_told_apart(database: BettingDatabase) -> None:
    user = database.new_user()
    lock = "SELECT 1 FROM wallets WHERE user_id = %s FOR UPDATE"
    with psycopg.connect(database.url) as other:
        other.execute(lock, [user])
        with connection() as conn:
            conn.execute("SET lock_timeout = '50ms'")
        with pytest.raises(LockTimedOut), connection() as conn:
            conn.execute(lock, [user])
    close_all()


def test_a_duplicate_is_told_by_its_constraint(database: BettingDatabase) -> None:
    user = database.new_user()
    with pytest.raises(AlreadyExists) as refused, connection() as conn:
        conn.execute("INSERT INTO wallets (user_id) VALUES (%s)", [user])
    assert refused.value.constraint == "wallets_pkey"


def test_a_defect_stays_a_defect(database: BettingDatabase) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable), connection() as conn:
        conn.row("SELECT * FROM no_such_table", {})
    backend_pid()


def test_a_transaction_commits_all_or_nothing(database: BettingDatabase) -> None:
    user = database.new_user("5.00")
    change = "UPDATE wallets SET bet_count = bet_count + 1 WHERE user_id = %s"
    with transaction() as tx:
        tx.execute(change, [user])
    with suppress(ZeroDivisionError), transaction() as tx:
        tx.execute(change, [user])
        raise ZeroDivisionError
    assert database.value("SELECT bet_count FROM wallets WHERE user_id = %s", [user]) == 1


def test_a_deadlock_is_a_conflict_and_is_tried_again(database: BettingDatabase) -> None:
    one, two = database.new_user(), database.new_user()
    change = "UPDATE wallets SET bet_count = bet_count + 1 WHERE user_id = %s"
    both_hold_one = threading.Barrier(2)

    def other() -> None:
        with psycopg.connect(database.url) as conn:
            conn.execute("SET deadlock_timeout = '10s'")  # the other side is the victim
            conn.execute(change, [two])
            both_hold_one.wait(10)
            conn.execute(change, [one])

    attempts: list[int] = []

    def work() -> None:
        with transaction() as tx:
            attempts.append(1)
            tx.execute("SET LOCAL deadlock_timeout = '20ms'")
            tx.execute(change, [one])
            if len(attempts) == 1:
                both_hold_one.wait(10)
            tx.execute(change, [two])

    thread = threading.Thread(target=other)
    thread.start()
    retrying(work)
    thread.join(10)
    assert len(attempts) == 2
    assert database.query(
        "SELECT bet_count FROM wallets WHERE user_id = ANY (%s::uuid[])", [[one, two]]
    ) == [(2,), (2,)]


def test_conflicts_are_tried_a_bounded_number_of_times() -> None:
    attempts: list[int] = []

    def work() -> None:
        attempts.append(1)
        raise TransactionConflict

    with pytest.raises(TransactionConflict):
        retrying(work)
    assert len(attempts) == postgres.ATTEMPTS_MAX


def test_rows_are_complete_before_the_next_statement(database: BettingDatabase) -> None:
    with connection() as conn:
        first = conn.rows("SELECT n FROM generate_series(1, 3) AS n", {})
        assert conn.row("SELECT 9", {}) == (9,)
        assert conn.row("SELECT 1 WHERE false", {}) is None
    assert first == [(1,), (2,), (3,)]


def test_a_hot_statement_is_prepared_once(database: BettingDatabase) -> None:
    close_all()
    with connection() as conn:
        for number in range(10):
            conn.row("SELECT %(number)s::integer", {"number": number})
        prepared = conn.rows("SELECT generic_plans + custom_plans FROM pg_prepared_statements", {})
    assert (10,) in prepared


def test_the_database_layer_reaches_neither_kafka_nor_clickhouse() -> None:
    code = (
        "import sys, shared.betting.place_bet, shared.http_app;"
        "print([m for m in sys.modules if m.split('.')[0] in ('kafka', 'clickhouse_connect')"
        " or m in ('shared.kafka', 'shared.clickhouse')])"
    )
    answered = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert answered.stdout == "[]\n", answered.stderr


def _count_checks(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    asked: list[object] = []
    check = ConnectionPool.check_connection

    def counted(conn: psycopg.Connection) -> None:
        asked.append(conn)
        check(conn)

    monkeypatch.setattr(ConnectionPool, "check_connection", staticmethod(counted))
    return asked


def _wait_until_gone(database: BettingDatabase, pid: int) -> None:
    wait_until(
        lambda: not database.query("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]),
        5,
        f"backend {pid} is gone",
    )
