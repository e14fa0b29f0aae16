"""What functions share: concurrency of the account, and room for environments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local_stack.environments.account import (
    ACCOUNT_LIMIT,
    RESERVED_LIMIT,
    Account,
    unreserved_min,
)
from local_stack.environments.state import State
from local_stack.errors import InvalidParameter, Throttled
from tests.support.pool_world import World
from tests.support.virtual_time import VirtualTimeLoop, virtual_time

if TYPE_CHECKING:
    from collections.abc import Iterator

PLENTY = 256


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualTimeLoop]:
    with virtual_time(monkeypatch) as loop:
        yield loop


def throttled(world: World, *, may_wait: bool = False) -> str:
    with pytest.raises(Throttled) as caught:
        world.call(may_wait=may_wait)
    return caught.value.reason


# --- concurrency -----------------------------------------------------------------------------


def test_the_account_limit_counts_invocations_and_not_environments(loop: VirtualTimeLoop) -> None:
    account = Account(2, PLENTY)
    one, other = World(loop, account=account), World(loop, account=account)
    one.warm(2)
    assert account.environments == 2

    other.call(may_wait=False)
    one.call(may_wait=False)

    assert throttled(other) == ACCOUNT_LIMIT
    assert throttled(one) == ACCOUNT_LIMIT  # though an environment of its own is idle
    assert State.READY in one.states


def test_who_waits_for_the_account_runs_when_another_function_has_answered(
    loop: VirtualTimeLoop,
) -> None:
    account = Account(1, PLENTY)
    one, other = World(loop, account=account), World(loop, account=account)
    one.warm(1)
    other.warm(1)
    one.call()
    waiting = other.call()
    assert other.states == [State.READY]

    one.starter.runtimes[0].finish()
    loop.settle()

    assert other.starter.runtimes[0].invocation is waiting


def test_reserved_concurrency_is_set_aside_from_the_accounts(loop: VirtualTimeLoop) -> None:
    account = Account(5, PLENTY)
    reserved = World(loop, account=account, reserved_concurrency=3)
    one, other = World(loop, account=account), World(loop, account=account)
    one.call(may_wait=False)
    other.call(may_wait=False)

    assert throttled(one) == ACCOUNT_LIMIT
    for _ in range(3):
        reserved.call(may_wait=False)
    assert throttled(reserved) == RESERVED_LIMIT


def test_provisioned_concurrency_is_set_aside_even_while_it_rests(loop: VirtualTimeLoop) -> None:
    account = Account(3, PLENTY)
    provisioned = World(loop, account=account, provisioned_concurrency=2)
    other = World(loop, account=account)
    other.call(may_wait=False)

    assert throttled(other) == ACCOUNT_LIMIT
    for _ in range(2):
        provisioned.call(may_wait=False)
    assert throttled(provisioned) == ACCOUNT_LIMIT


@pytest.mark.parametrize(("concurrency", "least"), [(1000, 100), (10_000, 100), (50, 5), (5, 1)])
def test_a_part_of_the_account_stays_unreserved(concurrency: int, least: int) -> None:
    assert unreserved_min(concurrency) == least


def test_so_much_may_be_reserved_and_not_one_more(loop: VirtualTimeLoop) -> None:
    account = Account(1000, PLENTY)
    world = World(loop, account=account)
    World(loop, account=account, reserved_concurrency=400)

    world.pool.set_reserved(500)
    with pytest.raises(InvalidParameter) as caught:
        world.pool.set_reserved(501)

    assert str(caught.value) == (
        "Specified ReservedConcurrentExecutions for function decreases account's "
        "UnreservedConcurrentExecution below its minimum value of [100]."
    )
    assert world.pool.limit == 500
    with pytest.raises(InvalidParameter, match="greater than or equal to 0"):
        world.pool.set_reserved(-1)


def test_a_template_that_reserves_too_much_leaves_the_minimum(loop: VirtualTimeLoop) -> None:
    account = Account(10, PLENTY)
    World(loop, account=account, reserved_concurrency=20)
    world = World(loop, account=account)

    world.call(may_wait=False)

    assert throttled(world) == ACCOUNT_LIMIT


# --- room for environments -------------------------------------------------------------------


def test_the_longest_idle_environment_of_another_function_makes_room(
    loop: VirtualTimeLoop,
) -> None:
    account = Account(1000, 2)
    first, second, third = (World(loop, account=account) for _ in range(3))
    first.warm(1)
    loop.advance(1)
    second.warm(1)

    call = third.call(may_wait=False)
    assert (first.states, second.states) == ([State.STOPPING], [State.READY])
    assert third.starter.runtimes == []  # there is room when the other is gone, not before
    first.starter.runtimes[0].exit(-15)
    loop.settle()
    third.started().finish()

    assert call.done.done()
    assert account.environments == 2


def test_without_an_idle_environment_there_is_no_room(loop: VirtualTimeLoop) -> None:
    account = Account(1000, 1)
    one, other = World(loop, account=account), World(loop, account=account)
    one.call()

    assert throttled(other) == ACCOUNT_LIMIT
    assert other.starter.runtimes == []


def test_who_waits_for_room_gets_it_when_an_environment_idles(loop: VirtualTimeLoop) -> None:
    account = Account(1000, 1)
    one, other = World(loop, account=account), World(loop, account=account)
    one.call()
    one.started()
    call = other.call()
    loop.advance(1)
    assert other.starter.runtimes == []

    one.starter.runtimes[0].finish()
    one.starter.runtimes[0].exit(-15)
    loop.settle()
    other.started().finish()

    assert call.done.done()
    assert account.environments == 1


def test_provisioned_environments_make_no_room(loop: VirtualTimeLoop) -> None:
    account = Account(1000, 1)
    provisioned = World(loop, account=account, provisioned_concurrency=1)
    provisioned.pool.provision()
    loop.settle()
    provisioned.started()

    assert throttled(World(loop, account=account)) == ACCOUNT_LIMIT
    assert provisioned.states == [State.READY]


def test_a_function_with_callers_waiting_gives_way_to_one_that_has_no_environment(
    loop: VirtualTimeLoop,
) -> None:
    account = Account(1000, 2)
    busy, starving = World(loop, account=account), World(loop, account=account)
    busy.warm(2)
    for _ in range(4):
        busy.call()
    call = starving.call()

    busy.starter.runtimes[0].finish()
    assert busy.states == [State.STOPPING, State.BUSY]
    busy.starter.runtimes[0].exit(-15)
    loop.settle()
    starving.started().finish()

    assert call.done.done()


def test_the_account_counts_what_comes_and_goes(loop: VirtualTimeLoop) -> None:
    world = World(loop)
    world.warm(2)
    assert world.account.environments == 2

    for runtime in world.starter.runtimes:
        runtime.exit(-9)

    assert world.account.environments == 0
    assert world.counted("lambda_environments") == 0
