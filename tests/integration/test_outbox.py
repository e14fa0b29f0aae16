"""The outbox in a real database: claimed in order, deleted by id, one relay at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from shared import outbox
from shared.postgres import connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import BettingDatabase

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def empty(database: BettingDatabase) -> Iterator[None]:
    database.query("DELETE FROM outbox")
    yield
    database.query("DELETE FROM outbox")


def add(database: BettingDatabase, count: int) -> list[int]:
    rows = database.query(
        "INSERT INTO outbox (topic, key, headers, payload)"
        """ SELECT 'bet-events', 'k' || n, '{"request-id": "r"}', '{"n": ' || n || ', "ü": 1}'"""
        " FROM generate_series(1, %s) AS n RETURNING id",
        [count],
    )
    return [row[0] for row in rows]


def test_rows_are_claimed_oldest_first_and_as_they_are(database: BettingDatabase) -> None:
    ids = add(database, 5)
    with connection() as conn:
        rows = outbox.claim(conn, 3)
    assert [row.id for row in rows] == ids[:3]
    assert (rows[0].topic, rows[0].key) == ("bet-events", "k1")
    assert rows[0].headers == {"request-id": "r"}
    assert rows[0].payload == '{"n": 1, "ü": 1}'.encode()


def test_rows_are_deleted_by_id_and_never_up_to_one(database: BettingDatabase) -> None:
    ids = add(database, 5)
    with connection() as conn:
        assert outbox.delete(conn, [ids[4], ids[1], ids[1]]) == 2
        assert outbox.delete(conn, [ids[1]]) == 0
        assert [row.id for row in outbox.claim(conn, 10)] == [ids[0], ids[2], ids[3]]


def test_a_row_that_was_committed_late_is_claimed_though_its_id_is_small(
    database: BettingDatabase,
) -> None:
    with psycopg.connect(database.url) as late, connection() as conn:
        late.execute(b"INSERT INTO outbox (topic, key, payload) VALUES ('bet-events', 'a', '{}')")
        (early,) = add(database, 1)
        assert [row.id for row in outbox.claim(conn, 10)] == [early]
        outbox.delete(conn, [early])
        late.commit()
        (row,) = outbox.claim(conn, 10)
        assert row.id < early


def test_only_one_connection_is_the_relay(database: BettingDatabase) -> None:
    with psycopg.connect(database.url, autocommit=True) as other, connection() as conn:
        taken = other.execute("SELECT pg_try_advisory_lock(%s)", [outbox.RELAY_LOCK]).fetchone()
        assert taken == (True,)
        assert not outbox.try_lock(conn)
        other.close()
        # PostgreSQL notices the end of a connection in its own time.
        conn.execute(b"SELECT pg_advisory_lock(%s)" % str(outbox.RELAY_LOCK).encode())
        outbox.unlock(conn)
        assert outbox.try_lock(conn)
        outbox.unlock(conn)


def test_deletes_of_the_relay_do_not_wait_for_the_disk_and_others_do() -> None:
    def durable() -> str:
        row = conn.execute("SHOW synchronous_commit").fetchone()
        assert row is not None
        return str(row[0])

    with connection() as conn:
        assert durable() == "on"
        assert outbox.try_lock(conn)
        assert durable() == "off"
        outbox.unlock(conn)
        assert durable() == "on"


def test_the_depth_is_counted_to_a_bound(
    database: BettingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connection() as conn:
        assert outbox.depth(conn) == outbox.OutboxDepth(0, None)
        assert not outbox.has_rows(conn)
        add(database, 3)
        assert outbox.has_rows(conn)
        monkeypatch.setattr(outbox, "DEPTH_MAX", 3)
        assert outbox.depth(conn).count == 3
        monkeypatch.setattr(outbox, "DEPTH_MAX", 2)
        assert outbox.depth(conn).count == 2
    oldest = database.value("SELECT min(created_at) FROM outbox")
    with connection() as conn:
        assert outbox.depth(conn).oldest == oldest
