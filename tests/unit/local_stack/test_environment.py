"""The state machine of an execution environment: what is allowed, and what each end answers."""

from __future__ import annotations

import json
import signal
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from local_stack.environments.environment import INIT_TIMEOUT_S, STOP_GRACE_S
from local_stack.environments.state import ALLOWED, State
from local_stack.errors import IllegalTransition, ProtocolViolation
from local_stack.telemetry.metrics import Metrics
from tests.fakes.environments import (
    NO_SUCH_PID,
    FakeRuntime,
    FakeZygote,
    make_environment,
    make_invocation,
)
from tests.support.functions import a_function
from tests.support.virtual_time import EPOCH_MS, virtual_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_stack.environments.environment import Environment
    from local_stack.environments.invocation import Invocation, Outcome
    from tests.support.virtual_time import VirtualTimeLoop


class Listener:
    """An owner that only listens."""

    def __init__(self) -> None:
        self.ready = 0
        self.gone: list[bytes | None] = []

    def on_ready(self, environment: Environment) -> None:
        self.ready += 1

    def on_gone(self, environment: Environment, init_error: bytes | None) -> None:
        self.gone.append(init_error)


class World:
    """One environment, and everybody around it."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.loop = loop
        self.owner = Listener()
        self.zygote = FakeZygote()
        self.metrics = Metrics()
        self.function = a_function(timeout_s=3.0, memory_mb=256)
        self.runtime: FakeRuntime = loop.run(self._make())
        self.environment = self.runtime.environment

    async def _make(self) -> FakeRuntime:
        return make_environment(self.function, self.owner, self.metrics, self.zygote, NO_SUCH_PID)

    def busy(self, request_id: str = "one", *, want_tail: bool = False) -> Invocation:
        """Bring it to BUSY, and return the invocation that it runs."""
        if self.environment.state is State.STARTING:
            self.runtime.next()
        invocation = make_invocation(self.loop, request_id, want_tail=want_tail)
        self.environment.invoke(invocation)
        return invocation

    def error_of(self, outcome: Outcome) -> Any:
        assert outcome.function_error == "Unhandled"
        return json.loads(outcome.payload)

    def counted(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"function": "Hello"})


def _state(world: World) -> State:
    return world.environment.state


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with virtual_time(monkeypatch) as loop:
        yield World(loop)


# --- the table -------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "to"), list(product(State, State)))
def test_a_move_that_is_not_listed_raises(world: World, start: State, to: State) -> None:
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


def test_it_starts_serves_and_serves_again(world: World) -> None:
    assert _state(world) is State.STARTING
    world.runtime.next()
    assert _state(world) is State.READY
    assert world.owner.ready == 1

    for number in ("one", "two"):
        invocation = world.busy(number)
        assert _state(world) is State.BUSY
        assert world.runtime.invocation is invocation
        world.runtime.finish(b'"done"')
        assert _state(world) is State.READY
        outcome = invocation.done.result()
        assert (outcome.request_id, outcome.payload) == (number, b'"done"')
        assert outcome.function_error is None

    assert world.owner.ready == 3
    assert world.environment.invocation_count == 2
    assert world.counted("lambda_invocations_total") == 2
    assert world.counted("lambda_errors_total") == 0
    assert world.counted("lambda_cold_starts_total") == 1


def test_it_is_occupied_until_it_has_answered(world: World) -> None:
    seen = [world.environment.occupied]
    world.busy()
    seen.append(world.environment.occupied)
    world.runtime.respond()
    seen.append(world.environment.occupied)

    assert seen == [False, True, False]
    assert _state(world) is State.BUSY


def test_the_deadline_counts_from_the_hand_over(world: World) -> None:
    world.runtime.next()
    invocation = make_invocation(world.loop, "one")
    world.loop.advance(20)

    world.environment.invoke(invocation)

    assert invocation.deadline_ms == EPOCH_MS + 20_000 + 3_000


def test_the_lines_around_an_invocation_are_lambdas(world: World) -> None:
    world.loop.advance(0.0301)
    world.busy("one")
    world.loop.advance(0.0025)
    world.runtime.finish()
    world.busy("two")
    world.loop.advance(0.001)
    world.runtime.finish()

    assert world.runtime.log.text.decode() == (
        "START RequestId: one Version: $LATEST\n"
        "END RequestId: one\n"
        "REPORT RequestId: one\tDuration: 2.50 ms\tBilled Duration: 3 ms\t"
        "Memory Size: 256 MB\tMax Memory Used: 0 MB\tInit Duration: 30.10 ms\t\n"
        "START RequestId: two Version: $LATEST\n"
        "END RequestId: two\n"
        "REPORT RequestId: two\tDuration: 1.00 ms\tBilled Duration: 1 ms\t"
        "Memory Size: 256 MB\tMax Memory Used: 0 MB\t\n"
    )


def test_the_tail_is_of_its_own_invocation(world: World) -> None:
    world.busy("one")
    world.runtime.finish()
    invocation = world.busy("two", want_tail=True)
    world.runtime.finish()

    tail = invocation.done.result().log_tail
    assert tail.startswith(b"START RequestId: two ")
    assert b"REPORT RequestId: two" in tail


def test_an_error_is_what_came_on_the_error_route(world: World) -> None:
    invocation = world.busy()

    world.environment.errored("one", b'{"errorType": "X"}')
    world.runtime.next()

    assert world.error_of(invocation.done.result()) == {"errorType": "X"}
    assert world.counted("lambda_errors_total") == 1
    assert _state(world) is State.READY


def test_a_result_that_looks_like_an_error_is_none(world: World) -> None:
    invocation = world.busy()

    world.runtime.finish(b'{"errorType": "X", "errorMessage": "y"}')

    assert invocation.done.result().function_error is None


def test_a_response_that_is_too_large_is_an_error_of_its_own(world: World) -> None:
    invocation = world.busy()

    world.environment.response_too_large("one")

    error = world.error_of(invocation.done.result())
    assert error["errorType"] == "Function.ResponseSizeTooLarge"
    world.runtime.next()
    assert _state(world) is State.READY


# --- the ways it should not ------------------------------------------------------------------


@pytest.mark.parametrize("route", ["responded", "errored", "response_too_large"])
def test_an_answer_to_another_request_is_a_violation(world: World, route: str) -> None:
    invocation = world.busy("one")
    arguments = () if route == "response_too_large" else (b"{}",)

    with pytest.raises(ProtocolViolation, match="no invocation two is running here"):
        getattr(world.environment, route)("two", *arguments)
    assert not invocation.done.done()

    world.runtime.respond()
    with pytest.raises(ProtocolViolation, match="no invocation one is running here"):
        getattr(world.environment, route)("one", *arguments)


def test_asking_for_work_while_an_answer_is_owed_is_a_violation(world: World) -> None:
    world.busy()

    with pytest.raises(ProtocolViolation, match="/next while busy"):
        world.runtime.next()


def test_asking_twice_is_a_violation(world: World) -> None:
    world.runtime.next()

    with pytest.raises(ProtocolViolation, match="/next while ready"):
        world.runtime.next()


def test_an_init_error_after_init_is_a_violation(world: World) -> None:
    world.runtime.next()

    with pytest.raises(ProtocolViolation, match="/init/error while ready"):
        world.environment.init_failed(b"{}")


def test_an_init_error_is_handed_to_the_owner_when_the_process_has_ended(world: World) -> None:
    world.environment.init_failed(b'{"errorType": "Runtime.ImportModuleError"}')
    assert _state(world) is State.FAILED
    assert world.owner.gone == []

    world.runtime.exit(1)

    assert _state(world) is State.STOPPED
    assert world.owner.gone == [b'{"errorType": "Runtime.ImportModuleError"}']
    assert world.runtime.server.closed
    assert world.runtime.log.closed


def test_a_process_that_ends_while_it_starts_is_an_init_error(world: World) -> None:
    world.runtime.exit(3)

    [error] = world.owner.gone
    assert error is not None
    assert json.loads(error)["errorMessage"].endswith("exit status 3")


def test_init_that_takes_too_long_is_killed_and_told(world: World) -> None:
    world.loop.advance(INIT_TIMEOUT_S - 0.001)
    assert world.zygote.killed == []
    world.loop.advance(0.002)

    assert world.zygote.killed == [(NO_SUCH_PID, signal.SIGKILL)]
    assert _state(world) is State.FAILED
    assert world.runtime.log.text == (
        b"INIT_REPORT Init Duration: 10000.00 ms\tPhase: init\tStatus: timeout\n"
    )
    world.runtime.exit(-9)
    [error] = world.owner.gone
    assert error is not None
    assert json.loads(error)["errorType"] == "Sandbox.Timedout"


def test_a_timeout_kills_and_answers_at_once(world: World) -> None:
    invocation = world.busy()
    world.loop.advance(2.999)
    assert not invocation.done.done()
    world.loop.advance(0.002)

    assert world.error_of(invocation.done.result()) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: one Error: Task timed out after 3.00 seconds",
    }
    assert world.zygote.killed == [(NO_SUCH_PID, signal.SIGKILL)]
    assert b"\tStatus: timeout\t\n" in world.runtime.log.text

    world.runtime.exit(-9)
    assert _state(world) is State.STOPPED
    assert world.owner.gone == [None]
    assert world.counted("lambda_errors_total") == 1


def test_a_process_that_dies_of_its_work_answers_for_it(world: World) -> None:
    invocation = world.busy()

    world.runtime.exit(-11)

    error = world.error_of(invocation.done.result())
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("signal: segmentation fault")
    assert b"\tStatus: error\tError Type: Runtime.ExitError\t\n" in world.runtime.log.text
    assert _state(world) is State.STOPPED
    assert world.owner.gone == [None]


def test_a_process_that_dies_after_its_answer_changes_nothing(world: World) -> None:
    invocation = world.busy()
    world.runtime.respond(b'"fine"')

    world.runtime.exit(1)

    assert invocation.done.result().payload == b'"fine"'
    assert world.counted("lambda_errors_total") == 0
    assert world.owner.gone == [None]


def test_a_process_that_dies_idle_is_no_error(world: World) -> None:
    world.runtime.next()

    world.runtime.exit(-9)

    assert _state(world) is State.STOPPED
    assert world.owner.gone == [None]
    assert world.counted("lambda_errors_total") == 0


# --- stopping --------------------------------------------------------------------------------


def test_stopping_is_polite_and_then_it_is_not(world: World) -> None:
    world.runtime.next()

    world.environment.stop()
    world.environment.stop()  # once is enough

    assert _state(world) is State.STOPPING
    assert world.zygote.killed == [(NO_SUCH_PID, signal.SIGTERM)]
    world.loop.advance(STOP_GRACE_S + 0.001)
    assert world.zygote.killed[1:] == [(NO_SUCH_PID, signal.SIGKILL)]
    world.runtime.exit(-9)
    world.loop.advance(STOP_GRACE_S)
    assert len(world.zygote.killed) == 2
    assert world.owner.gone == [None]


def test_stopping_answers_what_runs(world: World) -> None:
    invocation = world.busy()

    world.environment.stop()

    error = world.error_of(invocation.done.result())
    assert error["errorMessage"].endswith("signal: terminated")
    with pytest.raises(ProtocolViolation):
        world.runtime.respond()
    with pytest.raises(ProtocolViolation):
        world.runtime.next()


def test_an_invocation_whose_caller_has_gone_is_finished_all_the_same(world: World) -> None:
    invocation = world.busy()
    invocation.done.cancel()

    world.runtime.finish()

    assert _state(world) is State.READY


def test_only_a_ready_environment_can_be_invoked(world: World) -> None:
    with pytest.raises(IllegalTransition, match="starting → busy"):
        world.environment.invoke(make_invocation(world.loop, "one"))
