"""What a host on the test bench is made with: a clock to put forward, topics that remember."""

from __future__ import annotations

import asyncio

from local_stack.harness.control import MovableClock, RecordingWriter


def test_a_clock_goes_on_from_where_it_was_put() -> None:
    base = 100.0
    clock = MovableClock(lambda: base)

    clock.advance(60)
    clock.advance(1.5)
    assert clock() == 161.5
    base = 101.0
    assert clock() == 162.5
    clock.reset()
    assert clock() == 101.0


def test_records_for_topics_are_remembered_in_order() -> None:
    writer = RecordingWriter()

    async def write() -> None:
        await writer.send("dead", b'{"a": 1}', key=b"an-id", headers=[("reason", b"\xff")])
        await writer.send("dead", b"null")
        await writer.close()

    asyncio.run(write())

    first, second = writer.records
    assert (first.topic, first.key, first.value) == ("dead", "an-id", '{"a": 1}')
    assert first.headers == {"reason": "\ufffd"}
    assert (second.key, second.value) == (None, "null")
