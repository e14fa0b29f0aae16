"""The table `outbox`: events that wait for the relay. Only the relay claims and deletes.

There is one relay at a time, whatever the number of hosts: it holds a session-level advisory lock
on its connection from the claim to the delete. So claiming takes no row locks (`FOR UPDATE SKIP
LOCKED` would keep a transaction open while Kafka answers, and an open transaction keeps vacuum
from cleaning the hot wallet rows), and a relay that dies loses the lock with its connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - dataclass fields read it
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.postgres import Connection

RELAY_LOCK = 0x6F7574626F78  # "outbox"
DEPTH_MAX = 100_000  # counting stops here: a backlog must not make a scrape slow


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An event as it waits: `headers` and `payload` go to Kafka as they are."""

    id: int
    topic: str
    key: str
    headers: dict[str, str]
    payload: bytes


@dataclass(frozen=True, slots=True)
class OutboxDepth:
    """How many events wait (at most `DEPTH_MAX`), and since when the first of them."""

    count: int
    oldest: datetime | None


def has_rows(conn: Connection) -> bool:
    """Whether anything waits: the one query of an idle run."""
    return conn.execute("SELECT 1 FROM outbox ORDER BY id LIMIT 1").fetchone() is not None


def try_lock(conn: Connection) -> bool:
    """Become the relay, unless somebody is; `unlock` on the same connection ends it.

    Deletes of this session do not wait for the disk meanwhile: one that a crash forgets is
    published again, which readers expect.
    """
    row = conn.execute(
        "SELECT pg_try_advisory_lock(%s), set_config('synchronous_commit', 'off', false)",
        [RELAY_LOCK],
    ).fetchone()
    assert row is not None
    return bool(row[0])


def unlock(conn: Connection) -> None:
    """Stop being the relay."""
    conn.execute(
        "SELECT pg_advisory_unlock(%s), set_config('synchronous_commit', 'on', false)",
        [RELAY_LOCK],
    )


def claim(conn: Connection, limit: int) -> list[OutboxRow]:
    """The first `limit` rows, oldest first. Call it with the lock.

    Ids are taken before commits become visible, so a smaller id may turn up later: what counts is
    the row, never a mark. For one user id order is commit order, because the wallet's row lock is
    taken before the id.
    """
    cursor = conn.cursor(binary=True)
    cursor.execute(
        "SELECT id, topic, key, headers, payload FROM outbox ORDER BY id LIMIT %s", [limit]
    )
    return [
        OutboxRow(id_, topic, key, headers, payload.encode())
        for id_, topic, key, headers, payload in cursor
    ]


def delete(conn: Connection, ids: Sequence[int]) -> int:
    """Remove rows whose records the broker acknowledged; returns how many were there."""
    return conn.execute("DELETE FROM outbox WHERE id = ANY(%s)", [list(ids)]).rowcount


def depth(conn: Connection) -> OutboxDepth:
    """How much waits, bounded; cheap enough for every scrape."""
    row = conn.execute(
        "SELECT count(*), min(created_at)"
        " FROM (SELECT created_at FROM outbox ORDER BY id LIMIT %s) AS waiting",
        [DEPTH_MAX],
    ).fetchone()
    assert row is not None
    return OutboxDepth(*row)
