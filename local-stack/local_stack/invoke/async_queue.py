"""Asynchronous invocations (`InvocationType: Event`): accepted at once, run and retried later.

An event is accepted when it is on disk (`async_store`), so what waits outlives its host; what was
running when the host died runs again, as Lambda may run an event more than once. `async_policy`
says what follows an attempt, `destinations` where a record goes. Everything is bounded, and no
function's flood keeps the others waiting: lines take turns, each with a number of places.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from local_stack import clock
from local_stack.errors import (
    FunctionNotFound,
    LocalStackError,
    RecursiveInvocation,
    RuntimeFailed,
    Throttled,
)
from local_stack.invoke import async_policy as policy
from local_stack.invoke.async_history import History
from local_stack.invoke.async_lines import LINE_RUNNING_MAX, Lines
from local_stack.invoke.async_metrics import AsyncMetrics
from local_stack.invoke.async_policy import Condition, Event, Settled
from local_stack.invoke.destinations import (
    Undeliverable,
    check_size,
    destination_of,
    record,
    send_to_topic,
)
from local_stack.invoke.lineage import extended
from local_stack.model import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from local_stack.environments.pool import Pool
    from local_stack.invoke.async_store import Store
    from local_stack.invoke.destinations import Topics
    from local_stack.invoke.invoker import Invoker
    from local_stack.telemetry.metrics import Metrics

_LOGGER = logging.getLogger(__name__)
QUEUE_MAX = 10_000
QUEUE_BYTES_MAX = 1024**3
KEPT_BYTES_MAX = 32 * 1024 * 1024  # payloads of first attempts; others are read when it is time
CLOCK_CHECK_S = 30.0  # the wall clock may be set while a timer runs on the other one
CLOSE_GRACE_S = 2.0
_SAID = {
    Condition.RETRIES_EXHAUSTED: "failed: retries exhausted",
    Condition.EVENT_AGE_EXCEEDED: "dropped: too old",
    Condition.ZERO_RESERVED_CONCURRENCY: "dropped: the function's concurrency is 0",
}


class AsyncQueue:
    """Runs accepted events. Lives on one event loop; `events` is what an earlier host left."""

    def __init__(
        self,
        invoker: Invoker,
        store: Store,
        metrics: Metrics,
        *,
        events: Sequence[Event] = (),
        topics: Topics | None = None,
        scale: float = 1.0,
        now: Callable[[], float] | None = None,
    ) -> None:
        """`scale` multiplies every wait between attempts; `now` is seconds since 1970."""
        self._invoker = invoker
        self._store = store
        self._topics = topics
        self._scale = scale
        self._now = now or _epoch_s
        self._loop = asyncio.get_running_loop()
        self._events = {event.id: event for event in events}
        self._next_id = max(self._events, default=0) + 1
        self._bytes = sum(event.size for event in events)
        self._lines = Lines(self._places)
        for event in events:
            self._lines.add(_line(event), event.id, event.due_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept: dict[int, bytes] = {}
        self._kept_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.history = History()
        self._metrics = AsyncMetrics(
            metrics.registry, waiting=lambda: self.waiting, oldest_s=self._oldest_s
        )

    def start(self) -> None:
        """Begin with what an earlier host left."""
        if self._events:
            _LOGGER.info("%d asynchronous events wait from before", len(self._events))
        self.wake()

    async def put(
        self,
        function: str,
        payload: bytes,
        request_id: str,
        *,
        qualifier: str = "",
        trace_id: str = "",
    ) -> None:
        """Accept an event; it is on disk when this returns.

        Raises `FunctionNotFound`, `Throttled` when the queue is full, `RuntimeFailed` when the
        event cannot be kept.
        """
        self._invoker.pool(function)
        if self._closed:
            raise RuntimeFailed("the host is stopping")
        if len(self._events) >= QUEUE_MAX or self._bytes + len(payload) > QUEUE_BYTES_MAX:
            raise Throttled("CallerRateLimitExceeded")
        event = self._new(function, payload, request_id, qualifier, trace_id)
        self._enter(event)
        try:
            await self._store.add(event, payload)
        except RuntimeFailed:
            self._leave(event)
            raise
        except asyncio.CancelledError:  # the caller has gone; the event is in the file all the same
            self._accept(event, payload)
            raise
        self._accept(event, payload)

    @property
    def waiting(self) -> int:
        """Events and records accepted and not settled yet."""
        return len(self._events)

    def events(self) -> list[Event]:
        """All of them, the oldest first."""
        return list(self._events.values())

    def waiting_of(self, function: str) -> int:
        """How many of them are of `function`."""
        return sum(1 for event in self._events.values() if event.function == function)

    def wake(self) -> None:
        """Run what is due by now: time has passed, or somebody moved the clock."""
        if self._closed:
            return
        now_s = self._now()
        for line, event_id in self._lines.take(now_s):
            self._start(line, self._events[event_id])
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_s = self._lines.next_due_s
        if due_s is not None:
            delay_s = min(max(due_s - now_s, 0.0), CLOCK_CHECK_S)
            self._timer = self._loop.call_later(delay_s, self.wake)

    def forget(self) -> None:
        """Drop what waits, and what is known of those that are over: for tests, between them."""
        for event_id in self._lines.clear():
            event = self._events[event_id]
            self._kept_bytes -= len(self._kept.pop(event_id, b""))
            self._store.remove(event)
            self._leave(event)
        self.history.clear()

    async def close(self, grace_s: float = CLOSE_GRACE_S) -> None:
        """Start nothing more; what does not end within `grace_s` runs again with the next host."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._store.close()
        if self._topics is not None:
            await self._topics.close()

    # --- what waits, and what runs -----------------------------------------------------------

    def _new(
        self, function: str, payload: bytes, request_id: str, qualifier: str, trace_id: str
    ) -> Event:
        now_s = self._now()
        number, self._next_id = self._next_id, self._next_id + 1
        return Event(number, request_id, function, now_s, now_s, len(payload), qualifier, trace_id)

    def _enter(self, event: Event) -> None:
        self._events[event.id] = event
        self._bytes += event.size

    def _leave(self, event: Event) -> None:
        del self._events[event.id]
        self._bytes -= event.size

    def _accept(self, event: Event, payload: bytes) -> None:
        self._metrics.accepted.labels(event.function).inc()
        self._keep(event, payload)
        self._wait(event)

    def _wait(self, event: Event) -> None:
        self._lines.add(_line(event), event.id, event.due_s)
        self.wake()

    def _keep(self, event: Event, payload: bytes) -> None:
        """Remember a payload that is needed at once, if there is room."""
        if self._kept_bytes + len(payload) <= KEPT_BYTES_MAX:
            self._kept[event.id] = payload
            self._kept_bytes += len(payload)

    def _places(self, name: str) -> int:
        """How many events of one line run at once: no more than would be throttled anyway."""
        pool = self._invoker.pools.get(name)
        return LINE_RUNNING_MAX if pool is None or pool.limit is None else max(1, pool.limit)

    def _start(self, line: str, event: Event) -> None:
        task = self._loop.create_task(self._run(event))
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._on_end(line, ended))

    def _on_end(self, line: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._lines.done(line)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOGGER.error("an asynchronous event is stuck until the next start", exc_info=error)
        self.wake()

    # --- attempts ----------------------------------------------------------------------------

    async def _run(self, event: Event) -> None:
        try:
            if event.destination:
                await self._deliver(event)
            else:
                await self._attempt(event)
        except RuntimeFailed as error:  # of the store: the event stays as it is
            _LOGGER.error("event %s of %s: %s", event.request_id, event.function, error)  # noqa: TRY400
            self._again(replace(event, due_s=self._now() + policy.REFUSED_RETRY_S_MAX))

    async def _attempt(self, event: Event) -> None:
        pool = self._invoker.pools.get(event.function)
        if pool is None:
            self._drop(
                event, "function-gone", event.invoke_count, "dropped: there is no such function"
            )
            return
        config, now_s = pool.function.async_config, self._now()
        if policy.is_too_old(event, config, now_s):
            result: Event | Settled = Settled(Condition.EVENT_AGE_EXCEEDED)
        elif pool.limit == 0:
            result = Settled(Condition.ZERO_RESERVED_CONCURRENCY)
        else:
            result = await self._invoke(event, pool)
        if isinstance(result, Event):
            reason = "throttle" if result.refusals else "error"
            self._metrics.retries.labels(event.function, reason).inc()
            self._store.save(result)
            self._again(result)
        else:
            await self._settle(event, result, pool)

    async def _invoke(self, event: Event, pool: Pool) -> Event | Settled:
        payload = await self._payload(event)
        config = pool.function.async_config
        try:
            outcome = await self._invoker.invoke(
                event.function,
                payload,
                request_id=event.request_id,
                trace_id=event.trace_id,
                qualifier=event.qualifier,
            )
        except (Throttled, RuntimeFailed, FunctionNotFound):
            if pool.limit == 0:
                return Settled(Condition.ZERO_RESERVED_CONCURRENCY)
            return policy.after_refusal(event, config, self._now(), scale=self._scale)
        return policy.after_outcome(event, outcome, config, self._now(), scale=self._scale)

    async def _settle(self, event: Event, settled: Settled, pool: Pool) -> None:
        condition, config = settled.condition, pool.function.async_config
        succeeded = condition is Condition.SUCCESS
        destination = config.on_success if succeeded else config.on_failure
        ran = event.invoke_count + (settled.outcome is not None)
        if destination is None:
            if succeeded:
                self._end(event, condition, ran)
            else:
                self._drop(event, condition, ran, _SAID[condition])
            return
        if not succeeded:
            _LOGGER.warning("event %s of %s %s", event.request_id, event.function, _SAID[condition])
        version = VERSION if event.qualifier in ("", VERSION) else "1"
        now_s = self._now()
        body = record(event, await self._payload(event), settled, version, now_s)
        sent = replace(
            event, destination=destination.arn, due_s=now_s, size=len(body), invoke_count=ran
        )
        await self._store.replace(event, sent, body)
        self._leave(event)
        self._enter(sent)
        self.history.add(sent, condition, ran, now_s)
        self._keep(sent, body)
        self._wait(sent)

    async def _payload(self, event: Event) -> bytes:
        kept = self._kept.pop(event.id, None)
        if kept is not None:
            self._kept_bytes -= len(kept)
            return kept
        return await self._store.payload(event)

    # --- destinations ------------------------------------------------------------------------

    async def _deliver(self, event: Event) -> None:
        body = await self._payload(event)
        destination = destination_of(event.destination)
        labels = (event.function, event.destination)
        try:
            if destination.kind == "function":
                await self._hand_over(event, destination.target, body)
            else:
                await send_to_topic(self._topics, destination.target, body, event)
                self._store.remove(event)
                self._leave(event)
        except (Undeliverable, FunctionNotFound, RecursiveInvocation) as error:
            self._metrics.delivery_failures.labels(*labels).inc()
            self._give_up(event, error)
        except LocalStackError as error:
            self._metrics.delivery_failures.labels(*labels).inc()
            later = policy.after_failed_delivery(event, self._now(), scale=self._scale)
            if later is None:
                self._give_up(event, error)
            else:
                self._store.save(later)
                self._again(later)
        else:
            self._metrics.deliveries.labels(*labels).inc()
            self.history.mark(event.request_id, delivered=True)

    async def _hand_over(self, event: Event, function: str, body: bytes) -> None:
        """Make the record an event of `function`: one replaces the other, so none is doubled."""
        check_size(body)
        self._invoker.pool(function)
        trace_id = extended(event.trace_id, function)
        following = self._new(function, body, str(uuid.uuid4()), "", trace_id)
        await self._store.replace(event, following, body)
        self._leave(event)
        self._enter(following)
        self._accept(following, body)

    def _give_up(self, event: Event, error: LocalStackError) -> None:
        _LOGGER.error(
            "the record of event %s of %s does not reach %s: %s",
            event.request_id,
            event.function,
            event.destination,
            error,
        )
        self._store.remove(event)
        self._leave(event)
        self.history.mark(event.request_id, delivered=False)

    # --- ends --------------------------------------------------------------------------------

    def _again(self, event: Event) -> None:
        self._events[event.id] = event
        self._wait(event)

    def _drop(self, event: Event, reason: str, invoke_count: int, said: str) -> None:
        _LOGGER.error("event %s of %s %s", event.request_id, event.function, said)
        self._metrics.dropped.labels(event.function, reason).inc()
        self._end(event, reason, invoke_count)

    def _end(self, event: Event, condition: str, invoke_count: int) -> None:
        kept = self._kept.pop(event.id, b"")
        self._kept_bytes -= len(kept)
        self._store.remove(event)
        self._leave(event)
        self.history.add(event, condition, invoke_count, self._now())

    def _oldest_s(self) -> float:
        accepted = [event.accepted_s for event in self._events.values()]
        return max(0.0, self._now() - min(accepted)) if accepted else 0.0


def _line(event: Event) -> str:
    """Which line an event stands in: a destination that is away holds up no function."""
    return event.destination or event.function


def _epoch_s() -> float:
    return clock.epoch_ms() / 1000
