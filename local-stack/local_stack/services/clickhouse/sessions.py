"""Sessions of clients (`session_id`): names that live for a while, and what little they keep.

A session needs a connection of its own only once something is left in it: a setting, a database, a
temporary table. clickhouse-connect names a new session for every client and leaves nothing in it,
so most sessions are a line in a dictionary. All of this happens on the event loop's thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.services.clickhouse.engine import quoted, quoted_name, set_statement
from local_stack.services.clickhouse.errors import ClickHouseError, Code

if TYPE_CHECKING:
    from local_stack.services.clickhouse.engine import Connection
    from local_stack.services.clickhouse.protocol import SessionRequest

SESSIONS_MAX = 1024
KEEPING_SESSIONS_MAX = 64


@dataclass(slots=True, eq=False)
class Session:
    """One session; `connection` when it keeps something."""

    id: str
    timeout_s: int
    deadline: float = 0.0
    busy: bool = True
    connection: Connection | None = None


class Sessions:
    """The sessions that have not timed out. `now` is the event loop's time."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def enter(self, asked: SessionRequest, now: float) -> Session:
        """The session of a request, until `leave`. Raises `ClickHouseError` as ClickHouse does."""
        self.expire(now)
        session = self._sessions.get(asked.id)
        if session is None:
            if asked.must_exist:
                raise ClickHouseError(Code.SESSION_NOT_FOUND, f"Session {asked.id} not found")
            self._make_room()
            session = self._sessions[asked.id] = Session(asked.id, asked.timeout_s)
        elif session.busy:
            msg = f"Session {asked.id} is locked by a concurrent client"
            raise ClickHouseError(Code.SESSION_IS_LOCKED, msg)
        session.busy = True
        session.timeout_s = asked.timeout_s
        return session

    def leave(self, session: Session, now: float, *, close: bool = False) -> None:
        """The request is over; the session lives on for its timeout, unless it is to close."""
        session.busy = False
        session.deadline = now if close else now + session.timeout_s
        if close:
            self._drop(session)

    def may_keep(self) -> bool:
        """Whether one more session may have a connection of its own."""
        keeping = sum(session.connection is not None for session in self._sessions.values())
        return keeping < KEEPING_SESSIONS_MAX

    def expire(self, now: float) -> None:
        """Forget the sessions whose time is over."""
        over = [
            session
            for session in self._sessions.values()
            if not session.busy and session.deadline <= now
        ]
        for session in over:
            self._drop(session)

    def close(self) -> None:
        """Forget all of them; none may be busy."""
        for session in list(self._sessions.values()):
            self._drop(session)

    def _drop(self, session: Session) -> None:
        del self._sessions[session.id]
        if session.connection is not None:
            session.connection.close()
            session.connection = None

    def _make_room(self) -> None:
        if len(self._sessions) < SESSIONS_MAX:
            return
        # One that keeps nothing is not missed: it comes back by being named again.
        idle = [s for s in self._sessions.values() if not s.busy and s.connection is None]
        if not idle:
            msg = f"Too many sessions. Maximum: {SESSIONS_MAX}"
            raise ClickHouseError(Code.TOO_MANY_SIMULTANEOUS_QUERIES, msg)
        self._drop(min(idle, key=lambda session: session.deadline))


def lend(
    connection: Connection,
    database: str | None,
    settings: tuple[tuple[str, str], ...],
    undo: list[str],
) -> None:
    """Apply one request's settings to a session's connection; how to undo it goes into `undo`.

    ClickHouse applies them to the query only, so the session must have its own back afterwards,
    also when some of them were refused.
    """
    if settings:
        undo += _undo_settings(connection, settings)
        connection.run(set_statement(dict(settings)))
    if database is not None:
        own = connection.rows("SELECT currentDatabase()")[0][0]
        undo.append(f"USE {quoted_name(own)}")
        connection.run(f"USE {quoted_name(database)}")


def _undo_settings(connection: Connection, settings: tuple[tuple[str, str], ...]) -> list[str]:
    names = ", ".join(quoted(name) for name, _ in settings)
    columns = "SELECT name, changed, hex(value) FROM system.settings"
    own = connection.rows(f"{columns} WHERE name IN ({names})")
    return [
        f"SET {name} = {quoted(bytes.fromhex(value).decode())}"
        if changed == "1"
        else f"SET {name} = DEFAULT"
        for name, changed, value in own
    ]
