"""The environments of a function: who waits, who is served, when one more is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local_stack.environments.account import ACCOUNT_LIMIT, RESERVED_LIMIT, Account
from local_stack.environments.state import State
from local_stack.errors import Throttled
from local_stack.settings import Limits
from tests.support.pool_world import WAIT_S, World
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


def test_an_environment_that_lost_its_process_serves_who_waits(
    loop: VirtualTimeLoop,
) -> None:
    world = World(loop, reserved_concurrency=2)
    world.warm(2)
    for _ in range(3):
        world.call()
    world.loop.advance(1)  # it is at its limit: nothing to be done

    world.starter.runtimes[0].exit(-9)
    world.loop.advance(1)

    assert len(world.starter.runtimes) == 2
    assert world.started(0).invocation is world.calls[2]


def test_an_environment_without_a_process_is_used_last(world: World) -> None:
    world.warm(2)
    world.call()
    world.starter.runtimes[1].exit(-9)

    world.call()

    assert world.states == [State.BUSY, State.COLD]


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
    for _ in range(1 + 3):  # one runs, http_waiters wait
        world.call()

    assert _throttled(world, may_wait=True) == RESERVED_LIMIT
    assert world.pool.waiting == 3


def test_callers_that_wait_for_a_start_are_bounded_by_concurrency_only(
    loop: VirtualTimeLoop,
) -> None:
    world = World(loop, account=Account(10, 256))
    for _ in range(10):
        world.call(may_wait=False)

    assert _throttled(world, may_wait=False) == ACCOUNT_LIMIT
    assert world.pool.waiting == 10


def test_a_function_without_a_limit_has_bounded_waiters_too(loop: VirtualTimeLoop) -> None:
    world = World(loop, account=Account(1, 256))
    for _ in range(1 + 3):
        world.call()

    assert _throttled(world, may_wait=True) == ACCOUNT_LIMIT


def test_who_waited_too_long_is_throttled(loop: VirtualTimeLoop) -> None:
    world = World(loop, reserved_concurrency=1)
    running, waiting = world.call(), world.call()
    world.started()

    world.pool.give_up(waiting)
    world.pool.give_up(running)  # it has been taken: nothing happens

    exception = waiting.done.exception()
    assert isinstance(exception, Throttled)
    assert exception.reason == RESERVED_LIMIT
    assert not running.done.done()
    assert world.counted("lambda_throttles_total") == 1


def test_who_waits_for_a_slow_start_is_not_throttled(world: World) -> None:
    call = world.call()
    world.loop.advance(8)

    world.pool.give_up(call)
    assert not call.done.done()
    world.started().finish()

    assert call.done.result().payload == b"null"
