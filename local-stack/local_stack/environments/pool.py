"""The environments of one function: who is idle, who waits, when to start one more.

AWS starts an environment for every caller that finds none idle. On a few cores that starts dozens
of processes that only take turns; here a caller waits `scale_out_wait_ms` first, and another
environment is started only if none came free by then. 0 gives AWS's behaviour.

An invocation that finds an idle environment takes the first lines of `submit` and of `on_ready`
and nothing else, as long as nothing special goes on (`_calm`, and the account's `calm`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Protocol

from local_stack import clock
from local_stack.environments.account import limit_reason
from local_stack.environments.environment import STOP_GRACE_S
from local_stack.environments.provisioned import Provisioned
from local_stack.environments.state import State
from local_stack.environments.waiters import Waiters
from local_stack.errors import RuntimeFailed, Throttled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local_stack.environments.account import Account
    from local_stack.environments.environment import Environment
    from local_stack.environments.factory import InitializationType
    from local_stack.environments.invocation import Invocation
    from local_stack.environments.roles import Owner
    from local_stack.model import Function
    from local_stack.settings import Limits
    from local_stack.telemetry.metrics import Metrics

_LOGGER = logging.getLogger(__name__)
CLOSE_WAIT_S = STOP_GRACE_S + 1.0  # by then every environment has been killed
TIMER_SLACK_MS = 0.5  # a timer that fires a moment early must not mean another whole wait
PROVISIONED: InitializationType = "provisioned-concurrency"
# One that failed is without a process for a moment, and then as good as idle.
_LIVE = frozenset(State) - {State.STOPPING, State.STOPPED}
_AT_WORK = frozenset({State.BUSY, State.RESTARTING})
_COLD = State.COLD  # looking it up in the enumeration costs as much as all else in `on_ready`


class Starter(Protocol):
    """What a pool needs of the factory."""

    async def start(
        self, function: Function, owner: Owner, initialization_type: InitializationType
    ) -> Environment:
        """Fork one environment."""


class Pool:
    """All environments of one function on this host. Lives on one event loop."""

    def __init__(
        self,
        function: Function,
        starter: Starter,
        limits: Limits,
        account: Account,
        metrics: Metrics,
    ) -> None:
        self.function = function
        self.limit = function.reserved_concurrency
        self.environments: set[Environment] = set()  # every process that is not gone
        self._starter = starter
        self._limits = limits
        self._account = account
        self._loop = asyncio.get_running_loop()
        self._idle: list[Environment] = []  # the last used first: the others may be reaped
        self._waiters = Waiters()
        self._forks = 0  # that are being made
        self._generation = 0  # of the code; forks that began before it changed are not used
        self._leaving: set[Environment] = set()  # they finish what they run, and are ended
        self._provisioned = Provisioned(function.provisioned_concurrency, self._start_provisioned)
        self._failures = 0  # inits that failed, one after another
        self._calm = True  # nobody is leaving, and the provisioned environments are warm
        self._tasks: set[asyncio.Task[None]] = set()
        self._scale_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._empty = asyncio.Event()
        self._gauge = metrics.environments.labels(function.name)
        self._throttles = metrics.throttles.labels(function.name)
        account.join(self)

    # --- invocations -------------------------------------------------------------------------

    def submit(self, invocation: Invocation, *, may_wait: bool) -> None:
        """Run `invocation` on an idle environment, or as soon as one is free.

        Raises `Throttled` when the limit is reached and the caller may not wait, or when as many
        callers wait already as `limits.http_waiters` allows.
        """
        if self._idle and self._calm and self._account.calm:
            self._idle.pop().invoke(invocation)
            return
        if self._closed:
            raise RuntimeFailed("the host is stopping")
        reason = self._account.refusal(self, self._limits.http_waiters if may_wait else None)
        if reason:
            self._throttles.inc()
            raise Throttled(reason)
        self._waiters.put(invocation)
        self.serve()

    def abandon(self, invocation: Invocation) -> bool:
        """Forget a waiting invocation whose caller has given up; False if it has been taken."""
        return self._waiters.forget(invocation)

    def give_up(self, invocation: Invocation) -> None:
        """Throttle an invocation that has waited long enough, unless its environment is starting.

        Nothing if it has been taken.
        """
        place = self._waiters.place(invocation)
        coming = min(self._account.free(self), self.usable - self.running)
        if place is not None and place >= coming and not invocation.done.done():
            del self._waiters[place]
            self._throttles.inc()
            invocation.done.set_exception(Throttled(limit_reason(self)))

    # --- limits and code that change -----------------------------------------------------------

    def set_reserved(self, limit: int | None) -> None:
        """Change the reserved concurrency; None removes it.

        What runs finishes; environments beyond the limit end as soon as they are idle. Raises
        `InvalidParameter` if too little would be left for functions without a reserved one.
        """
        if limit is not None:
            self._account.check_reserved(self, limit)
        self.limit = limit
        self._shed()
        self._account.limits_changed()
        while limit == 0 and self._waiters:
            self._waiters.refuse(Throttled(limit_reason(self)))
        self.serve()
        self.provision()

    def renew(self) -> None:
        """The code has changed: invocations that begin from now on run on new environments.

        Idle environments and those that are still starting end, busy ones finish first.
        """
        self._generation += 1
        self._failures = 0
        self._provisioned.clear()
        self.retire(list(self.environments))
        self.provision()
        self.serve()

    def retire(self, environments: Sequence[Environment]) -> None:
        """Let them finish what they run, and take nothing else."""
        self._leaving.update(environments)
        self._idle = [e for e in self._idle if e not in self._leaving]
        self._look()
        for environment in environments:
            if environment.state not in _AT_WORK:
                environment.stop()

    def _shed(self) -> None:
        """End environments beyond the limit: idle ones now, busy ones when they have finished."""
        surplus = 0 if self.limit is None else max(0, self.usable - self.limit)
        kept = [e for e in self.environments if e.state in _LIVE and e not in self._leaving]
        kept.sort(key=self._worth)  # what is being forked is looked at when it arrives
        self.retire(kept[:surplus])

    def _worth(self, environment: Environment) -> tuple[bool, bool, float]:
        """In which order environments go: idle ones first, and of these the longest idle."""
        at_work = environment.state in _AT_WORK
        return at_work, environment in self._provisioned, environment.idle_since

    def provision(self) -> None:
        """Start what is missing of the provisioned concurrency, as far as the limits allow."""
        self._provisioned.top_up()
        self._look()

    async def warm(self) -> None:
        """Wait until the provisioned environments are ready, or have failed to become so."""
        await self._provisioned.settled()

    def reap(self) -> None:
        """Stop environments that idled too long, keeping the provisioned ones."""
        oldest = clock.monotonic() - self._limits.environment_idle_seconds
        rested = [e for e in self._idle if e.idle_since < oldest and e not in self._provisioned]
        self.retire(rested)
        self._provisioned.top_up_later(
            self._failures
        )  # others may have made room for what is missing

    async def close(self) -> None:
        """Refuse what waits, end every environment and wait until all are gone."""
        self._closed = True
        self._provisioned.close()
        if self._scale_timer is not None:
            self._scale_timer.cancel()
        self._account.leave(self)
        while self._waiters:
            self._waiters.refuse(RuntimeFailed("the host is stopping"))
        self._idle.clear()
        for environment in list(self.environments):
            environment.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        if self.environments:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), CLOSE_WAIT_S)

    # --- account.Member --------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """Invocations that run and are not answered yet.

        One that has answered, and has not asked for its next yet, is free for whoever calls again
        at once: concurrency counts invocations, not environments.
        """
        return sum(1 for environment in self.environments if environment.occupied)

    @property
    def waiting(self) -> int:
        """How many callers wait for an environment."""
        return len(self._waiters)

    @property
    def provisioned_concurrency(self) -> int:
        """How many environments are kept warm."""
        return self._provisioned.wanted

    @property
    def usable(self) -> int:
        """Environments that are there for invocations, with those that are being forked."""
        live = sum(1 for e in self.environments if e.state in _LIVE and e not in self._leaving)
        return live + self._forks

    def longest_idle(self) -> Environment | None:
        """The idle environment that another function may take the place of."""
        return next((e for e in self._idle if e not in self._provisioned), None)

    # --- environment.Owner -----------------------------------------------------------------------

    def on_ready(self, environment: Environment) -> None:
        """Give the environment the oldest waiting invocation, or let it idle."""
        if environment.state is _COLD or not (self._calm and self._account.calm):
            self._on_ready_among_others(environment)
            return
        self._failures = 0
        if self._waiters and (invocation := self._waiters.take()) is not None:
            environment.invoke(invocation)
        else:
            self._idle.append(environment)

    def _on_ready_among_others(self, environment: Environment) -> None:
        cold = environment.state is _COLD
        if not cold:
            self._failures = 0
        elif not environment.invocation_count:
            self._failures += 1
        if self._account.must_yield(self, environment):
            self.retire([environment])
        elif environment in self._leaving:
            environment.stop()
        else:  # one that has to start again first is the last to be used
            self._idle.insert(0 if cold else len(self._idle), environment)
        self._look()
        self._account.wake()
        self.serve()

    def on_gone(self, environment: Environment, init_error: bytes | None) -> None:
        """Forget it, and start what is missing now."""
        self._idle = [e for e in self._idle if e is not environment]
        self._provisioned.discard(environment)
        if init_error is not None and environment not in self._leaving:
            self._failures += 1
        self._leaving.discard(environment)
        if environment not in self.environments:
            return  # it ended before `_start` was told that it had begun, and `_start` counts it
        self.environments.discard(environment)
        self._gauge.dec()
        self._after_loss(environment)

    def _after_loss(self, environment: Environment | None) -> None:
        self._look()
        self._account.remove(environment)
        if self._closed:
            if not self.environments:
                self._empty.set()
            return
        self.serve()
        self._provisioned.top_up_later(self._failures)

    # --- scaling out -----------------------------------------------------------------------------

    def serve(self) -> None:
        """Hand over what waits, as far as the limits allow; see to it that the rest is served.

        The first environment is started at once; for one more, a caller has to have waited.
        """
        while self._waiters and self._idle:
            if self._account.free(self) <= 0:
                self._account.wait(self)
                return
            if (invocation := self._waiters.take()) is not None:
                self._idle.pop().invoke(invocation)
        if not self._waiters or self._closed:
            return
        first = not self.usable and not self._at_limit
        if not first or (self._grow() and len(self._waiters) > 1):
            self._watch_oldest()

    @property
    def _at_limit(self) -> bool:
        """Whether there are as many environments as the reserved concurrency allows."""
        return self.limit is not None and self.usable >= self.limit

    def _watch_oldest(self) -> None:
        if self._scale_timer is None:
            # Never 0: the timer arms itself again while somebody waits.
            delay_s = max(self._limits.scale_out_wait_ms, 1.0) / 1000
            self._scale_timer = self._loop.call_later(delay_s, self._scale_out)

    def _scale_out(self) -> None:
        """Start one more if the oldest caller has waited long enough and more wait than start."""
        self._scale_timer = None
        if not self._waiters or self._closed or self._at_limit:
            return  # at its own limit, the pool hears when that changes
        starting = sum(1 for e in self.environments if e.state is State.STARTING) + self._forks
        wait_ms = self._limits.scale_out_wait_ms - TIMER_SLACK_MS
        broken = self._failures and self.usable  # each would only fork to see its init fail
        enough = starting >= len(self._waiters) or broken
        if self._waiters.longest_ms < wait_ms or enough or self._grow(starting):
            self._watch_oldest()

    def _grow(self, starting: int = 0) -> bool:
        """Start one environment; without room for it, wait until there is some."""
        if starting >= self._account.free(self):
            self._account.wait(self)
        elif self._account.full:
            self._account.make_room(self)
        else:
            self._start_one("on-demand")
            return True
        return False

    def _start_provisioned(self) -> bool:
        if self._closed or self._at_limit or self._account.full:
            return False
        self._start_one(PROVISIONED)
        return True

    def _start_one(self, kind: InitializationType) -> None:
        self._count_fork(kind, 1)
        self._account.add()
        task = self._loop.create_task(self._start(kind, self._generation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _count_fork(self, kind: InitializationType, change: int) -> None:
        self._forks += change
        if kind == PROVISIONED:
            self._provisioned.forks += change

    async def _start(self, kind: InitializationType, generation: int) -> None:
        try:
            environment = await self._starter.start(self.function, self, kind)
        except Exception as error:
            self._count_fork(kind, -1)
            self._failures += 1
            _LOGGER.exception("cannot start an environment of %s", self.function.name)
            failure = f"cannot start an environment of {self.function.name}: {error}"
            self._waiters.refuse(RuntimeFailed(failure))
            self._after_loss(None)
            return
        self._count_fork(kind, -1)
        if environment.state is State.STOPPED:  # before it could be handed over
            self._after_loss(environment)
            return
        self.environments.add(environment)
        self._gauge.inc()
        outdated = generation != self._generation
        if outdated or (self.limit is not None and self.usable > self.limit):
            self.retire([environment])
        elif kind == PROVISIONED:
            self._provisioned.add(environment)
        if self._closed:
            environment.stop()
        elif outdated:
            self.provision()
            self.serve()
        self._look()

    def _look(self) -> None:
        """Note what has changed about environments that are not just idle or busy."""
        self._provisioned.look()
        self._calm = not self._leaving and not self._provisioned.is_starting()
