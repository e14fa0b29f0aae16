"""The state machine of an execution environment: what is allowed, and what each end answers."""

from __future__ import annotations

import signal
from itertools import product
from typing import TYPE_CHECKING

import pytest

from local_stack.environments.environment import STOP_GRACE_S
from local_stack.environments.state import ALLOWED, State
from local_stack.errors import IllegalTransition, ProtocolViolation
from tests.fakes.environments import NO_SUCH_PID, make_invocation
from tests.support.environment_world import EnvironmentWorld
from tests.support.virtual_time import EPOCH_MS, virtual_time

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[EnvironmentWorld]:
    with virtual_time(monkeypatch) as loop:
        yield EnvironmentWorld(loop)


# --- the table -------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "to"), list(product(State, State)))
def test_a_move_that_is_not_listed_raises(world: EnvironmentWorld, start: State, to: State) -> None:
    environment = world.environment
    environment.state = start

    if to in ALLOWED[start]:
        environment._move(to)
        assert environment.state is to
    else:
        with pytest.raises(IllegalTransition, match=f"{start} → {to}"):
            environment._move(to)
        assert environment.state is start


def test_every_state_is_in_the_table_and_the_last_one_is_final() -> None:
    assert set(ALLOWED) == set(State)
    assert ALLOWED[State.STOPPED] == frozenset()


# --- the way it should go --------------------------------------------------------------------


def test_it_starts_serves_and_serves_again(world: EnvironmentWorld) -> None:
    assert world.state() is State.STARTING
    world.runtime.next()
    assert world.state() is State.READY
    assert world.owner.ready == 1

    for number in ("one", "two"):
        invocation = world.busy(number)
        assert world.state() is State.BUSY
        assert world.runtime.invocation is invocation
        world.runtime.finish(b'"done"')
        assert world.state() is State.READY
        outcome = invocation.done.result()
        assert (outcome.request_id, outcome.payload) == (number, b'"done"')
        assert outcome.function_error is None

    assert world.owner.ready == 3
    assert world.environment.invocation_count == 2
    assert world.counted("lambda_invocations_total") == 2
    assert world.counted("lambda_errors_total") == 0
    assert world.counted("lambda_cold_starts_total") == 1


def test_it_is_occupied_until_it_has_answered(world: EnvironmentWorld) -> None:
    seen = [world.environment.occupied]
    world.busy()
    seen.append(world.environment.occupied)
    world.runtime.respond()
    seen.append(world.environment.occupied)

    assert seen == [False, True, False]
    assert world.state() is State.BUSY


def test_the_deadline_counts_from_the_hand_over(world: EnvironmentWorld) -> None:
    world.runtime.next()
    invocation = make_invocation(world.loop, "one")
    world.loop.advance(20)

    world.environment.invoke(invocation)

    assert invocation.deadline_ms == EPOCH_MS + 20_000 + 3_000


def test_the_lines_around_an_invocation_are_lambdas(world: EnvironmentWorld) -> None:
    world.loop.advance(0.0301)
    world.busy("one")
    world.loop.advance(0.0025)
    world.runtime.finish()
    world.busy("two")
    world.loop.advance(0.001)
    world.runtime.finish()

    assert world.log == (
        "START RequestId: one Version: $LATEST\n"
        "END RequestId: one\n"
        "REPORT RequestId: one\tDuration: 2.50 ms\tBilled Duration: 33 ms\t"
        "Memory Size: 256 MB\tMax Memory Used: 0 MB\tInit Duration: 30.10 ms\t\n"
        "START RequestId: two Version: $LATEST\n"
        "END RequestId: two\n"
        "REPORT RequestId: two\tDuration: 1.00 ms\tBilled Duration: 1 ms\t"
        "Memory Size: 256 MB\tMax Memory Used: 0 MB\t\n"
    )


def test_the_tail_is_of_its_own_invocation(world: EnvironmentWorld) -> None:
    world.busy("one")
    world.runtime.finish()
    invocation = world.busy("two", want_tail=True)
    world.runtime.finish()

    tail = invocation.done.result().log_tail
    assert tail.startswith(b"START RequestId: two ")
    assert b"REPORT RequestId: two" in tail


def test_an_error_is_what_came_on_the_error_route(world: EnvironmentWorld) -> None:
    invocation = world.busy()

    world.environment.errored("one", b'{"errorType": "X"}')
    world.runtime.next()

    assert world.error_of(invocation.done.result()) == {"errorType": "X"}
    assert world.counted("lambda_errors_total") == 1
    assert world.state() is State.READY


def test_a_result_that_looks_like_an_error_is_none(world: EnvironmentWorld) -> None:
    invocation = world.busy()

    world.runtime.finish(b'{"errorType": "X", "errorMessage": "y"}')

    assert invocation.done.result().function_error is None


def test_a_response_that_is_too_large_is_an_error_of_its_own(world: EnvironmentWorld) -> None:
    invocation = world.busy()

    world.environment.response_too_large("one")

    error = world.error_of(invocation.done.result())
    assert error["errorType"] == "Function.ResponseSizeTooLarge"
    world.runtime.next()
    assert world.state() is State.READY


# --- the ways it should not ------------------------------------------------------------------


@pytest.mark.parametrize("route", ["responded", "errored", "response_too_large"])
def test_an_answer_to_another_request_is_a_violation(world: EnvironmentWorld, route: str) -> None:
    invocation = world.busy("one")
    arguments = () if route == "response_too_large" else (b"{}",)

    with pytest.raises(ProtocolViolation, match="no invocation two is running here"):
        getattr(world.environment, route)("two", *arguments)
    assert not invocation.done.done()

    world.runtime.respond()
    with pytest.raises(ProtocolViolation, match="no invocation one is running here"):
        getattr(world.environment, route)("one", *arguments)


def test_asking_for_work_while_an_answer_is_owed_is_a_violation(world: EnvironmentWorld) -> None:
    world.busy()

    with pytest.raises(ProtocolViolation, match="/next while busy"):
        world.runtime.next()


def test_asking_twice_is_a_violation(world: EnvironmentWorld) -> None:
    world.runtime.next()

    with pytest.raises(ProtocolViolation, match="/next while ready"):
        world.runtime.next()


def test_an_init_error_after_init_is_a_violation(world: EnvironmentWorld) -> None:
    world.runtime.next()

    with pytest.raises(ProtocolViolation, match="/init/error while ready"):
        world.environment.init_failed(b"{}", "Runtime.Unknown")


def test_a_process_that_dies_idle_is_no_error(world: EnvironmentWorld) -> None:
    world.runtime.next()

    world.runtime.exit(-9)

    assert world.state() is State.STOPPED
    assert world.owner.gone == [None]
    assert world.counted("lambda_errors_total") == 0


# --- stopping --------------------------------------------------------------------------------


def test_stopping_is_polite_and_then_it_is_not(world: EnvironmentWorld) -> None:
    world.runtime.next()

    world.environment.stop()
    world.environment.stop()  # once is enough

    assert world.state() is State.STOPPING
    assert world.zygote.killed == [(NO_SUCH_PID, signal.SIGTERM)]
    world.loop.advance(STOP_GRACE_S + 0.001)
    assert world.zygote.killed[1:] == [(NO_SUCH_PID, signal.SIGKILL)]
    world.runtime.exit(-9)
    world.loop.advance(STOP_GRACE_S)
    assert len(world.zygote.killed) == 2
    assert world.owner.gone == [None]


def test_stopping_answers_what_runs(world: EnvironmentWorld) -> None:
    invocation = world.busy()

    world.environment.stop()

    error = world.error_of(invocation.done.result())
    assert error["errorMessage"].endswith("signal: terminated")
    with pytest.raises(ProtocolViolation):
        world.runtime.respond()
    with pytest.raises(ProtocolViolation):
        world.runtime.next()


def test_an_invocation_whose_caller_has_gone_is_finished_all_the_same(
    world: EnvironmentWorld,
) -> None:
    invocation = world.busy()
    invocation.done.cancel()

    world.runtime.finish()

    assert world.state() is State.READY


def test_only_a_ready_environment_can_be_invoked(world: EnvironmentWorld) -> None:
    with pytest.raises(IllegalTransition, match="starting → busy"):
        world.environment.invoke(make_invocation(world.loop, "one"))
