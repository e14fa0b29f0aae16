"""Asynchronous events on disk: SQLite in WAL mode, so that what was accepted outlives the host.

An event is accepted once its row is committed. A commit is written and not synchronized
(`synchronous = NORMAL`): it survives the end of the process, also by `kill -9`; when the machine
itself loses power the last commits may be missing, and the file stays sound (SQLite, "PRAGMA
synchronous"). All statements run on one thread of their own, in groups: what arrives while one
group is being committed makes the next, so the event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, fields, replace
from typing import TYPE_CHECKING, Protocol

from local_stack.errors import RuntimeFailed
from local_stack.invoke.async_policy import Event

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Statement = tuple[str, tuple[object, ...]]

_LOGGER = logging.getLogger(__name__)
_COLUMNS = tuple(field.name for field in fields(Event))
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
  id INTEGER PRIMARY KEY, request_id TEXT NOT NULL, function TEXT NOT NULL,
  accepted_s REAL NOT NULL, due_s REAL NOT NULL, size INTEGER NOT NULL, qualifier TEXT NOT NULL,
  trace_id TEXT NOT NULL, invoke_count INTEGER NOT NULL, refusals INTEGER NOT NULL,
  destination TEXT NOT NULL, deliveries INTEGER NOT NULL, payload BLOB NOT NULL
)
"""
_READ = f"SELECT {', '.join(_COLUMNS)} FROM events ORDER BY id"  # noqa: S608 - names of our own
_PLACES = ", ".join("?" * (len(_COLUMNS) + 1))
_INSERT = f"INSERT INTO events VALUES ({_PLACES})"  # noqa: S608
_DELETE = "DELETE FROM events WHERE id = ?"
_UPDATE = "UPDATE events SET due_s = ?, invoke_count = ?, refusals = ?, deliveries = ? WHERE id = ?"
_PAYLOAD = "SELECT payload FROM events WHERE id = ?"


class Store(Protocol):
    """What a queue needs of it."""

    async def add(self, event: Event, payload: bytes) -> None: ...
    async def replace(self, old: Event, new: Event, payload: bytes) -> None: ...
    async def payload(self, event: Event) -> bytes: ...
    def save(self, event: Event) -> None: ...
    def remove(self, event: Event) -> None: ...
    async def close(self) -> None: ...


class AsyncStore:
    """The file of one host. `open` first; then everything belongs to one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="async-store")  # started on use
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[tuple[Sequence[Statement], asyncio.Future[None] | None]] = []
        self._group: asyncio.Future[None] | None = None

    def open(self) -> list[Event]:
        """Open or make the file; return what waits in it, oldest first. Blocks; for the start.

        A file that is damaged is put aside, with its name in the log: the host shall start.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._read()
        except sqlite3.DatabaseError as error:
            self._disconnect()
            if not _is_damage(error):
                msg = f"asynchronous events in {self._path} cannot be read: {error}"
                raise RuntimeFailed(msg) from error
            stamp = f"{self._path.stem}.damaged-{uuid.uuid4().hex[:8]}"
            _LOGGER.exception("events in %s cannot be read: kept as %s", self._path, stamp)
            for suffix in ("", "-wal", "-shm"):  # who recovers it by hand needs all of it
                part = self._path.with_name(self._path.name + suffix)
                if part.exists():
                    part.replace(self._path.with_name(stamp + suffix))
            return self._read()

    def take_over(self, other: AsyncStore, first_id: int) -> list[Event]:
        """Move what waits in another file into this one, numbered from `first_id`. Blocks."""
        moved = []
        for number, event in enumerate(other.open(), first_id):
            moved.append(replace(event, id=number))
            self._commit([_insertion(moved[-1], other._payload(event.id))])
        other._disconnect()
        other._path.unlink(missing_ok=True)
        other._forget_companions()
        return moved

    async def add(self, event: Event, payload: bytes) -> None:
        """Keep a new event; returns when it is committed. Raises `RuntimeFailed`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enqueue([_insertion(event, payload)], done)
        await done

    def save(self, event: Event) -> None:
        """Keep what changed of an event; committed soon."""
        values = (event.due_s, event.invoke_count, event.refusals, event.deliveries, event.id)
        self._enqueue([(_UPDATE, values)])

    def remove(self, event: Event) -> None:
        """Forget an event that is settled; committed soon."""
        self._enqueue([(_DELETE, (event.id,))])

    async def replace(self, old: Event, new: Event, payload: bytes) -> None:
        """Put `new` in the place of `old`, both or neither. Raises `RuntimeFailed`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enqueue([(_DELETE, (old.id,)), _insertion(new, payload)], done)
        await done

    async def payload(self, event: Event) -> bytes:
        """The payload of an event that is kept. Raises `RuntimeFailed` when it cannot be read."""
        loop = asyncio.get_running_loop()
        if self._waiting:  # it may be among them
            done: asyncio.Future[None] = loop.create_future()
            self._enqueue([], done)
            await done
        try:
            return await loop.run_in_executor(self._thread, self._payload, event.id)
        except sqlite3.Error as error:
            msg = f"the event cannot be read: {error}"
            raise RuntimeFailed(msg) from error

    async def close(self) -> None:
        """Commit what waits, and let go of the file."""
        while self._group is not None:
            await asyncio.wait([self._group])
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    # --- groups of statements ----------------------------------------------------------------

    def _enqueue(
        self, statements: Sequence[Statement], done: asyncio.Future[None] | None = None
    ) -> None:
        self._waiting.append((statements, done))
        if self._group is None:
            self._start_group()

    def _start_group(self) -> None:
        group, self._waiting = self._waiting, []
        statements = [statement for part, _ in group for statement in part]
        loop = asyncio.get_running_loop()
        self._group = loop.run_in_executor(self._thread, self._commit, statements)
        callers = [done for _, done in group if done is not None]
        self._group.add_done_callback(lambda committed: self._end_group(committed, callers))

    def _end_group(
        self, committed: asyncio.Future[None], callers: Sequence[asyncio.Future[None]]
    ) -> None:
        error = committed.exception()
        if error is not None:
            _LOGGER.error("events cannot be kept on disk: %s", error)
        for done in callers:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(RuntimeFailed(f"the event cannot be kept on disk: {error}"))
        self._group = None
        if self._waiting:
            self._start_group()

    # --- on the thread -----------------------------------------------------------------------

    def _commit(self, statements: Sequence[Statement]) -> None:
        connection = self._connected()
        with connection:  # one transaction: rolled back as a whole when a statement fails
            connection.execute("BEGIN")
            for statement, values in statements:
                connection.execute(statement, values)

    def _payload(self, event_id: int) -> bytes:
        row = self._connected().execute(_PAYLOAD, (event_id,)).fetchone()
        if row is None:
            msg = f"event {event_id} is gone"
            raise sqlite3.DataError(msg)
        return bytes(row[0])

    def _read(self) -> list[Event]:
        connection = self._connected()
        events = [Event(*row) for row in connection.execute(_READ)]
        if not events:
            with contextlib.suppress(sqlite3.OperationalError):  # a full disk: another time
                connection.execute("VACUUM")  # a burst leaves a large file of free pages
        return events

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            # Transactions are begun by hand; the thread is ours alone, but for `open`.
            connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, timeout=5.0
            )
            self._connection = connection
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA journal_size_limit = 16777216")
            connection.execute(_SCHEMA)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _forget_companions(self) -> None:
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is wrong, not the moment: locked, a full disk, no permission."""
    code = getattr(error, "sqlite_errorcode", None)
    # Without a code it is Python that objects: another schema.
    return code is None or code & 0xFF in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_ERROR,
    )


def open_stores(folder: Path, index: int, replicas: int) -> tuple[AsyncStore, list[Event]]:
    """The store of host `index`, and what waits in it. Blocks.

    The first host also takes over what waits for hosts that a smaller stack no longer has.
    """
    store = AsyncStore(_path(folder, index))
    events = store.open()
    if index == 1:
        for path in sorted(folder.glob("host-*.sqlite3")):
            number = path.stem.removeprefix("host-")
            if number.isdigit() and int(number) > replicas:
                first_id = max((event.id for event in events), default=0) + 1
                events += store.take_over(AsyncStore(path), first_id)
    return store, events


def _path(folder: Path, index: int) -> Path:
    return folder / f"host-{index}.sqlite3"


def _insertion(event: Event, payload: bytes) -> Statement:
    return _INSERT, (*astuple(event), payload)
