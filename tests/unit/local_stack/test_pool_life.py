"""The environments of a function: how they fail, are kept warm, are reaped, and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from local_stack.environments.environment import STOP_GRACE_S
from local_stack.environments.provisioned import RETRY_S_MAX
from local_stack.environments.state import State
from local_stack.errors import RuntimeFailed
from local_stack.settings import Limits
from tests.fakes.environments import FakeStarter
from tests.support.pool_world import World, error_of
from tests.support.virtual_time import VirtualTimeLoop, virtual_time

if TYPE_CHECKING:
    from collections.abc import Iterator

ON_DEMAND, PROVISIONED = "on-demand", "provisioned-concurrency"


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualTimeLoop]:
    with virtual_time(monkeypatch) as loop:
        yield loop


@pytest.fixture
def world(loop: VirtualTimeLoop) -> World:
    return World(loop)


# --- what goes wrong -------------------------------------------------------------------------


INIT_ERROR = b'{"errorType": "Runtime.ImportModuleError"}'


def fail_init(world: World, index: int = -1) -> None:
    """The handler cannot be imported."""
    runtime = world.starter.runtimes[index]
    runtime.environment.init_failed(INIT_ERROR, "Runtime.ImportModuleError")
    runtime.exit(1)
    world.loop.settle()


def test_an_init_that_fails_is_tried_again_inside_the_first_invocation(world: World) -> None:
    call = world.call()
    fail_init(world)
    assert world.states == [State.RESTARTING]
    assert not call.done.done()

    world.started().finish(b"1")

    assert call.done.result().payload == b"1"
    assert len(world.starter.runtimes) == 1


def test_an_init_that_fails_again_answers_the_caller_that_waited_longest(world: World) -> None:
    first, second = world.call(), world.call()
    fail_init(world)
    fail_init(world)

    assert error_of(first.done.result()) == {"errorType": "Runtime.ImportModuleError"}
    assert not second.done.done()
    assert world.states == [State.RESTARTING]  # for who still waits
    assert world.counted("lambda_errors_total") == 1


def test_an_init_error_with_nobody_waiting_is_nobodys(world: World) -> None:
    call = world.call()
    world.pool.abandon(call)

    world.starter.runtimes[0].exit(1)
    world.loop.advance(10)

    assert world.states == [State.COLD]


def test_a_function_whose_init_fails_does_not_grow(world: World) -> None:
    for _ in range(3):
        world.call()
    fail_init(world)

    world.loop.advance(1)

    assert len(world.starter.runtimes) == 1
    world.started().finish()  # now it works: who waits may have one of his own
    world.loop.advance(1)
    assert len(world.starter.runtimes) == 2


def test_a_start_that_fails_answers_the_caller_that_waited_longest(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.starter.fails = True

    call = world.call()

    with pytest.raises(RuntimeFailed, match="cannot start an environment of Hello: the zygote"):
        call.done.result()
    assert world.account.environments == 0
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
    assert error_of(outcome)["errorMessage"].endswith("signal: killed")
    call = world.call()
    starter.runtimes[0].next()

    assert starter.runtimes[0].delivered[1:] == [call]
    assert world.account.environments == 1


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
    assert starts[-1] == RETRY_S_MAX


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
    world.pool.provision()
    loop.settle()
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
