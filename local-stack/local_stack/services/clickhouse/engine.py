"""The engine on its data folder, and connections to it.

One process holds one folder. Every request runs on a connection of its own, so no setting of one
can reach another: a connection is either fresh (0.2 ms), or one whose last user wanted exactly the
same settings and only read. It blocks; it never runs on the event loop's thread.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from local_stack.errors import ServiceFailed
from local_stack.services.clickhouse.errors import ClickHouseError
from local_stack.services.clickhouse.library import load_library
from local_stack.services.clickhouse.protocol import DEFAULT_DATABASE, TIMEZONE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from local_stack.services.clickhouse.library import Handle, Library, Result
    from local_stack.services.clickhouse.sql import Insert

IDLE_CONNECTIONS_MAX = 8
LOCK_FILE = "front.lock"
_CONFIG_FILE = Path(__file__).with_name("engine.xml")
# Of every connection, unless a request says otherwise. Compiling expressions costs this machine
# 0.3 s per new expression and saves nothing on tables of this size (measured).
BASE_SETTINGS = {
    "compile_expressions": "0",
    "compile_aggregate_expressions": "0",
    "compile_sort_description": "0",
    "max_execution_time": "600",
}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a request wants of its connection; equal scopes may share one, one after the other."""

    database: str = DEFAULT_DATABASE
    settings: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, database: str, settings: Mapping[str, str]) -> Scope:
        """A scope; the order of the settings does not matter."""
        return cls(database, tuple(sorted(settings.items())))


class Connection:
    """One connection of the engine, used by one thread at a time. Errors are `ClickHouseError`."""

    def __init__(self, handle: Handle, tag: str) -> None:
        self._handle = handle
        self.tag = tag  # finds its running query in system.processes
        self.scope = Scope()

    def enter(self, scope: Scope) -> None:
        """Take the settings and the database of a request; only on a fresh connection."""
        settings = {**BASE_SETTINGS, **dict(scope.settings), "log_comment": self.tag}
        self.run(set_statement(settings))
        if scope.database != DEFAULT_DATABASE:
            self.run(f"USE {quoted_name(scope.database)}")
        self.scope = scope

    def run(
        self, sql: bytes | str, fmt: str = "TabSeparated", params: Mapping[str, str] | None = None
    ) -> Result:
        """Run one statement to its end."""
        try:
            return self._handle.query(sql, fmt, params=dict(params or {}))
        except RuntimeError as error:
            raise ClickHouseError.from_engine(str(error)) from error

    def rows(self, sql: str) -> list[list[str]]:
        """The rows of a small question of our own, as text."""
        text = self.run(sql, "TabSeparatedRaw").bytes().decode(errors="replace")
        return [line.split("\t") for line in text.splitlines()]

    def stream(
        self, sql: bytes, fmt: str, params: Mapping[str, str]
    ) -> Generator[Result, None, None]:
        """Run a SELECT, chunk by chunk; the last chunk has no rows. Closing it cancels the query."""
        try:
            stream = self._handle.send_query(sql, fmt, params=dict(params))
            try:
                while True:
                    chunk = self._handle.streaming_fetch_result(stream)
                    yield chunk
                    if not chunk.rows_read():
                        return
            except GeneratorExit:
                self._handle.streaming_cancel_query(stream)
                raise
        except RuntimeError as error:
            raise ClickHouseError.from_engine(str(error)) from error

    def insert(self, insert: Insert, data: Iterable[bytes], params: Mapping[str, str]) -> Result:
        """Insert `data`; when anything goes wrong, in a view too, it is an error.

        The data goes through a file in memory. The engine's streaming insert would do without, but
        it swallows what a view throws, a timeout and a kill, and says that all is well (tried).
        """
        with _memory_file(data) as path:
            source = f"FROM INFILE {quoted(path)} COMPRESSION 'none'".encode()
            fmt = f"FORMAT {insert.format}".encode()
            return self.run(
                b"\n".join([insert.target, source, insert.settings, fmt]), params=params
            )

    def may_change(self, sql: bytes) -> str | None:
        """None when a statement only reads, else how the engine's parser classifies it."""
        found = self._handle.classify_query(sql)
        if not found["statement_count"]:  # it cannot be parsed: running it will say why
            return None
        kind = str(found["query_class"].name)
        return None if kind == "READ_ONLY" else kind

    def settle(self) -> None:
        """Make the connection usable after an error, which may have left output behind."""
        self.run(set_statement({"log_comment": self.tag}))

    def close(self) -> None:
        """Give it back to the engine."""
        self._handle.close()


class Engine:
    """The engine on one folder. Thread-safe."""

    def __init__(self, library: Library, data_dir: Path, lock_file: IO[bytes]) -> None:
        self._library = library
        self._path = str(data_dir)
        self._lock_file = lock_file
        self._numbers = itertools.count(1)
        self._guard = threading.Lock()
        self._idle: deque[Connection] = deque()
        # Kept open: the engine ends with its last connection. Also the one that kills queries.
        self._keeper = Connection(library.connect(f"{self._path}?config-file={_CONFIG_FILE}"), "")
        self.version = self._keeper.rows("SELECT version()")[0][0]
        # By their names in lower case: the engine takes them in any.
        self.formats = {
            name.lower(): name
            for (name,) in self._keeper.rows("SELECT name FROM system.formats WHERE is_output")
        }

    @classmethod
    def open(cls, data_dir: Path) -> Engine:
        """Take the folder, make it if need be, and start. Raises `ServiceFailed`."""
        data_dir = data_dir.resolve()
        if "?" in str(data_dir):
            msg = f"the data folder {data_dir} must not have a question mark in its name"
            raise ServiceFailed(msg)
        lock_file = _take_folder(data_dir)
        library = load_library()
        try:
            engine = cls(library, data_dir, lock_file)
        except (RuntimeError, ClickHouseError) as error:
            msg = f"the ClickHouse engine cannot open {data_dir}: {error}"
            raise ServiceFailed(msg) from error
        zone = engine._keeper.rows("SELECT timezone()")[0][0]
        assert zone == TIMEZONE, zone
        return engine

    def lease(self, scope: Scope) -> Connection:
        """A connection in `scope`. Give it back with `release` or `discard`."""
        with self._guard:
            for connection in self._idle:
                if connection.scope == scope:
                    self._idle.remove(connection)
                    return connection
        connection = self.connect()
        try:
            connection.enter(scope)
        except ClickHouseError:
            connection.close()
            raise
        return connection

    def connect(self) -> Connection:
        """A fresh connection, for a session that keeps something."""
        with self._guard:
            tag = f"front-{next(self._numbers)}"
        return Connection(self._library.connect(self._path), tag)

    def release(self, connection: Connection) -> None:
        """Keep a connection for the next request in the same scope; it must have only read."""
        with self._guard:
            self._idle.append(connection)
            surplus = self._idle.popleft() if len(self._idle) > IDLE_CONNECTIONS_MAX else None
        if surplus is not None:
            surplus.close()

    def kill(self, tag: str) -> None:
        """Cancel what the connection with this tag is running, if anything; do not wait for it."""
        condition = f"Settings['log_comment'] = {quoted(tag)}"
        self._keeper.run(f"KILL QUERY WHERE {condition} ASYNC")

    def close(self) -> None:
        """End the engine; everything acknowledged is on disk. No connection may be out."""
        while self._idle:
            self._idle.pop().close()
        self._keeper.close()
        self._lock_file.close()


def set_statement(settings: Mapping[str, str]) -> str:
    """The statement that changes settings; names must have been checked."""
    return "SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in settings.items())


def quoted(text: str) -> str:
    """A string literal of ClickHouse."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quoted_name(name: str) -> str:
    """An identifier of ClickHouse."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


@contextmanager
def _memory_file(data: Iterable[bytes]) -> Iterator[str]:
    """The path of a file with this data, which nobody else can open by a name."""
    with os.fdopen(os.memfd_create("insert"), "wb", buffering=0) as file:
        for chunk in data:
            rest = memoryview(chunk)
            while rest:
                rest = rest[file.write(rest) :]
        yield f"/proc/self/fd/{file.fileno()}"


def _take_folder(data_dir: Path) -> IO[bytes]:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock_file = (data_dir / LOCK_FILE).open("ab")
    except OSError as error:
        msg = f"the data folder {data_dir} cannot be used: {error.strerror}"
        raise ServiceFailed(msg) from error
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock_file.close()
        msg = f"the data folder {data_dir} is in use by another ClickHouse front; stop it first"
        raise ServiceFailed(msg) from error
    return lock_file
