"""Pools whose limit or code changes while they work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local_stack.environments.account import RESERVED_LIMIT
from local_stack.environments.state import State
from local_stack.errors import Throttled
from tests.support.pool_world import WAIT_S, World
from tests.support.virtual_time import VirtualTimeLoop, virtual_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_stack.environments.invocation import Invocation

ON_DEMAND, PROVISIONED = "on-demand", "provisioned-concurrency"


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualTimeLoop]:
    with virtual_time(monkeypatch) as loop:
        yield loop


@pytest.fixture
def world(loop: VirtualTimeLoop) -> World:
    return World(loop)


def reason_of(call: Invocation) -> str:
    exception = call.done.exception()
    assert isinstance(exception, Throttled)
    return exception.reason


# --- reserved concurrency --------------------------------------------------------------------


def test_a_lowered_limit_lets_what_runs_finish_and_ends_the_rest(world: World) -> None:
    world.warm(3)
    calls = [world.call() for _ in range(2)]

    world.pool.set_reserved(1)
    assert world.states == [State.STOPPING, State.BUSY, State.BUSY]
    with pytest.raises(Throttled):
        world.call(may_wait=False)
    for runtime in world.starter.runtimes[1:]:
        runtime.finish()

    assert all(call.done.result().payload == b"null" for call in calls)
    assert sorted(world.states) == [State.READY, State.STOPPING, State.STOPPING]


def test_a_limit_of_zero_switches_off_a_function_that_runs(world: World) -> None:
    world.warm(1)
    running, waiting = world.call(), world.call()

    world.pool.set_reserved(0)

    assert reason_of(waiting) == RESERVED_LIMIT
    with pytest.raises(Throttled):
        world.call()
    world.starter.runtimes[0].finish()
    assert running.done.done()
    assert world.states == [State.STOPPING]


def test_a_raised_limit_serves_who_waits(loop: VirtualTimeLoop) -> None:
    world = World(loop, reserved_concurrency=1)
    world.warm(1)
    world.call()
    call = world.call()
    loop.advance(1)
    assert len(world.starter.runtimes) == 1

    world.pool.set_reserved(2)
    loop.advance(2 * WAIT_S)
    world.started().finish()

    assert call.done.done()


def test_none_removes_the_limit(loop: VirtualTimeLoop) -> None:
    world = World(loop, reserved_concurrency=0)

    world.pool.set_reserved(None)
    world.call(may_wait=False)
    world.started().finish()

    assert world.calls[0].done.done()


def test_provisioned_environments_are_the_last_to_go(loop: VirtualTimeLoop) -> None:
    world = World(loop, provisioned_concurrency=1)
    world.pool.provision()
    loop.settle()
    world.warm(2)

    world.pool.set_reserved(1)

    assert world.starter.kinds == [PROVISIONED, ON_DEMAND]
    assert world.states == [State.READY, State.STOPPING]


# --- code ------------------------------------------------------------------------------------


def test_after_a_save_idle_environments_end_and_a_new_one_serves(world: World) -> None:
    world.warm(2)

    world.pool.renew()
    call = world.call()

    assert world.states == [State.STOPPING, State.STOPPING, State.STARTING]
    world.started().finish(b"new")
    assert call.done.result().payload == b"new"


def test_after_a_save_what_runs_finishes_and_takes_nothing_more(world: World) -> None:
    world.warm(1)
    running = world.call()
    world.pool.renew()
    waiting = world.call()

    world.starter.runtimes[0].finish(b"old")

    assert running.done.result().payload == b"old"
    assert not waiting.done.done()
    assert world.states == [State.STOPPING, State.STARTING]
    world.started().finish(b"new")
    assert waiting.done.result().payload == b"new"


def test_after_a_save_what_is_starting_is_not_used(world: World) -> None:
    call = world.call()

    world.pool.renew()
    assert world.states[0] is State.STOPPING
    world.starter.runtimes[0].exit(-15)
    world.loop.settle()
    world.started().finish(b"new")

    assert call.done.result().payload == b"new"


def test_a_fork_that_began_before_a_save_is_not_used(loop: VirtualTimeLoop) -> None:
    world = World(loop, provisioned_concurrency=1)
    world.pool.provision()  # its task has not run yet

    world.pool.renew()
    loop.settle()

    assert world.starter.kinds == [PROVISIONED, PROVISIONED]
    assert world.states == [State.STOPPING, State.STARTING]


def test_the_limit_holds_across_a_save(loop: VirtualTimeLoop) -> None:
    world = World(loop, reserved_concurrency=1)
    world.warm(1)
    world.call()
    world.pool.renew()

    with pytest.raises(Throttled):
        world.call(may_wait=False)  # the old code still runs
    waiting = world.call()
    loop.advance(1)
    assert world.states == [State.BUSY]
    world.starter.runtimes[0].finish()
    loop.settle()

    assert world.started().invocation is waiting


def test_provisioned_environments_are_warm_again_after_a_save(loop: VirtualTimeLoop) -> None:
    world = World(loop, provisioned_concurrency=2)
    world.pool.provision()
    loop.settle()
    for index in range(2):
        world.started(index)

    world.pool.renew()
    loop.settle()

    assert world.starter.kinds == [PROVISIONED] * 4
    assert world.states[2:] == [State.STARTING, State.STARTING]


def test_a_function_that_failed_to_start_is_tried_at_once_after_a_save(
    loop: VirtualTimeLoop,
) -> None:
    world = World(loop, provisioned_concurrency=1)
    world.pool.provision()
    loop.settle()
    for _ in range(4):
        world.starter.runtimes[-1].exit(1)
        loop.advance(10)
    world.starter.runtimes[-1].exit(1)
    failed = len(world.starter.runtimes)

    world.pool.renew()
    loop.settle()

    assert len(world.starter.runtimes) == failed + 1


def test_warm_means_ready_or_failed(loop: VirtualTimeLoop) -> None:
    world = World(loop, provisioned_concurrency=2)
    world.pool.provision()
    warm = loop.create_task(world.pool.warm())
    loop.settle()
    assert not warm.done()

    world.started(0)
    assert not warm.done()
    world.starter.runtimes[1].exit(1)
    loop.settle()

    assert warm.done()


def test_a_function_without_provisioned_concurrency_is_warm(loop: VirtualTimeLoop) -> None:
    loop.run(World(loop).pool.warm())
