"""What surrounds the asynchronous queue: a store in memory, functions that a test answers, topics."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local_stack.environments.invocation import Outcome
from local_stack.errors import FunctionNotFound, RuntimeFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local_stack.invoke.async_policy import Event
    from local_stack.model import Function


class FakeStore:
    """Keeps events as the file would; `fails` makes the disk full."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[Event, bytes]] = {}
        self.fails = False
        self.closed = False
        self.turns = 1  # of the event loop, that keeping an event takes

    async def add(self, event: Event, payload: bytes) -> None:
        self._check()
        self.rows[event.id] = event, payload  # whoever waits for it
        for _ in range(self.turns):
            await asyncio.sleep(0)

    async def replace(self, old: Event, new: Event, payload: bytes) -> None:
        await asyncio.sleep(0)
        self._check()
        del self.rows[old.id]
        self.rows[new.id] = new, payload

    async def payload(self, event: Event) -> bytes:
        await asyncio.sleep(0)
        self._check()
        return self.rows[event.id][1]

    def save(self, event: Event) -> None:
        self.rows[event.id] = event, self.rows[event.id][1]

    def remove(self, event: Event) -> None:
        del self.rows[event.id]

    async def close(self) -> None:
        self.closed = True

    def _check(self) -> None:
        if self.fails:
            raise RuntimeFailed("the disk is full")


@dataclass(slots=True)
class FakePool:
    """A function and its limit."""

    function: Function
    limit: int | None = None


@dataclass(slots=True)
class Call:
    """An invocation that waits for the test to answer it."""

    function: str
    payload: bytes
    options: Mapping[str, Any]
    done: asyncio.Future[Outcome]

    @property
    def request_id(self) -> str:
        return str(self.options["request_id"])

    def succeed(self, payload: bytes = b"null") -> None:
        self.done.set_result(Outcome(self.request_id, payload))

    def fail(self, payload: bytes = b'{"errorType": "Oops"}') -> None:
        self.done.set_result(Outcome(self.request_id, payload, "Unhandled"))

    def refuse(self, error: Exception) -> None:
        self.done.set_exception(error)


class FakeInvoker:
    """Functions whose invocations a test ends, in the order in which they began."""

    def __init__(self, *functions: Function) -> None:
        self.pools = {f.name: FakePool(f, f.reserved_concurrency) for f in functions}
        self.calls: list[Call] = []
        self.running_max = 0

    def pool(self, name: str) -> FakePool:
        if name not in self.pools:
            msg = f"Function not found: {name}"
            raise FunctionNotFound(msg)
        return self.pools[name]

    async def invoke(self, name: str, payload: bytes, **options: Any) -> Outcome:
        call = Call(name, payload, options, asyncio.get_running_loop().create_future())
        self.calls.append(call)
        self.running_max = max(self.running_max, len(self.running))
        return await call.done

    @property
    def running(self) -> list[Call]:
        return [call for call in self.calls if not call.done.done()]


@dataclass(slots=True)
class FakeTopics:
    """Topics that keep what they are sent, unless they are away."""

    sent: list[tuple[str, bytes, bytes | None]] = field(default_factory=list)
    is_away: bool = False
    attempts: int = 0
    closed: bool = False

    async def send(
        self, topic: str, value: bytes, *, key: bytes | None = None, headers: Any = ()
    ) -> None:
        del headers
        self.attempts += 1
        if self.is_away:
            raise RuntimeFailed("nobody answers")
        self.sent.append((topic, value, key))

    async def close(self) -> None:
        self.closed = True
