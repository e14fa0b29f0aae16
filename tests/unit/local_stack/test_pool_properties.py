"""Whatever happens to a pool, in whatever order: nobody is forgotten, no limit is passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from typing_extensions import override

from local_stack.environments.pool import AccountLimit, Pool
from local_stack.environments.state import State
from local_stack.errors import Throttled
from local_stack.settings import Limits
from local_stack.telemetry.metrics import Metrics
from tests.fakes.environments import FakeStarter, make_invocation
from tests.support.functions import a_function
from tests.support.virtual_time import VirtualTimeLoop, virtual_time

if TYPE_CHECKING:
    from local_stack.environments.invocation import Invocation
    from tests.fakes.environments import FakeRuntime

LIMITS = Limits(
    scale_out_wait_ms=5, http_waiters=2, environment_idle_seconds=0.3, account_concurrency=4
)
TIMEOUT_S = 0.3
_ALIVE = (State.STARTING, State.READY, State.BUSY, State.STOPPING, State.FAILED)


class PoolMachine(RuleBasedStateMachine):
    """Callers come and go, environments become ready, answer, die; time passes."""

    @initialize(reserved=st.none() | st.integers(0, 3), provisioned=st.integers(0, 2))
    def begin(self, reserved: int | None, provisioned: int) -> None:
        self.patch = pytest.MonkeyPatch()
        self.time = virtual_time(self.patch)
        self.loop: VirtualTimeLoop = self.time.__enter__()
        self.metrics = Metrics()
        self.starter = FakeStarter(self.metrics)
        self.account = AccountLimit(LIMITS.account_concurrency)
        self.function = a_function(
            reserved_concurrency=reserved,
            provisioned_concurrency=provisioned,
            timeout_s=TIMEOUT_S,
        )
        self.pool: Pool = self.loop.run(self._make())
        self.calls: list[Invocation] = []
        self.abandoned: set[str] = set()
        self.pool.provision()
        self.loop.settle()

    async def _make(self) -> Pool:
        return Pool(self.function, self.starter, LIMITS, self.account, self.metrics)

    @override
    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        try:
            self._everybody_is_answered_in_the_end()
        finally:
            self.time.__exit__(None, None, None)
            self.patch.undo()

    def _in(self, *states: State) -> list[FakeRuntime]:
        return [r for r in self.starter.runtimes if r.environment.state in states]

    # --- what happens ------------------------------------------------------------------------

    @rule(may_wait=st.booleans())
    def somebody_calls(self, may_wait: bool) -> None:
        invocation = make_invocation(self.loop, f"call-{len(self.calls)}")
        try:
            self.pool.submit(invocation, may_wait=may_wait)
        except Throttled:
            reserved = self.function.reserved_concurrency
            running = sum(r.environment.occupied for r in self.starter.runtimes)
            at_limit = reserved is not None and running + self.pool.waiting >= reserved
            assert at_limit or self.account.reached() or self.pool.waiting >= LIMITS.http_waiters
        else:
            self.calls.append(invocation)
        self.loop.settle()

    @precondition(lambda self: self.pool.waiting)
    @rule()
    def a_caller_gives_up(self) -> None:
        for call in self.calls:
            if not call.done.done() and self.pool.abandon(call):
                self.abandoned.add(call.request_id)
                return

    @precondition(lambda self: self._in(State.STARTING))
    @rule(which=st.integers(0, 9))
    def an_environment_becomes_ready(self, which: int) -> None:
        starting = self._in(State.STARTING)
        starting[which % len(starting)].next()
        self.loop.settle()

    @precondition(lambda self: self._in(State.BUSY))
    @rule(which=st.integers(0, 9))
    def an_environment_answers_or_asks(self, which: int) -> None:
        busy = self._in(State.BUSY)
        runtime = busy[which % len(busy)]
        if runtime.environment.occupied:
            runtime.respond()
        else:
            runtime.next()
        self.loop.settle()

    @precondition(lambda self: self._in(*_ALIVE))
    @rule(which=st.integers(0, 9), status=st.sampled_from([0, 1, -9]))
    def a_process_ends(self, which: int, status: int) -> None:
        alive = self._in(*_ALIVE)
        alive[which % len(alive)].exit(status)
        self.loop.settle()

    @rule(seconds=st.sampled_from([0.001, 0.006, 0.31]))
    def time_passes(self, seconds: float) -> None:
        self.loop.advance(seconds)

    @rule()
    def what_idled_is_reaped(self) -> None:
        before = len(self._in(State.READY, State.BUSY, State.STARTING))
        self.pool.reap()
        kept = len(self._in(State.READY, State.BUSY, State.STARTING))
        assert kept >= min(before, self.function.provisioned_concurrency)

    # --- what always holds -------------------------------------------------------------------

    @invariant()
    def no_limit_is_passed(self) -> None:
        if not hasattr(self, "pool"):
            return
        alive = len(self._in(*_ALIVE))
        assert alive <= LIMITS.account_concurrency
        assert self.account.used == alive
        if self.function.reserved_concurrency is not None:
            assert alive <= self.function.reserved_concurrency
        assert self.pool.waiting <= LIMITS.http_waiters + (self.function.reserved_concurrency or 0)

    @invariant()
    def nobody_waits_beside_an_idle_environment(self) -> None:
        if hasattr(self, "pool"):
            assert not (self.pool.waiting and self._in(State.READY))

    @invariant()
    def a_call_runs_at_most_once_and_in_order(self) -> None:
        if not hasattr(self, "pool"):
            return
        taken = [i.request_id for r in self.starter.runtimes for i in r.delivered]
        assert len(taken) == len(set(taken))
        assert not set(taken) & self.abandoned
        waiting = [
            call.request_id
            for call in self.calls
            if not call.done.done()
            and call.request_id not in taken
            and call.request_id not in self.abandoned
        ]
        assert len(waiting) == self.pool.waiting

    def _everybody_is_answered_in_the_end(self) -> None:
        """Once environments work again, whoever waits is served."""
        for _ in range(100):
            if not self._open_calls():
                break
            for runtime in self._in(State.STOPPING, State.FAILED):
                runtime.exit(-9)
            for runtime in self._in(State.STARTING):
                runtime.next()
            for runtime in self._in(State.BUSY):
                if runtime.environment.occupied:
                    runtime.respond()
                runtime.next()
            self.loop.advance(0.006)
        assert self._open_calls() == [], "callers were forgotten"

    def _open_calls(self) -> list[Invocation]:
        return [
            call
            for call in self.calls
            if not call.done.done() and call.request_id not in self.abandoned
        ]


PoolMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestPool = PoolMachine.TestCase
