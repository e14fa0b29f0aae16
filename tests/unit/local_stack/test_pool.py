"""The environments of a function: who waits, who is served, when one more is started."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from local_stack.environments.environment import STOP_GRACE_S
from local_stack.environments.pool import (
    ACCOUNT_LIMIT,
    PROVISION_RETRY_S_MAX,
    RESERVED_LIMIT,
    AccountLimit,
    Pool,
)
from local_stack.environments.state import State
from local_stack.errors import RuntimeFailed, Throttled
from local_stack.settings import Limits
from local_stack.telemetry.metrics import Metrics
from tests.fakes.environments import FakeStarter, make_invocation
from tests.support.functions import a_function
from tests.support.virtual_time import VirtualTimeLoop, virtual_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_stack.environments.invocation import Invocation, Outcome

WAIT_S = 0.005  # limits.scale_out_wait_ms
ON_DEMAND, PROVISIONED = "on-demand", "provisioned-concurrency"


class World:
    """One pool, its starter, and callers."""

    def __init__(
        self,
        loop: VirtualTimeLoop,
        *,
        account: AccountLimit | None = None,
        limits: Limits | None = None,
        **function: Any,
    ) -> None:
        self.loop = loop
        self.metrics = Metrics()
        self.starter = FakeStarter(self.metrics)
        self.limits = limits or Limits(scale_out_wait_ms=WAIT_S * 1000, http_waiters=3)
        self.account = account or AccountLimit(self.limits.account_concurrency)
        self.pool: Pool = loop.run(self._make(function))
        self.calls: list[Invocation] = []

    async def _make(self, function: dict[str, Any]) -> Pool:
        return Pool(a_function(**function), self.starter, self.limits, self.account, self.metrics)

    def call(self, *, may_wait: bool = True) -> Invocation:
        """A caller comes; what can happen at once, happens."""
        invocation = make_invocation(self.loop, f"call-{len(self.calls)}")
        self.pool.submit(invocation, may_wait=may_wait)
        self.calls.append(invocation)
        self.loop.settle()
        return invocation

    def started(self, index: int = -1) -> Any:
        """An environment has imported its handler."""
        self.starter.runtimes[index].next()
        self.loop.settle()
        return self.starter.runtimes[index]

    def warm(self, count: int) -> None:
        """Have `count` idle environments."""
        calls = [self.call() for _ in range(count)]
        while len(self.starter.runtimes) < count:
            self.loop.advance(WAIT_S)
        for runtime in self.starter.runtimes:
            runtime.next()
        for runtime in self.starter.runtimes:
            runtime.finish()
        assert all(call.done.done() for call in calls)
        self.calls.clear()

    def served(self) -> list[str]:
        return [call.request_id for call in self.calls if call.done.done()]

    def counted(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"function": "Hello"})

    @property
    def states(self) -> list[State]:
        return [runtime.environment.state for runtime in self.starter.runtimes]


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualTimeLoop]:
    with virtual_time(monkeypatch) as loop:
        yield loop


@pytest.fixture
def world(loop: VirtualTimeLoop) -> World:
    return World(loop)


def _error(outcome: Outcome) -> Any:
    assert outcome.function_error == "Unhandled"
    return json.loads(outcome.payload)


# --- serving ---------------------------------------------------------------------------------


def test_the_first_caller_starts_an_environment_at_once(world: World) -> None:
    call = world.call()

    assert world.starter.kinds == [ON_DEMAND]
    world.started().finish(b"1")
    assert call.done.result().payload == b"1"
    assert world.counted("lambda_environments") == 1


def test_an_idle_environment_serves_without_another_start(world: World) -> None:
    world.warm(1)

    for _ in range(3):
        call = world.call()
        world.starter.runtimes[0].finish()
        assert call.done.done()

    assert len(world.starter.runtimes) == 1


def test_waiters_are_served_in_the_order_they_came(world: World) -> None:
    world.warm(1)
    runtime = world.starter.runtimes[0]
    for _ in range(4):
        world.call()

    order = []
    for _ in range(4):
        order.append(runtime.invocation.request_id if runtime.invocation else "")
        runtime.finish()

    assert order == ["call-0", "call-1", "call-2", "call-3"]
    assert world.pool.waiting == 0


def test_the_environment_that_served_last_serves_next(world: World) -> None:
    world.warm(2)
    first, second = world.starter.runtimes

    world.call()
    assert second.invocation is world.calls[0]
    second.finish()
    world.call()

    assert second.invocation is world.calls[1]
    assert len(first.delivered) == 1


# --- scaling out -----------------------------------------------------------------------------


def test_a_caller_that_waits_long_enough_gets_an_environment_of_its_own(world: World) -> None:
    world.warm(1)
    world.call()
    world.call()

    world.loop.advance(WAIT_S * 0.9)
    assert len(world.starter.runtimes) == 1
    world.loop.advance(WAIT_S * 0.2)
    assert len(world.starter.runtimes) == 2

    world.started().finish()
    assert world.served() == ["call-1"]


def test_a_caller_that_is_served_in_time_starts_nothing(world: World) -> None:
    world.warm(1)
    world.call()
    world.call()

    world.loop.advance(WAIT_S * 0.9)
    world.starter.runtimes[0].finish()
    world.loop.advance(10)

    assert len(world.starter.runtimes) == 1


def test_no_more_environments_are_started_than_callers_wait(world: World) -> None:
    for _ in range(3):
        world.call()

    world.loop.advance(10)

    assert len(world.starter.runtimes) == 3


def test_without_a_wait_every_caller_gets_one_soon(loop: VirtualTimeLoop) -> None:
    world = World(loop, limits=Limits(scale_out_wait_ms=0))
    for _ in range(5):
        world.call()

    world.loop.advance(0.010)

    assert len(world.starter.runtimes) == 5


def test_a_pool_that_lost_one_of_its_environments_grows_again(loop: VirtualTimeLoop) -> None:
    world = World(loop, reserved_concurrency=2)
    world.warm(2)
    for _ in range(3):
        world.call()
    world.loop.advance(1)  # it is at its limit: nothing to be done

    world.starter.runtimes[0].exit(-9)
    world.loop.advance(1)

    assert len(world.starter.runtimes) == 3
    assert world.started().invocation is world.calls[2]


# --- limits ----------------------------------------------------------------------------------


def _throttled(world: World, *, may_wait: bool) -> str:
    with pytest.raises(Throttled) as caught:
        world.call(may_wait=may_wait)
    return caught.value.reason


def test_at_the_reserved_limit_who_may_not_wait_is_throttled(loop: VirtualTimeLoop) -> None:
    world = World(loop, reserved_concurrency=2)
    world.call(may_wait=False)
    world.call(may_wait=False)

    assert _throttled(world, may_wait=False) == RESERVED_LIMIT
    assert world.counted("lambda_throttles_total") == 1
    world.loop.advance(1)
    assert len(world.starter.runtimes) == 2


def test_who_calls_again_as_soon_as_it_is_answered_is_not_throttled(loop: VirtualTimeLoop) -> None:
    world = World(loop, reserved_concurrency=1)
    world.warm(1)
    runtime = world.starter.runtimes[0]

    for _ in range(5):
        call = world.call(may_wait=False)
        runtime.respond()
        assert call.done.done()
        again = world.call(may_wait=False)  # the runtime has not asked for its next yet
        runtime.next()
        runtime.finish()
        assert again.done.done()


def test_only_one_caller_counts_on_one_environment_that_comes_free(loop: VirtualTimeLoop) -> None:
    world = World(loop, reserved_concurrency=1)
    world.warm(1)
    world.call(may_wait=False)
    world.starter.runtimes[0].respond()

    world.call(may_wait=False)

    assert _throttled(world, may_wait=False) == RESERVED_LIMIT


def test_a_reserved_concurrency_of_zero_switches_the_function_off(loop: VirtualTimeLoop) -> None:
    world = World(loop, reserved_concurrency=0)

    assert _throttled(world, may_wait=False) == RESERVED_LIMIT
    assert _throttled(world, may_wait=True) == RESERVED_LIMIT
    assert world.starter.runtimes == []


def test_as_many_may_wait_as_the_limits_say_and_not_one_more(loop: VirtualTimeLoop) -> None:
    world = World(loop, reserved_concurrency=1)
    world.warm(1)
    for _ in range(1 + 1 + 3):  # one runs, one for the limit, http_waiters
        world.call()

    assert _throttled(world, may_wait=True) == RESERVED_LIMIT
    assert world.pool.waiting == 4


def test_a_function_without_a_limit_has_bounded_waiters_too(world: World) -> None:
    for _ in range(3):
        world.call(may_wait=False)

    assert _throttled(world, may_wait=False)


def test_at_the_account_limit_who_may_not_wait_is_throttled(loop: VirtualTimeLoop) -> None:
    account = AccountLimit(1)
    one, other = World(loop, account=account), World(loop, account=account)
    one.call()

    assert _throttled(other, may_wait=False) == ACCOUNT_LIMIT
    assert other.starter.runtimes == []


def test_the_account_limit_holds_for_callers_that_wait(loop: VirtualTimeLoop) -> None:
    account = AccountLimit(1)
    one, other = World(loop, account=account), World(loop, account=account)
    one.call()
    call = other.call()
    loop.advance(1)
    assert other.starter.runtimes == []
    assert account.used == 1

    one.starter.runtimes[0].exit(1)
    loop.advance(0.010)

    assert account.used == 1
    other.started().finish()
    assert call.done.done()


def test_the_account_counts_what_comes_and_goes(loop: VirtualTimeLoop) -> None:
    world = World(loop)
    world.warm(2)
    assert world.account.used == 2

    for runtime in world.starter.runtimes:
        runtime.exit(-9)

    assert world.account.used == 0
    assert world.counted("lambda_environments") == 0


# --- what goes wrong -------------------------------------------------------------------------


def test_an_init_error_answers_the_caller_that_waited_longest(world: World) -> None:
    first, second = world.call(), world.call()
    runtime = world.starter.runtimes[0]
    runtime.environment.init_failed(b'{"errorType": "Runtime.ImportModuleError"}')
    runtime.exit(1)
    world.loop.settle()

    assert _error(first.done.result()) == {"errorType": "Runtime.ImportModuleError"}
    assert not second.done.done()
    assert len(world.starter.runtimes) == 2  # another one, for who still waits
    assert world.counted("lambda_errors_total") == 1
    assert world.counted("lambda_invocations_total") == 1


def test_an_init_error_with_nobody_waiting_is_nobodys(world: World) -> None:
    call = world.call()
    world.pool.abandon(call)

    world.starter.runtimes[0].exit(1)
    world.loop.advance(10)

    assert len(world.starter.runtimes) == 1
    assert world.account.used == 0


def test_a_start_that_fails_answers_the_caller_that_waited_longest(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.starter.fails = True

    call = world.call()

    with pytest.raises(RuntimeFailed, match="cannot start an environment of Hello: the zygote"):
        call.done.result()
    assert world.account.used == 0
    assert "cannot start an environment of Hello" in caplog.text
    world.starter.fails = False
    call = world.call()
    world.started().finish()
    assert call.done.done()


def test_a_caller_that_gave_up_is_passed_over(world: World) -> None:
    gone, stays = world.call(), world.call()

    assert world.pool.abandon(gone)
    assert not world.pool.abandon(gone)
    world.started()

    assert world.starter.runtimes[0].delivered == [stays]
    assert not world.pool.abandon(stays)


def test_a_caller_whose_future_is_cancelled_is_passed_over(world: World) -> None:
    gone, stays = world.call(), world.call()
    gone.done.cancel()

    world.started()

    assert world.starter.runtimes[0].delivered == [stays]


def test_an_environment_that_dies_idle_is_not_used_again(world: World) -> None:
    world.warm(1)
    world.starter.runtimes[0].exit(-9)

    world.call()

    assert len(world.starter.runtimes) == 2


def test_an_environment_that_dies_before_its_start_is_reported_is_not_used(
    loop: VirtualTimeLoop,
) -> None:
    class HastyStarter(FakeStarter):
        """Its first environment is ready, and dead, before anybody heard of it."""

        @override
        async def start(self, *arguments: Any) -> Any:
            environment = await super().start(*arguments)
            if len(self.runtimes) == 1:
                self.runtimes[0].next()
                self.runtimes[0].exit(-9)
            return environment

    world = World(loop)
    starter = HastyStarter(world.metrics)
    world.pool._starter = starter

    call = world.call()
    outcome = call.done.result()
    assert _error(outcome)["errorMessage"].endswith("signal: killed")
    call = world.call()
    starter.runtimes[1].next()

    assert starter.runtimes[1].delivered == [call]
    assert world.account.used == 1


# --- provisioned concurrency and reaping -----------------------------------------------------


def test_provisioned_environments_are_there_before_the_first_caller(loop: VirtualTimeLoop) -> None:
    world = World(loop, provisioned_concurrency=2)

    world.pool.provision()
    loop.settle()

    assert world.starter.kinds == [PROVISIONED] * 2
    world.pool.provision()
    loop.settle()
    assert len(world.starter.runtimes) == 2


def test_provisioning_stays_within_the_reserved_limit(loop: VirtualTimeLoop) -> None:
    world = World(loop, provisioned_concurrency=5, reserved_concurrency=3)

    world.pool.provision()
    loop.settle()

    assert len(world.starter.runtimes) == 3


def test_a_provisioned_environment_that_died_is_replaced(loop: VirtualTimeLoop) -> None:
    world = World(loop, provisioned_concurrency=1)
    world.pool.provision()
    loop.settle()
    world.started().exit(-9)

    loop.advance(0.001)

    assert world.starter.kinds == [PROVISIONED] * 2


def test_provisioning_that_fails_is_tried_again_less_and_less_often(loop: VirtualTimeLoop) -> None:
    world = World(loop, provisioned_concurrency=1)
    world.pool.provision()
    loop.settle()

    starts = []
    for _ in range(8):
        before, began = len(world.starter.runtimes), loop.time()
        world.starter.runtimes[-1].exit(1)
        while len(world.starter.runtimes) == before:
            loop.advance(0.5)
        starts.append(loop.time() - began)

    assert starts == [1, 2, 4, 8, 16, 30, 30, 30]
    assert starts[-1] == PROVISION_RETRY_S_MAX


IDLE = Limits(environment_idle_seconds=60)


def test_what_idled_too_long_is_stopped(loop: VirtualTimeLoop) -> None:
    world = World(loop, limits=IDLE)
    world.warm(2)
    loop.advance(30)
    world.call()
    world.starter.runtimes[1].finish()
    loop.advance(30.001)

    world.pool.reap()

    assert world.states == [State.STOPPING, State.READY]
    world.call()
    assert world.starter.runtimes[1].invocation is world.calls[-1]


def test_what_works_is_not_reaped(loop: VirtualTimeLoop) -> None:
    world = World(loop, limits=IDLE, timeout_s=900.0)
    world.warm(1)
    world.call()
    loop.advance(61)

    world.pool.reap()

    assert world.states == [State.BUSY]


@pytest.mark.parametrize("provisioned", [1, 2])
def test_provisioned_environments_are_kept_however_long_they_idle(
    loop: VirtualTimeLoop, provisioned: int
) -> None:
    world = World(loop, limits=IDLE, provisioned_concurrency=provisioned)
    world.warm(3)
    loop.advance(61)

    world.pool.reap()
    world.pool.reap()

    assert world.states.count(State.READY) == provisioned
    assert world.states.count(State.STOPPING) == 3 - provisioned


# --- closing ---------------------------------------------------------------------------------


def test_closing_refuses_waiters_and_waits_until_all_are_gone(loop: VirtualTimeLoop) -> None:
    world = World(loop, reserved_concurrency=1)
    world.warm(1)
    world.call()
    waiter = world.call()

    closing = loop.create_task(world.pool.close())
    loop.settle()

    with pytest.raises(RuntimeFailed, match="the host is stopping"):
        waiter.done.result()
    assert world.states == [State.STOPPING]
    assert not closing.done()
    world.starter.runtimes[0].exit(-15)
    loop.settle()
    assert closing.done()
    with pytest.raises(RuntimeFailed, match="the host is stopping"):
        world.call()


def test_closing_does_not_wait_for_ever(world: World) -> None:
    world.warm(1)

    closing = world.loop.create_task(world.pool.close())
    world.loop.advance(STOP_GRACE_S + 2)

    assert closing.done()
    assert len(world.starter.zygote.killed) == 2


def test_what_becomes_ready_while_closing_is_stopped(world: World) -> None:
    world.call()
    closing = world.loop.create_task(world.pool.close())
    world.loop.settle()

    assert world.states == [State.STOPPING]
    world.starter.runtimes[0].exit(-15)
    world.loop.settle()
    assert closing.done()
