"""Events on disk: what was accepted is there again, whatever ends the host."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from local_stack.errors import RuntimeFailed
from local_stack.invoke.async_policy import Event
from local_stack.invoke.async_store import AsyncStore, open_stores

if TYPE_CHECKING:
    from pathlib import Path

EVENT = Event(1, "the-id", "Hello", 100.5, 101.25, 2, "live", "Root=1", 1, 2, "kafka://t", 3)


def _event(number: int) -> Event:
    return replace(EVENT, id=number, request_id=f"id-{number}")


def test_an_event_is_read_again_as_it_was(tmp_path: Path) -> None:
    async def main() -> None:
        store = AsyncStore(tmp_path / "a" / "host-1.sqlite3")
        assert store.open() == []
        await store.add(EVENT, b"\x00payload")
        await store.close()
        again = AsyncStore(tmp_path / "a" / "host-1.sqlite3")
        assert again.open() == [EVENT]
        assert await again.payload(EVENT) == b"\x00payload"
        await again.close()

    asyncio.run(main())


def test_an_accepted_event_is_there_without_a_polite_end(tmp_path: Path) -> None:
    async def main() -> None:
        store = AsyncStore(tmp_path / "host-1.sqlite3")
        store.open()
        await store.add(EVENT, b"{}")
        # Another process, here another connection, sees it: the rest is the kernel's.
        other = sqlite3.connect(tmp_path / "host-1.sqlite3")
        assert other.execute("SELECT request_id FROM events").fetchall() == [("the-id",)]
        other.close()
        await store.close()

    asyncio.run(main())


def test_many_events_at_once_are_kept_in_few_commits(tmp_path: Path) -> None:
    async def main() -> None:
        store = AsyncStore(tmp_path / "host-1.sqlite3")
        store.open()
        await asyncio.gather(*(store.add(_event(number), b"{}") for number in range(500)))
        await store.close()
        again = AsyncStore(tmp_path / "host-1.sqlite3")
        assert [event.id for event in again.open()] == list(range(500))
        await again.close()

    asyncio.run(main())


def test_changes_are_kept_in_their_order(tmp_path: Path) -> None:
    async def main() -> None:
        store = AsyncStore(tmp_path / "host-1.sqlite3")
        store.open()
        await store.add(_event(1), b"1")
        await store.add(_event(2), b"2")
        store.save(replace(_event(1), due_s=999.0, invoke_count=7, refusals=8, deliveries=9))
        await store.replace(_event(2), _event(3), b"3")
        store.save(replace(_event(3), due_s=5.0))
        store.remove(_event(3))
        await store.add(_event(4), b"4")
        await store.close()
        again = AsyncStore(tmp_path / "host-1.sqlite3")
        first, fourth = again.open()
        assert (first.due_s, first.invoke_count, first.refusals, first.deliveries) == (999, 7, 8, 9)
        assert fourth == _event(4)
        await again.close()

    asyncio.run(main())


def test_a_group_that_cannot_be_kept_is_refused_as_a_whole(tmp_path: Path) -> None:
    async def main() -> None:
        store = AsyncStore(tmp_path / "host-1.sqlite3")
        store.open()
        await store.add(_event(1), b"1")
        with pytest.raises(RuntimeFailed, match="cannot be kept on disk"):
            await store.add(_event(1), b"twice")
        await store.add(_event(2), b"2")
        with pytest.raises(RuntimeFailed, match="cannot be read"):
            await store.payload(_event(9))
        await store.close()

    asyncio.run(main())


def test_a_damaged_file_is_put_aside_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "host-1.sqlite3"
    path.write_bytes(b"this is no database, whatever its name says" * 100)

    async def main() -> None:
        store = AsyncStore(path)
        assert store.open() == []
        await store.add(EVENT, b"{}")
        await store.close()

    asyncio.run(main())

    [aside] = tmp_path.glob("host-1.damaged-*")
    assert aside.read_bytes().startswith(b"this is no database")
    assert f"kept as {aside.name}" in caplog.text


def test_a_file_that_cannot_be_opened_now_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "host-1.sqlite3"

    async def keep_one() -> None:
        store = AsyncStore(path)
        store.open()
        await store.add(EVENT, b"{}")
        await store.close()

    asyncio.run(keep_one())
    moved = tmp_path / "elsewhere"
    path.rename(moved)
    path.mkdir()  # stands for anything that passes: no permission, a full disk, a lock

    with pytest.raises(RuntimeFailed, match="cannot be read"):
        AsyncStore(path).open()

    path.rmdir()
    moved.rename(path)
    assert [event.request_id for event in AsyncStore(path).open()] == [EVENT.request_id]
    assert not list(tmp_path.glob("*.damaged*"))


def test_the_first_host_takes_over_from_hosts_that_are_no_more(tmp_path: Path) -> None:
    async def main() -> None:
        for index in (1, 2, 3, 12):
            store, _ = open_stores(tmp_path, index, 12)
            await store.add(replace(EVENT, id=1, request_id=f"of-{index}"), b"%d" % index)
            await store.close()

        store, events = open_stores(tmp_path, 1, 2)

        assert [(event.id, event.request_id) for event in events] == [
            (1, "of-1"),
            (2, "of-12"),
            (3, "of-3"),
        ]
        assert [await store.payload(event) for event in events] == [b"1", b"12", b"3"]
        await store.close()

    asyncio.run(main())

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["host-1.sqlite3", "host-2.sqlite3"]
