"""Asynchronous invocations (`InvocationType: Event`): accepted at once, run and retried later.

Lambda's rule: a function error is retried twice, after one and then two minutes; a throttled
event is tried again for up to six hours, from 1 s to 5 min apart. The queue is in memory and
bounded; what waits in it is lost with the host, as docs/local-stack.md says.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack import clock
from local_stack.errors import RuntimeFailed, Throttled

if TYPE_CHECKING:
    from local_stack.invoke.invoker import Invoker

_LOGGER = logging.getLogger(__name__)
QUEUE_MAX = 10_000
RUNNING_MAX = 100
RETRY_DELAYS_S = (60.0, 120.0)
THROTTLE_DELAY_S_MAX = 300.0
EVENT_AGE_S_MAX = 6 * 3600.0


@dataclass(slots=True)
class _Event:
    function: str
    payload: bytes
    request_id: str
    accepted: float
    attempt: int = 0
    throttled: int = 0


class AsyncQueue:
    """Runs accepted events with bounded concurrency."""

    def __init__(self, invoker: Invoker, *, retry_delays_s: tuple[float, ...] = RETRY_DELAYS_S):
        self._invoker = invoker
        self._retry_delays_s = retry_delays_s
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(RUNNING_MAX)
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()

    def put(self, function: str, payload: bytes, request_id: str) -> None:
        """Accept an event. Raises `FunctionNotFound`, or `Throttled` when the queue is full."""
        self._invoker.pool(function)
        if self._waiting >= QUEUE_MAX:
            raise Throttled("CallerRateLimitExceeded")
        self._waiting += 1
        self._run_soon(_Event(function, payload, request_id, clock.monotonic()))

    @property
    def waiting(self) -> int:
        """Events accepted and not settled yet."""
        return self._waiting

    async def close(self) -> None:
        """Drop what waits and stop what runs."""
        for timer in self._timers:
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _run_soon(self, event: _Event) -> None:
        task = self._loop.create_task(self._run(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, event: _Event) -> None:
        async with self._slots:
            delay_s = await self._attempt(event)
        if delay_s is None:
            self._waiting -= 1
            return
        if clock.monotonic() + delay_s - event.accepted > EVENT_AGE_S_MAX:
            _LOGGER.error("event %s of %s dropped: too old", event.request_id, event.function)
            self._waiting -= 1
            return
        timer = self._loop.call_later(delay_s, self._run_soon, event)
        self._timers.add(timer)
        self._timers = {
            t for t in self._timers if not t.cancelled() and t.when() > self._loop.time()
        }

    async def _attempt(self, event: _Event) -> float | None:
        """Run once; None when settled, else seconds until the next attempt."""
        try:
            outcome = await self._invoker.invoke(
                event.function, event.payload, request_id=event.request_id
            )
        except (Throttled, RuntimeFailed):
            event.throttled += 1
            return min(THROTTLE_DELAY_S_MAX, 2.0 ** min(event.throttled - 1, 10))
        if outcome.function_error is None:
            return None
        if event.attempt >= len(self._retry_delays_s):
            _LOGGER.error(
                "event %s of %s failed: retries exhausted", event.request_id, event.function
            )
            return None
        event.attempt += 1
        return self._retry_delays_s[event.attempt - 1]
