"""Whatever happens to pools, in whatever order: nobody is forgotten, no limit is passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from typing_extensions import override

from local_stack.environments.account import Account, unreserved_min
from local_stack.environments.pool import Pool
from local_stack.environments.state import State
from local_stack.errors import InvalidParameter, Throttled
from local_stack.settings import Limits
from local_stack.telemetry.metrics import Metrics
from tests.fakes.environments import FakeStarter, make_invocation
from tests.support.functions import a_function
from tests.support.virtual_time import VirtualTimeLoop, virtual_time

if TYPE_CHECKING:
    from local_stack.environments.invocation import Invocation
    from tests.fakes.environments import FakeRuntime

LIMITS = Limits(scale_out_wait_ms=5, http_waiters=2, environment_idle_seconds=0.3)
CONCURRENCY, ENVIRONMENTS_MAX = 5, 4
TIMEOUT_S = 0.3
AT_WORK = (State.BUSY, State.RESTARTING)
WITH_PROCESS = (*AT_WORK, State.STARTING, State.READY, State.STOPPING, State.FAILED)
WHICH = st.integers(0, 9)
ONE_OF_TWO = st.integers(0, 1)


class Side:
    """One function: its pool, its environments, its callers."""

    def __init__(self, loop: VirtualTimeLoop, account: Account, **function: Any) -> None:
        self.loop = loop
        self.account = account
        metrics = Metrics()
        self.starter = FakeStarter(metrics)
        self.function = a_function(timeout_s=TIMEOUT_S, **function)
        self.pool = loop.run(self._make(metrics))
        self.calls: list[Invocation] = []
        self.abandoned: set[str] = set()
        self.old: dict[FakeRuntime, int] = {}  # of old code, and how much they may still take
        self.excess = 0  # invocations that ran already when the limit was lowered

    async def _make(self, metrics: Metrics) -> Pool:
        return Pool(self.function, self.starter, LIMITS, self.account, metrics)

    def among(self, *states: State) -> list[FakeRuntime]:
        return [r for r in self.starter.runtimes if r.environment.state in states]

    @property
    def running(self) -> int:
        return sum(r.environment.occupied for r in self.starter.runtimes)

    @property
    def open_calls(self) -> list[Invocation]:
        return [c for c in self.calls if not c.done.done() and c.request_id not in self.abandoned]

    def call(self, *, may_wait: bool) -> None:
        invocation = make_invocation(self.loop, f"call-{len(self.calls)}")
        before = self.running + self.pool.waiting
        waiting = self.pool.waiting
        try:
            self.pool.submit(invocation, may_wait=may_wait)
        except Throttled:
            limit = self.pool.limit
            assert limit is None or self.account.full or before >= limit
            assert not may_wait or limit == 0 or waiting >= LIMITS.http_waiters
        else:
            self.calls.append(invocation)
        self.loop.settle()

    def renew(self) -> None:
        for runtime in self.starter.runtimes:
            pending = runtime.environment.state is State.RESTARTING
            allowed = len(runtime.delivered) + pending
            self.old[runtime] = min(self.old.get(runtime, allowed), allowed)
        self.pool.renew()
        self.loop.settle()

    def settle_everything(self) -> None:
        """Environments work again: those that end, end; others start, answer and ask."""
        for runtime in self.among(State.STOPPING, State.FAILED):
            runtime.exit(-9)
        for runtime in self.among(State.STARTING, State.RESTARTING):
            runtime.next()
        for runtime in self.among(State.BUSY):
            if runtime.environment.occupied:
                runtime.respond()
            runtime.next()
        self.loop.settle()


class PoolMachine(RuleBasedStateMachine):
    """Callers come and go, environments become ready, answer, die; code and limits change."""

    @initialize(
        reserved=st.none() | st.integers(0, 3),
        provisioned=st.integers(0, 2),
    )
    def begin(self, reserved: int | None, provisioned: int) -> None:
        self.patch = pytest.MonkeyPatch()
        self.time = virtual_time(self.patch)
        self.loop: VirtualTimeLoop = self.time.__enter__()
        self.account = Account(CONCURRENCY, ENVIRONMENTS_MAX)
        self.sides = [
            Side(
                self.loop,
                self.account,
                name="One",
                reserved_concurrency=reserved,
                provisioned_concurrency=provisioned,
            ),
            Side(self.loop, self.account, name="Other"),
        ]
        self.unreserved_excess = 0
        self.sides[0].pool.provision()
        self.loop.settle()

    @override
    def teardown(self) -> None:
        if not hasattr(self, "sides"):
            return
        try:
            self._everybody_is_answered_in_the_end()
        finally:
            self.time.__exit__(None, None, None)
            self.patch.undo()

    def _among(self, *states: State) -> list[FakeRuntime]:
        return [runtime for side in self.sides for runtime in side.among(*states)]

    # --- what happens ------------------------------------------------------------------------

    @rule(side=ONE_OF_TWO, may_wait=st.booleans())
    def somebody_calls(self, side: int, may_wait: bool) -> None:
        self.sides[side].call(may_wait=may_wait)

    @rule(side=ONE_OF_TWO)
    def a_caller_gives_up(self, side: int) -> None:
        for call in self.sides[side].open_calls:
            if self.sides[side].pool.abandon(call):
                self.sides[side].abandoned.add(call.request_id)
                return

    @rule(side=ONE_OF_TWO)
    def a_caller_has_waited_long_enough(self, side: int) -> None:
        for call in self.sides[side].open_calls:
            self.sides[side].pool.give_up(call)
        self.loop.settle()

    @precondition(lambda self: self._among(State.STARTING, State.RESTARTING))
    @rule(which=WHICH)
    def an_environment_becomes_ready(self, which: int) -> None:
        starting = self._among(State.STARTING, State.RESTARTING)
        starting[which % len(starting)].next()
        self.loop.settle()

    @precondition(lambda self: self._among(State.BUSY))
    @rule(which=WHICH)
    def an_environment_answers_or_asks(self, which: int) -> None:
        busy = self._among(State.BUSY)
        runtime = busy[which % len(busy)]
        if runtime.environment.occupied:
            runtime.respond()
        else:
            runtime.next()
        self.loop.settle()

    @precondition(lambda self: self._among(*WITH_PROCESS))
    @rule(which=WHICH, status=st.sampled_from([0, 1, -9]))
    def a_process_ends(self, which: int, status: int) -> None:
        alive = self._among(*WITH_PROCESS)
        alive[which % len(alive)].exit(status)
        self.loop.settle()

    @rule(seconds=st.sampled_from([0.001, 0.006, 0.31]))
    def time_passes(self, seconds: float) -> None:
        self.loop.advance(seconds)

    @rule(side=ONE_OF_TWO)
    def what_idled_is_reaped(self, side: int) -> None:
        self.sides[side].pool.reap()
        self.loop.settle()

    @rule(side=ONE_OF_TWO)
    def the_code_is_saved(self, side: int) -> None:
        self.sides[side].renew()

    @rule(side=ONE_OF_TWO, limit=st.none() | st.integers(0, 6))
    def the_reserved_concurrency_is_set(self, side: int, limit: int | None) -> None:
        for each in self.sides:
            each.excess = each.running
        self.unreserved_excess = sum(s.running for s in self.sides)
        others = self.sides[1 - side].pool.limit or 0
        try:
            self.sides[side].pool.set_reserved(limit)
        except InvalidParameter:
            assert limit is not None
            assert limit + others > CONCURRENCY - unreserved_min(CONCURRENCY)
        self.loop.settle()

    # --- what always holds -------------------------------------------------------------------

    @invariant()
    def no_limit_is_passed(self) -> None:
        if not hasattr(self, "sides"):
            return
        exist = self._among(*(set(State) - {State.STOPPED}))
        assert len(exist) == self.account.environments <= ENVIRONMENTS_MAX
        for side in self.sides:
            if side.pool.limit is not None:
                assert side.running <= max(side.pool.limit, side.excess)
            side.excess = min(side.excess, side.running)
            assert len(side.pool.environments) == len(side.among(*(set(State) - {State.STOPPED})))
        unreserved = sum(side.running for side in self.sides if side.pool.limit is None)
        assert unreserved <= max(self.account.unreserved, self.unreserved_excess)
        self.unreserved_excess = min(self.unreserved_excess, unreserved)

    @invariant()
    def nobody_waits_beside_an_idle_environment_without_a_reason(self) -> None:
        for side in getattr(self, "sides", []):
            if side.pool.waiting and side.among(State.READY):
                assert self.account.free(side.pool) <= 0

    @invariant()
    def old_code_takes_nothing_new(self) -> None:
        for side in getattr(self, "sides", []):
            for runtime, allowed in side.old.items():
                assert len(runtime.delivered) <= allowed

    @invariant()
    def a_call_runs_at_most_once_and_in_order(self) -> None:
        for side in getattr(self, "sides", []):
            taken = [i.request_id for r in side.starter.runtimes for i in r.delivered]
            assert len(taken) == len(set(taken))
            assert not set(taken) & side.abandoned
            restarting = sum(r.environment.state is State.RESTARTING for r in side.starter.runtimes)
            waiting = [c for c in side.open_calls if c.request_id not in taken]
            assert len(waiting) - restarting <= side.pool.waiting <= len(waiting)

    def _everybody_is_answered_in_the_end(self) -> None:
        """Once environments work again, whoever waits is served."""
        for _ in range(200):
            if not any(side.open_calls for side in self.sides):
                break
            for side in self.sides:
                side.settle_everything()
            self.loop.advance(0.006)
        assert [side.open_calls for side in self.sides] == [[], []], "callers were forgotten"
        for side in self.sides:
            for call in side.calls:
                if call.done.done() and not call.done.cancelled():
                    call.done.exception()  # those that were throttled have been seen


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPool = PoolMachine.TestCase
