"""The environments of one function: who is idle, who waits, when to start one more.

AWS starts an environment for every caller that finds none idle. On a few cores that starts dozens
of processes that only take turns; here a caller waits `scale_out_wait_ms` first, and another
environment is started only if none came free by then. 0 gives AWS's behaviour.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from local_stack import clock
from local_stack.environments.environment import STOP_GRACE_S, UNHANDLED
from local_stack.environments.invocation import Invocation, Outcome
from local_stack.environments.state import State
from local_stack.errors import RuntimeFailed, Throttled

if TYPE_CHECKING:
    from local_stack.environments.environment import Environment, Owner
    from local_stack.environments.factory import InitializationType
    from local_stack.model import Function
    from local_stack.settings import Limits
    from local_stack.telemetry.metrics import Metrics

_LOGGER = logging.getLogger(__name__)
PROVISION_RETRY_S_MAX = 30.0
CLOSE_WAIT_S = STOP_GRACE_S + 1.0  # by then every environment has been killed
TIMER_SLACK_MS = 0.5  # a timer that fires a moment early must not mean another whole wait
RESERVED_LIMIT = "ReservedFunctionConcurrentInvocationLimitExceeded"
ACCOUNT_LIMIT = "ConcurrentInvocationLimitExceeded"
_LIVE = frozenset({State.STARTING, State.READY, State.BUSY})


class Starter(Protocol):
    """What a pool needs of the factory."""

    async def start(
        self, function: Function, owner: Owner, initialization_type: InitializationType
    ) -> Environment:
        """Fork one environment."""


class AccountLimit:
    """Environments of all functions of this host, bounded together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def reached(self) -> bool:
        """Whether no environment may be added."""
        return self.used >= self.limit


@dataclass(slots=True, eq=False)
class _Waiter:
    invocation: Invocation
    since: float


class Pool:
    """All environments of one function on this host. Lives on one event loop."""

    def __init__(
        self,
        function: Function,
        starter: Starter,
        limits: Limits,
        account: AccountLimit,
        metrics: Metrics,
    ) -> None:
        self.function = function
        self.limit = function.reserved_concurrency
        self.environments: set[Environment] = set()
        self._starter = starter
        self._limits = limits
        self._account = account
        self._loop = asyncio.get_running_loop()
        self._idle: list[Environment] = []  # the last used first: the others may be reaped
        self._waiters: deque[_Waiter] = deque()
        self._starting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._scale_timer: asyncio.TimerHandle | None = None
        self._provision_delay_s = 0.0
        self._closed = False
        self._empty = asyncio.Event()
        self._gauge = metrics.environments.labels(function.name)
        self._throttles = metrics.throttles.labels(function.name)
        self._invocations = metrics.invocations.labels(function.name)
        self._errors = metrics.errors.labels(function.name)

    def submit(self, invocation: Invocation, *, may_wait: bool) -> None:
        """Run `invocation` on an idle environment, or as soon as one is free.

        Raises `Throttled` when the limit is reached and the caller may not wait, or when as many
        callers wait already as `limits.http_waiters` allows.
        """
        if self._idle:
            self._idle.pop().invoke(invocation)
            return
        if self._closed:
            raise RuntimeFailed("the host is stopping")
        reason = self._refusal(may_wait=may_wait)
        if reason:
            self._throttles.inc()
            raise Throttled(reason)
        self._waiters.append(_Waiter(invocation, clock.monotonic()))
        self._serve_waiters()

    def abandon(self, invocation: Invocation) -> bool:
        """Forget a waiting invocation whose caller has given up; False if it has been taken."""
        for waiter in self._waiters:
            if waiter.invocation is invocation:
                self._waiters.remove(waiter)
                return True
        return False

    def provision(self) -> None:
        """Start what is missing of the provisioned concurrency, as far as the limits allow."""
        wanted = min(self.function.provisioned_concurrency, self._limits.account_concurrency)
        while len(self.environments) + self._starting < wanted and not self._full():
            self._start_one("provisioned-concurrency")

    def reap(self) -> None:
        """Stop environments that idled too long, keeping the provisioned ones."""
        oldest = clock.monotonic() - self._limits.environment_idle_seconds
        live = sum(1 for environment in self.environments if environment.state in _LIVE)
        spare = live - self.function.provisioned_concurrency
        for environment in list(self._idle):
            if spare <= 0:
                return
            if environment.idle_since < oldest:
                self._idle.remove(environment)
                environment.stop()
                spare -= 1

    async def close(self) -> None:
        """Refuse what waits, end every environment and wait until all are gone."""
        self._closed = True
        self._cancel_scale_timer()
        while self._waiters:
            self._refuse(self._waiters.popleft(), RuntimeFailed("the host is stopping"))
        self._idle.clear()
        for environment in list(self.environments):
            environment.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        if self.environments:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), CLOSE_WAIT_S)

    @property
    def waiting(self) -> int:
        """How many callers wait for an environment."""
        return len(self._waiters)

    # --- environment.Owner -----------------------------------------------------------------

    def on_ready(self, environment: Environment) -> None:
        """Give the environment the oldest waiting invocation, or let it idle."""
        self._provision_delay_s = 0.0
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.invocation.done.done():
                environment.invoke(waiter.invocation)
                return
        self._idle.append(environment)

    def on_gone(self, environment: Environment, init_error: bytes | None) -> None:
        """Forget it; a failed init is the answer of the caller that waited longest."""
        if init_error is not None:
            self._on_init_error(init_error)
        if environment in self._idle:
            self._idle.remove(environment)
        if environment not in self.environments:
            return  # it ended before `_start` was told that it had begun, and `_start` counts it
        self.environments.discard(environment)
        self._gauge.dec()
        self._replace(failed=init_error is not None)

    def _replace(self, *, failed: bool) -> None:
        self._account.used -= 1
        if self._closed:
            if not self.environments:
                self._empty.set()
            return
        if self._waiters:
            self._serve_waiters()
        self._provision_later(failed=failed)

    def _on_init_error(self, payload: bytes) -> None:
        while self._waiters:
            invocation = self._waiters.popleft().invocation
            if not invocation.done.done():
                self._invocations.inc()
                self._errors.inc()
                invocation.done.set_result(Outcome(invocation.request_id, payload, UNHANDLED))
                return

    def _provision_later(self, *, failed: bool) -> None:
        if not self.function.provisioned_concurrency:
            return
        if failed:
            self._provision_delay_s = min(PROVISION_RETRY_S_MAX, self._provision_delay_s * 2 or 1.0)
        self._loop.call_later(self._provision_delay_s, self._provision_if_open)

    def _provision_if_open(self) -> None:
        if not self._closed:
            self.provision()

    # --- scaling out -----------------------------------------------------------------------

    def _serve_waiters(self) -> None:
        """Start the first environment at once; for one more, a caller has to have waited."""
        if not self.environments and not self._starting and not self._full():
            self._start_one("on-demand")
        else:
            self._watch_oldest()

    def _refusal(self, *, may_wait: bool) -> str:
        """Why one more caller is refused, or nothing.

        Concurrency counts invocations, not environments: one that has answered, and has not asked
        for its next yet, is free for whoever calls again at once.
        """
        if len(self._waiters) >= self._limits.http_waiters + (self.limit or 0):
            return self._full() or RESERVED_LIMIT
        running = sum(1 for environment in self.environments if environment.occupied)
        running += len(self._waiters)
        if self.limit == 0 or (self.limit is not None and running >= self.limit and not may_wait):
            return RESERVED_LIMIT
        none_left = self._account.reached() and running >= len(self.environments) + self._starting
        return ACCOUNT_LIMIT if none_left and not may_wait else ""

    def _full(self) -> str:
        """Why no environment may be added, or nothing."""
        if self.limit is not None and len(self.environments) + self._starting >= self.limit:
            return RESERVED_LIMIT
        return ACCOUNT_LIMIT if self._account.reached() else ""

    def _watch_oldest(self) -> None:
        if self._scale_timer is None:
            # Never 0: the timer arms itself again while somebody waits.
            delay_s = max(self._limits.scale_out_wait_ms, 1.0) / 1000
            self._scale_timer = self._loop.call_later(delay_s, self._scale_out)

    def _scale_out(self) -> None:
        """Start one more if the oldest caller has waited long enough and nothing is on its way."""
        self._scale_timer = None
        if not self._waiters or self._closed:
            return
        starting = sum(1 for e in self.environments if e.state is State.STARTING)
        waited_ms = (clock.monotonic() - self._waiters[0].since) * 1000
        if (
            waited_ms >= self._limits.scale_out_wait_ms - TIMER_SLACK_MS
            and starting + self._starting < len(self._waiters)
            and not self._full()
        ):
            self._start_one("on-demand")
        # At its own limit, the pool hears when that changes; of the account's limit it does not.
        if self._full() != RESERVED_LIMIT:
            self._watch_oldest()

    def _start_one(self, initialization_type: InitializationType) -> None:
        self._starting += 1
        self._account.used += 1
        task = self._loop.create_task(self._start(initialization_type))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(self, initialization_type: InitializationType) -> None:
        try:
            environment = await self._starter.start(self.function, self, initialization_type)
        except Exception as error:
            self._starting -= 1
            _LOGGER.exception("cannot start an environment of %s", self.function.name)
            failure = RuntimeFailed(f"cannot start an environment of {self.function.name}: {error}")
            if self._waiters:
                self._refuse(self._waiters.popleft(), failure)
            self._replace(failed=True)
            return
        self._starting -= 1
        if environment.state is State.STOPPED:  # it died before it could be handed over
            self._replace(failed=True)
            return
        self.environments.add(environment)
        self._gauge.inc()
        if self._closed:
            environment.stop()

    @staticmethod
    def _refuse(waiter: _Waiter, error: Exception) -> None:
        if not waiter.invocation.done.done():
            waiter.invocation.done.set_exception(error)

    def _cancel_scale_timer(self) -> None:
        if self._scale_timer is not None:
            self._scale_timer.cancel()
            self._scale_timer = None
