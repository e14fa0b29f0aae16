"""Sessions and places, in a time of their own."""

from __future__ import annotations

import asyncio

import pytest

from local_stack.services.clickhouse.admission import Admission
from local_stack.services.clickhouse.errors import ClickHouseError
from local_stack.services.clickhouse.limits import Limits
from local_stack.services.clickhouse.protocol import SessionRequest
from local_stack.services.clickhouse.sessions import (
    KEEPING_SESSIONS_MAX,
    SESSIONS_MAX,
    Sessions,
)


class FakeConnection:
    """A connection that only knows whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


def test_a_session_serves_one_request_at_a_time():
    sessions = Sessions()
    session = sessions.enter(SessionRequest("a"), 0.0)

    with pytest.raises(ClickHouseError) as refused:
        sessions.enter(SessionRequest("a"), 0.0)
    assert refused.value.code == 373

    sessions.leave(session, 1.0)
    assert sessions.enter(SessionRequest("a"), 2.0) is session


def test_a_session_ends_when_its_time_is_over_and_with_it_its_connection():
    sessions = Sessions()
    session = sessions.enter(SessionRequest("a", timeout_s=10), 0.0)
    connection = session.connection = FakeConnection()  # type: ignore[assignment]
    sessions.expire(1000.0)
    assert len(sessions) == 1, "a busy session does not end"

    sessions.leave(session, 100.0)
    sessions.expire(109.9)
    assert len(sessions) == 1
    sessions.expire(110.0)

    assert len(sessions) == 0
    assert connection.closed
    with pytest.raises(ClickHouseError) as refused:
        sessions.enter(SessionRequest("a", must_exist=True), 111.0)
    assert refused.value.code == 372


def test_a_session_can_be_closed_by_its_client():
    sessions = Sessions()
    sessions.leave(sessions.enter(SessionRequest("a"), 0.0), 0.0, close=True)

    assert len(sessions) == 0


def test_one_session_too_many_takes_the_place_of_one_that_keeps_nothing():
    sessions = Sessions()
    for index in range(SESSIONS_MAX):
        session = sessions.enter(SessionRequest(str(index)), 0.0)
        if index == 0:
            session.connection = FakeConnection()  # type: ignore[assignment]
        sessions.leave(session, float(index) / SESSIONS_MAX)

    sessions.enter(SessionRequest("one more"), 1.0)

    assert len(sessions) == SESSIONS_MAX
    sessions.enter(SessionRequest("0", must_exist=True), 1.0)
    with pytest.raises(ClickHouseError):
        sessions.enter(SessionRequest("1", must_exist=True), 1.0)


def test_one_session_too_many_is_refused_when_all_are_busy():
    sessions = Sessions()
    for index in range(SESSIONS_MAX):
        sessions.enter(SessionRequest(str(index)), 0.0)

    with pytest.raises(ClickHouseError) as refused:
        sessions.enter(SessionRequest("one more"), 0.0)

    assert refused.value.code == 202


def test_only_so_many_sessions_may_keep_something():
    sessions = Sessions()
    for index in range(KEEPING_SESSIONS_MAX):
        assert sessions.may_keep()
        session = sessions.enter(SessionRequest(str(index)), 0.0)
        session.connection = FakeConnection()  # type: ignore[assignment]

    assert not sessions.may_keep()


def test_places_are_given_in_order_and_one_waiter_too_many_is_refused():
    async def scenario() -> list[str]:
        admission = Admission(Limits(running=1, waiting=1, wait_s=5))
        seen: list[str] = []
        entered = asyncio.Event()
        leave = asyncio.Event()

        async def visit(name: str) -> None:
            async with admission.place():
                seen.append(name)
                entered.set()
                await leave.wait()

        first = asyncio.create_task(visit("first"))
        await entered.wait()
        second = asyncio.create_task(visit("second"))
        await asyncio.sleep(0)
        with pytest.raises(ClickHouseError) as refused:
            await visit("third")
        assert refused.value.code == 202
        leave.set()
        await asyncio.gather(first, second)
        await visit("fourth")
        return seen

    assert asyncio.run(scenario()) == ["first", "second", "fourth"]


def test_waiting_for_a_place_has_an_end():
    async def scenario() -> None:
        admission = Admission(Limits(running=1, waiting=1, wait_s=0.01))
        async with admission.place():
            with pytest.raises(ClickHouseError) as refused:
                async with admission.place():
                    pass
            assert refused.value.code == 202
        async with admission.place():
            pass

    asyncio.run(scenario())
