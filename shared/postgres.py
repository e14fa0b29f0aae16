"""PostgreSQL: the pool of one connection, transactions, and the only translation of psycopg errors.

An execution environment serves one request at a time, so its pool holds one connection, made on
first use (never at import: environments are forked). A statement on `connection()` commits by
itself; several statements that belong together need `transaction()`, which alone commits.

A connection that rested may be dead without knowing (a frozen environment, a restarted server):
on checkout one system call looks whether the server said anything meanwhile, and only a connection
that rested longer is asked over the network, because that costs 90 µs of a 390 µs statement.
"""

from __future__ import annotations

import atexit
import random
import select
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, LiteralString, NewType, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout
from typing_extensions import override

from shared import clock
from shared.errors import PostgresUnavailable
from shared.settings import function_settings, postgres_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from psycopg.abc import PQGen

T = TypeVar("T")

CHECK_AFTER_REST_S = 1.0
# A statement is given up by the server first, then by us, then by Lambda (template: 10 s).
LOCK_TIMEOUT_MS = 2_000
STATEMENT_TIMEOUT_MS = 5_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000
ANSWER_TIMEOUT_S = 6.0
CHECK_TIMEOUT_S = 1.0
KEEPALIVE_S = 10
CONNECTION_LIFETIME_S = 3_600.0
CONNECT_ROUND_S = 0.5
ATTEMPTS_MAX = 3
RETRY_PAUSE_S = 0.02


class LockTimedOut(PostgresUnavailable):
    """Another request holds what this one needs; try again."""


class TransactionConflict(PostgresUnavailable):
    """Requests got in each other's way; try again."""


class AlreadyExists(Exception):
    """A unique constraint refused a row. Whoever inserts decides what that means."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class Connection(psycopg.Connection[TupleRow]):
    """A connection that knows since when it rests, and does not wait for ever for an answer.

    `row` and `rows` share one cursor and prepare their statement, which saves 20 of 95 µs against
    `execute`. They fetch everything, so one result never meets the next.
    """

    rests_since_s: float = 0.0
    wait_s: float = ANSWER_TIMEOUT_S
    _cursor: psycopg.Cursor[TupleRow] | None = None

    def row(self, query: LiteralString, params: Mapping[str, object]) -> TupleRow | None:
        """The first row of what `query` answers, or None."""
        return self._ask(query, params).fetchone()

    def rows(self, query: LiteralString, params: Mapping[str, object]) -> list[TupleRow]:
        """All rows of what `query` answers; the query bounds their number."""
        return self._ask(query, params).fetchall()

    def _ask(self, query: LiteralString, params: Mapping[str, object]) -> psycopg.Cursor[TupleRow]:
        if self._cursor is None:
            self._cursor = self.cursor()
        return self._cursor.execute(query, params, prepare=True)

    @override
    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for the server; a silent one costs the connection, not the environment."""
        try:
            return super().wait(gen, interval=interval, timeout=timeout or self.wait_s)
        except pg._WaitTimeout as error:  # noqa: SLF001 - psycopg asks callers to convert it
            self.pgconn.finish()
            msg = f"the server did not answer within {timeout or self.wait_s} s"
            raise psycopg.OperationalError(msg) from error


Pool = ConnectionPool[Connection]
# A connection inside a transaction: what writes several rows cannot be called without one.
Tx = NewType("Tx", Connection)


@cache
def connection_pool() -> Pool:
    """This environment's pool; built and opened by the first call in the process."""
    settings = postgres_settings()
    name = function_settings().name
    pool = ConnectionPool(
        settings.database_url.get_secret_value(),
        connection_class=Connection,
        kwargs={
            "autocommit": True,
            "application_name": name,
            "connect_timeout": max(1, round(settings.connect_timeout_s)),
            "keepalives_idle": KEEPALIVE_S,
            "keepalives_interval": KEEPALIVE_S,
            "keepalives_count": 3,
            "tcp_user_timeout": int(ANSWER_TIMEOUT_S * 1000),
            "options": (
                f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS}"
                f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS}"
                " -c timezone=UTC"
            ),
        },
        min_size=1,
        max_size=1,
        open=True,
        check=_check,
        configure=_configure,
        name=name,
        timeout=settings.connect_timeout_s,
        # Not 1: who timed out still counts as waiting, so nobody would be let in ever again.
        max_waiting=0,
        max_lifetime=CONNECTION_LIFETIME_S,
        max_idle=settings.idle_timeout_s,
        # Rather than back off, give up and let `_checkout` start again: back as soon as it is.
        reconnect_timeout=CONNECT_ROUND_S,
        num_workers=1,
    )
    atexit.register(close_all)
    return pool


def close_all() -> None:
    """Close the pool, if there is one; the next use makes another."""
    if connection_pool.cache_info().currsize:
        connection_pool().close()
        connection_pool.cache_clear()


class connection:  # noqa: N801 - used as a context manager; a generator costs 3 µs more
    """The environment's connection, for single statements, each of which commits by itself.

    Waits at most `timeout_s` for one (default: DB_CONNECT_TIMEOUT_SECONDS). Raises
    `PostgresUnavailable`, and inside the block whatever `translated` makes of psycopg's errors.
    """

    __slots__ = ("_connection", "_pool", "_timeout_s")

    def __init__(self, timeout_s: float | None = None) -> None:
        self._timeout_s = timeout_s

    def __enter__(self) -> Connection:
        self._pool = connection_pool()
        self._connection = _checkout(self._pool, self._timeout_s)
        return self._connection

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._connection.rests_since_s = clock.wall_s()
        self._pool.putconn(self._connection)
        if isinstance(error, psycopg.Error):
            raise _translation(error) from error


@contextmanager
def transaction(timeout_s: float | None = None) -> Iterator[Tx]:
    """A transaction: commits at the end of the block, rolls back when the block raises."""
    with connection(timeout_s) as conn, conn.transaction():
        yield Tx(conn)


@contextmanager
def advisory_lock(database_url: str, lock: int, *, timeout_s: float) -> Iterator[None]:
    """Hold the advisory lock `lock` on a connection of its own for the length of the block.

    It goes with the connection, so it never outlives whoever holds it. Waits at most `timeout_s`
    for it. Raises `PostgresUnavailable`, and `LockTimedOut` when somebody else keeps it.
    """
    try:
        holder = Connection.connect(database_url, autocommit=True, connect_timeout=10)
    except psycopg.Error as error:
        raise _translation(error) from error
    with holder:
        try:
            holder.execute("SELECT set_config('lock_timeout', %s, false)", [f"{timeout_s}s"])
            holder.wait_s = timeout_s + ANSWER_TIMEOUT_S
            holder.execute("SELECT pg_advisory_lock(%s)", [lock])
        except psycopg.Error as error:
            raise _translation(error) from error
        yield


def retrying(work: Callable[[], T]) -> T:
    """Do `work` again when PostgreSQL ended its transaction for the sake of another one.

    Raises `TransactionConflict` (503) after `ATTEMPTS_MAX` attempts.
    """
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            return work()
        except TransactionConflict:
            if attempt == ATTEMPTS_MAX:
                raise
            # Jitter: two that collided must not collide again. Nothing here guards a secret.
            threading.Event().wait(RETRY_PAUSE_S * attempt * random.random())  # noqa: S311
    raise AssertionError("unreachable")


def _checkout(pool: Pool, timeout_s: float | None) -> Connection:
    """A connection that can be used, within `timeout_s`; tries to connect anew in each round."""
    until = clock.Deadline.after(pool.timeout if timeout_s is None else timeout_s)
    while True:
        try:
            return pool.getconn(min(CONNECT_ROUND_S, until.remaining_s()))
        except PoolTimeout as error:
            if until.passed():
                raise PostgresUnavailable from error
        except psycopg.Error as error:
            raise _translation(error) from error


def _configure(conn: Connection) -> None:
    conn.rests_since_s = clock.wall_s()


def _check(conn: Connection) -> None:
    """Raise when the connection should not be used; the pool then makes another."""
    rested_s = clock.wall_s() - conn.rests_since_s
    if 0 <= rested_s <= CHECK_AFTER_REST_S and not _server_spoke(conn):
        return
    if rested_s > connection_pool().max_idle:
        conn.close()
        raise psycopg.OperationalError("the connection rested for too long")
    conn.wait_s = CHECK_TIMEOUT_S
    try:
        ConnectionPool.check_connection(conn)
    finally:
        conn.wait_s = ANSWER_TIMEOUT_S


def _server_spoke(conn: Connection) -> bool:
    """Whether something is to be read from a connection that asked nothing: mostly a farewell."""
    poll = select.poll()
    poll.register(conn.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))


def _translation(error: psycopg.Error) -> Exception:
    """Our error for psycopg's. What is no operational error is a defect and stays as it is."""
    match error:
        case pg.UniqueViolation():
            return AlreadyExists(error.diag.constraint_name or "")
        case pg.LockNotAvailable():
            return LockTimedOut()
        case pg.DeadlockDetected() | pg.SerializationFailure():
            return TransactionConflict()
        case psycopg.OperationalError():
            return PostgresUnavailable()
        case _:
            return error
