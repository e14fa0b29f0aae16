"""How an environment fails, what is answered and logged, and how it goes on.

Texts of log lines and bodies are as recorded from AWS; see docs/adr/0020.
"""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any, cast

import pytest

from local_stack.environments.environment import (
    INIT_TIMEOUT_S,
    PROVISIONED_INIT_S_MAX,
    PROVISIONED_INIT_S_MIN,
    STOP_GRACE_S,
)
from local_stack.environments.freeze import Freezer
from local_stack.environments.state import State
from local_stack.errors import ProtocolViolation, RuntimeFailed
from tests.fakes.environments import NO_SUCH_PID
from tests.support.environment_world import EnvironmentWorld
from tests.support.virtual_time import virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local_stack.environments.memory import MemoryMeter
    from local_stack.environments.roles import Process
    from tests.support.virtual_time import VirtualTimeLoop

IMPORT_ERROR = b'{"errorType": "Runtime.ImportModuleError", "requestId": ""}'
PROVISIONED = "provisioned-concurrency"


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualTimeLoop]:
    with virtual_time(monkeypatch) as loop:
        yield loop


@pytest.fixture
def world(loop: VirtualTimeLoop) -> EnvironmentWorld:
    return EnvironmentWorld(loop)


# --- init, before any invocation -------------------------------------------------------------


def test_an_init_error_leaves_it_cold_when_the_process_has_ended(world: EnvironmentWorld) -> None:
    world.loop.advance(0.25)
    world.environment.init_failed(IMPORT_ERROR, "Runtime.ImportModuleError")
    assert world.state() is State.FAILED
    assert world.owner.ready == 0

    world.runtime.exit(1)

    assert (world.state(), world.environment.pid) == (State.COLD, 0)
    assert (world.owner.ready, world.owner.gone) == (1, [])
    assert not world.runtime.server.closed
    assert world.log == (
        "INIT_REPORT Init Duration: 250.00 ms\tPhase: init\tStatus: error\t"
        "Error Type: Runtime.ImportModuleError\n"
    )


def test_a_runtime_that_does_not_end_after_its_init_error_is_ended(world: EnvironmentWorld) -> None:
    world.environment.init_failed(IMPORT_ERROR, "Runtime.ImportModuleError")

    world.loop.advance(STOP_GRACE_S + 0.001)

    assert world.zygote.killed == [(NO_SUCH_PID, signal.SIGKILL)]


def test_a_process_that_ends_while_it_starts_leaves_it_cold(world: EnvironmentWorld) -> None:
    world.runtime.exit(3)

    assert world.state() is State.COLD
    assert world.log == (
        "INIT_REPORT Init Duration: 0.00 ms\tPhase: init\tStatus: error\t"
        "Error Type: Runtime.ExitError\n"
    )


def test_init_that_takes_too_long_is_killed_and_told(world: EnvironmentWorld) -> None:
    world.loop.advance(INIT_TIMEOUT_S - 0.001)
    assert world.zygote.killed == []
    world.loop.advance(0.002)

    assert world.zygote.killed == [(NO_SUCH_PID, signal.SIGKILL)]
    assert world.state() is State.FAILED
    world.runtime.exit(-9)
    assert world.state() is State.COLD
    assert world.log == "INIT_REPORT Init Duration: 10000.00 ms\tPhase: init\tStatus: timeout\n"


# --- init inside an invocation ---------------------------------------------------------------


def test_the_next_invocation_starts_it_again_inside_its_own_time(world: EnvironmentWorld) -> None:
    world.loop.advance(INIT_TIMEOUT_S)
    world.runtime.exit(-9)
    before = world.runtime.log.text

    invocation = world.call(want_tail=True)
    assert (world.state(), world.runtime.launches) == (State.RESTARTING, 2)
    assert world.environment.occupied
    world.loop.advance(0.5)
    world.runtime.next()
    assert world.state() is State.BUSY
    world.loop.advance(0.25)
    world.runtime.finish(b"1")

    assert world.runtime.invocation is invocation
    assert world.runtime.log.text[len(before) :].decode() == (
        "START RequestId: one Version: $LATEST\n"
        "END RequestId: one\n"
        "REPORT RequestId: one\tDuration: 750.00 ms\tBilled Duration: 750 ms\t"
        "Memory Size: 256 MB\tMax Memory Used: 0 MB\t\n"
    )
    assert invocation.done.result().log_tail == world.runtime.log.text[len(before) :]
    assert world.counted("lambda_cold_starts_total") == 1
    world.call("two")
    world.runtime.finish()
    assert world.state() is State.READY


def test_an_init_that_fails_again_is_the_invocations_answer(world: EnvironmentWorld) -> None:
    world.environment.init_failed(IMPORT_ERROR, "Runtime.ImportModuleError")
    world.runtime.exit(1)
    before = world.runtime.log.text

    for number in (1, 2):
        invocation = world.call(f"call-{number}")
        world.loop.advance(0.1)
        world.environment.init_failed(IMPORT_ERROR, "Runtime.ImportModuleError")
        outcome = invocation.done.result()
        assert (outcome.payload, outcome.function_error) == (IMPORT_ERROR, "Unhandled")
        world.runtime.exit(1)
        assert world.state() is State.COLD

    assert world.runtime.log.text[len(before) :].decode() == "".join(
        "INIT_REPORT Init Duration: 100.00 ms\tPhase: invoke\tStatus: error\t"
        "Error Type: Runtime.ImportModuleError\n"
        f"START RequestId: {request_id} Version: $LATEST\n"
        f"END RequestId: {request_id}\n"
        f"REPORT RequestId: {request_id}\tDuration: 100.00 ms\tBilled Duration: 100 ms\t"
        "Memory Size: 256 MB\tMax Memory Used: 0 MB\tStatus: error\t"
        "Error Type: Runtime.ImportModuleError\n"
        for request_id in ("call-1", "call-2")
    )
    assert world.counted("lambda_errors_total") == 2
    assert world.owner.gone == []


def test_a_process_that_ends_in_its_second_init_answers_with_the_request(
    world: EnvironmentWorld,
) -> None:
    world.runtime.exit(3)
    invocation = world.call()

    world.runtime.exit(3)

    assert world.error_of(invocation.done.result()) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": "RequestId: one Error: Runtime exited with error: exit status 3",
    }
    assert world.state() is State.COLD


def test_an_init_that_outlasts_the_invocation_is_its_timeout(world: EnvironmentWorld) -> None:
    world.runtime.exit(3)
    before = world.runtime.log.text
    invocation = world.call()
    world.loop.advance(3.001)

    assert world.error_of(invocation.done.result())["errorType"] == "Sandbox.Timedout"
    assert world.zygote.killed == [(NO_SUCH_PID + 1, signal.SIGKILL)]
    assert world.runtime.log.text[len(before) :].decode() == (
        "INIT_REPORT Init Duration: 3000.00 ms\tPhase: invoke\tStatus: timeout\n"
        "START RequestId: one Version: $LATEST\n"
        "END RequestId: one\n"
        "REPORT RequestId: one\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\t"
        "Memory Size: 256 MB\tMax Memory Used: 0 MB\tStatus: timeout\n"
    )
    world.runtime.exit(-9)
    assert world.state() is State.COLD


def test_nothing_can_be_answered_before_it_has_started_again(world: EnvironmentWorld) -> None:
    world.cold()
    world.call()

    with pytest.raises(ProtocolViolation, match="no invocation one is running here"):
        world.environment.responded("one", b"null")


def test_a_process_that_cannot_be_forked_again_is_the_runtimes_failure(
    world: EnvironmentWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.cold()
    world.runtime.launch_fails = True

    invocation = world.call()

    with pytest.raises(RuntimeFailed, match="cannot start an environment of Hello"):
        invocation.done.result()
    assert world.state() is State.STOPPED
    assert world.owner.gone == [None]
    assert "cannot start an environment of Hello again" in caplog.text


# --- during an invocation --------------------------------------------------------------------


def test_a_timeout_kills_and_answers_at_once(world: EnvironmentWorld) -> None:
    invocation = world.busy()
    world.loop.advance(2.999)
    assert not invocation.done.done()
    world.loop.advance(0.002)

    assert world.error_of(invocation.done.result()) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: one Error: Task timed out after 3.00 seconds",
    }
    assert world.zygote.killed == [(NO_SUCH_PID, signal.SIGKILL)]
    assert world.log.endswith(
        "REPORT RequestId: one\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 256 MB\t"
        "Max Memory Used: 0 MB\tInit Duration: 0.00 ms\tStatus: timeout\n"
    )

    world.runtime.exit(-9)
    assert (world.state(), world.owner.gone) == (State.COLD, [])
    assert world.counted("lambda_errors_total") == 1


def test_bodies_have_no_blanks_that_awss_have_not(world: EnvironmentWorld) -> None:
    invocation = world.busy()
    world.runtime.exit(1)

    assert invocation.done.result().payload == (
        b'{"errorType":"Runtime.ExitError","errorMessage":'
        b'"RequestId: one Error: Runtime exited with error: exit status 1"}'
    )


def test_a_process_that_dies_of_its_work_answers_for_it(world: EnvironmentWorld) -> None:
    invocation = world.busy()

    world.runtime.exit(-11)

    error = world.error_of(invocation.done.result())
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("signal: segmentation fault")
    assert world.log.endswith("\tStatus: error\tError Type: Runtime.ExitError\n")
    assert (world.state(), world.owner.gone) == (State.COLD, [])


def test_a_process_that_dies_after_its_answer_changes_nothing(world: EnvironmentWorld) -> None:
    invocation = world.busy()
    world.runtime.respond(b'"fine"')

    world.runtime.exit(1)

    assert invocation.done.result().payload == b'"fine"'
    assert world.counted("lambda_errors_total") == 0
    assert world.state() is State.COLD


def test_a_runtime_that_answers_and_never_asks_again_is_ended(world: EnvironmentWorld) -> None:
    world.busy()
    world.runtime.respond()

    world.loop.advance(3.001)

    assert world.zygote.killed == [(NO_SUCH_PID, signal.SIGKILL)]


# --- provisioned environments ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeout_s", "limit_s"), [(3.0, PROVISIONED_INIT_S_MIN), (300.0, 300.0), (900.0, 900.0)]
)
def test_a_provisioned_environment_has_longer_for_its_init(
    loop: VirtualTimeLoop, timeout_s: float, limit_s: float
) -> None:
    world = EnvironmentWorld(
        loop, function={"timeout_s": timeout_s}, initialization_type=PROVISIONED
    )
    assert limit_s <= PROVISIONED_INIT_S_MAX

    world.loop.advance(limit_s - 0.001)
    assert world.state() is State.STARTING
    world.loop.advance(0.002)

    assert world.state() is State.FAILED
    world.runtime.exit(-9)
    [error] = world.owner.gone
    assert error is not None
    assert json.loads(error)["errorType"] == "Sandbox.Timedout"


def test_a_provisioned_environment_tells_its_init_by_itself(loop: VirtualTimeLoop) -> None:
    world = EnvironmentWorld(loop, initialization_type=PROVISIONED)
    world.loop.advance(0.1)
    world.busy()
    world.runtime.finish()

    assert world.log.startswith("INIT_REPORT Init Duration: 100.00 ms\nSTART RequestId: one ")
    assert "\tInit Duration" not in world.log


def test_a_provisioned_environment_that_fails_is_gone(loop: VirtualTimeLoop) -> None:
    world = EnvironmentWorld(loop, initialization_type=PROVISIONED)
    world.environment.init_failed(IMPORT_ERROR, "Runtime.ImportModuleError")
    world.runtime.exit(1)

    assert (world.state(), world.owner.gone) == (State.STOPPED, [IMPORT_ERROR])


def test_a_provisioned_environment_that_crashes_is_gone(loop: VirtualTimeLoop) -> None:
    world = EnvironmentWorld(loop, initialization_type=PROVISIONED)
    world.busy()
    world.runtime.exit(-9)

    assert (world.state(), world.owner.gone) == (State.STOPPED, [None])


# --- stopping --------------------------------------------------------------------------------


def test_a_cold_environment_stops_at_once(world: EnvironmentWorld) -> None:
    world.cold()

    world.environment.stop()

    assert (world.state(), world.owner.gone) == (State.STOPPED, [None])
    assert world.runtime.server.closed
    assert world.zygote.killed == []


def test_one_that_has_failed_and_is_stopped_does_not_become_cold(world: EnvironmentWorld) -> None:
    world.busy()
    world.loop.advance(3.001)
    world.environment.stop()
    assert world.state() is State.FAILED

    world.runtime.exit(-9)

    assert (world.state(), world.owner.gone) == (State.STOPPED, [None])


def test_one_that_starts_again_can_be_stopped(world: EnvironmentWorld) -> None:
    world.cold()
    invocation = world.call()

    world.environment.stop()

    assert world.error_of(invocation.done.result())["errorMessage"].endswith("terminated")
    assert world.zygote.killed == [(NO_SUCH_PID + 1, signal.SIGTERM)]
    world.runtime.exit(-15)
    assert world.state() is State.STOPPED


# --- memory, freezing, debugging -------------------------------------------------------------


class FakeMeter:
    """Says what a test wants it to have measured."""

    def __init__(self) -> None:
        self.used_mb = 40
        self.calls: list[str] = []
        self.on_exceeded: Callable[[], None] | None = None

    def begin(self) -> None:
        self.calls.append("begin")

    def settle(self) -> None:
        self.calls.append("settle")

    def end(self) -> int:
        self.calls.append("end")
        if self.on_exceeded is not None:
            self.on_exceeded()
        return self.used_mb

    def close(self) -> None:
        self.calls.append("close")


def _with(world: EnvironmentWorld, **parts: Any) -> None:
    """From its next process on, give it these parts."""

    async def launch() -> Process:
        process = await world.runtime.launch()
        return process._replace(**parts)

    world.cold()
    world.environment._launch = launch
    world.call("first")
    world.runtime.next()
    world.runtime.finish()


def test_what_was_measured_is_reported(world: EnvironmentWorld) -> None:
    meter = FakeMeter()
    _with(world, meter=cast("MemoryMeter", meter))
    assert meter.calls == ["begin", "settle", "begin", "end"]

    world.busy()
    world.runtime.finish()
    world.runtime.exit(-9)

    assert "\tMax Memory Used: 40 MB\t\n" in world.log
    assert meter.calls[4:] == ["begin", "end", "close"]


def test_too_much_memory_is_the_end_of_the_process_and_the_invocations_error(
    world: EnvironmentWorld,
) -> None:
    _with(world, meter=cast("MemoryMeter", FakeMeter()))
    invocation = world.busy()

    world.environment.on_memory_exceeded()
    assert world.zygote.killed[-1] == (NO_SUCH_PID + 1, signal.SIGKILL)
    world.runtime.exit(-9)

    assert world.error_of(invocation.done.result()) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": "RequestId: one Error: Runtime exited with error: signal: killed",
    }
    assert world.log.endswith(
        "\tMax Memory Used: 256 MB\tStatus: error\tError Type: Runtime.OutOfMemory\n"
    )
    assert world.state() is State.COLD


def test_too_much_memory_found_at_the_answer_is_the_error_all_the_same(
    world: EnvironmentWorld,
) -> None:
    meter = FakeMeter()
    _with(world, meter=cast("MemoryMeter", meter))
    meter.on_exceeded = world.environment.on_memory_exceeded
    invocation = world.busy()
    ready = world.owner.ready

    world.runtime.finish(b'"fine"')

    error = world.error_of(invocation.done.result())
    assert error["errorMessage"].endswith("signal: killed")
    assert world.owner.ready == ready  # it is being killed: nobody may use it
    world.runtime.exit(-9)
    assert world.state() is State.COLD


def test_too_much_memory_in_init_is_said_so(world: EnvironmentWorld) -> None:
    world.environment.on_memory_exceeded()
    world.runtime.exit(-9)

    assert world.log.endswith("\tPhase: init\tStatus: error\tError Type: Runtime.OutOfMemory\n")
    world.call()
    world.runtime.next()
    assert world.state() is State.BUSY


def test_it_stands_still_between_invocations_when_it_shall(world: EnvironmentWorld) -> None:
    sent: list[signal.Signals] = []
    _with(world, freezer=Freezer(sent.append))
    assert sent == [signal.SIGSTOP]

    world.busy()
    assert sent[1:] == [signal.SIGCONT]
    world.runtime.finish()
    assert sent[2:] == [signal.SIGSTOP]
    world.environment.stop()

    assert sent[3:] == [signal.SIGCONT]


def test_without_time_limits_nothing_is_ended(loop: VirtualTimeLoop) -> None:
    world = EnvironmentWorld(loop, time_limits=False)
    world.loop.advance(3600)
    invocation = world.busy()
    world.loop.advance(3600)
    world.runtime.finish()

    assert invocation.done.result().function_error is None
    assert world.zygote.killed == []


# --- what surrounds an answer ----------------------------------------------------------------


@pytest.mark.parametrize("broken", ["drain", "line", "take_tail"])
def test_an_answer_is_not_lost_with_its_log(
    world: EnvironmentWorld, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    invocation = world.busy(want_tail=True)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(world.runtime.log, broken, fail)
    world.environment.responded("one", b"7")

    assert invocation.done.result().payload == b"7"


def test_a_timeout_ends_the_process_although_its_log_cannot_be_written(
    world: EnvironmentWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    invocation = world.busy()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(world.runtime.log, "line", fail)
    world.loop.advance(3.0)

    assert world.error_of(invocation.done.result())["errorType"] == "Sandbox.Timedout"
    assert world.state() is State.FAILED
