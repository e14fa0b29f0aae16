"""The walls of an execution environment: its memory, its /tmp, its processes, its luck."""

from __future__ import annotations

import re
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from local_stack.environments import scratch
from tests.support.host import (
    PROJECTS,
    RunningHost,
    error_of,
    is_alive,
    kill_environment,
    log_of,
    running_host,
)
from tests.support.ports import free_port
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.host import Invoked

PROJECT = PROJECTS / "sandbox"
REFUSAL = scratch.refusal()
needs_namespaces = pytest.mark.skipif(bool(REFUSAL), reason=f"no /tmp of its own here: {REFUSAL}")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningHost]:
    with running_host(PROJECT, preload=("httpx",)) as host:
        yield host


def _max_memory_used(host: RunningHost, function: str, invoked: Invoked) -> int:
    report = log_of(host, function, invoked.request_id)[-1]
    found = re.search(r"Max Memory Used: (\d+) MB", report)
    assert found, report
    return int(found[1])


# --- memory ----------------------------------------------------------------------------------


def test_max_memory_used_is_what_the_function_took(sandbox: RunningHost) -> None:
    used = sandbox.invoke("Memory", {"mb": 1})  # perhaps by a test that took more
    kill_environment(sandbox, "Memory", used.value["pid"])

    small = sandbox.invoke("Memory", {"mb": 1})
    large = sandbox.invoke("Memory", {"mb": 100, "keep": True})
    kill_environment(sandbox, "Memory", small.value["pid"])

    before = _max_memory_used(sandbox, "Memory", small)
    assert before < 60  # pages of the zygote are not among it
    assert 95 <= _max_memory_used(sandbox, "Memory", large) - before <= 110


def test_a_peak_that_is_given_back_is_in_the_report(sandbox: RunningHost) -> None:
    invoked = sandbox.invoke("Memory", {"mb": 120, "seconds": 0.2})

    assert _max_memory_used(sandbox, "Memory", invoked) >= 120


def test_just_below_its_limit_a_function_works(sandbox: RunningHost) -> None:
    assert sandbox.invoke("Memory", {"mb": 200, "seconds": 0.3}).value["mb"] == 200


def test_more_than_its_memory_size_kills_it(sandbox: RunningHost) -> None:
    invoked = sandbox.invoke("Memory", {"mb": 270, "seconds": 5})

    error = error_of(invoked)
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("Error: Runtime exited with error: signal: killed")
    assert _max_memory_used(sandbox, "Memory", invoked) == 256
    report = log_of(sandbox, "Memory", invoked.request_id)[-1]
    assert "Status: error\tError Type: Runtime.OutOfMemory" in report
    assert sandbox.invoke("Memory", {"mb": 1}).error is None


def test_a_function_that_answers_with_too_much_in_hand_has_failed(sandbox: RunningHost) -> None:
    """It answers before the next reading is due; the reading at its answer finds it."""
    invoked = sandbox.invoke("Memory", {"mb": 265, "keep": True})

    assert error_of(invoked)["errorMessage"].endswith("signal: killed")


def test_memory_of_the_processes_that_it_starts_counts(sandbox: RunningHost) -> None:
    assert sandbox.invoke("MemoryOfChildren", {"mb": 50}).value == 0
    invoked = sandbox.invoke("MemoryOfChildren", {"mb": 270})

    assert error_of(invoked)["errorMessage"].endswith("signal: killed")


def test_a_module_that_takes_too_much_is_killed_at_init(sandbox: RunningHost) -> None:
    assert error_of(sandbox.invoke("MemoryAtInit"))["errorMessage"].endswith("signal: killed")


def test_what_no_such_machine_could_hold_is_refused_at_once(sandbox: RunningHost) -> None:
    assert error_of(sandbox.invoke("Memory", {"mb": 12_000}))["errorType"] == "MemoryError"


# --- /tmp ------------------------------------------------------------------------------------


@needs_namespaces
def test_each_environment_has_a_tmp_of_its_own(sandbox: RunningHost, tmp_path: Path) -> None:
    event = {"name": f"mine-{uuid.uuid4()}", "meets": str(tmp_path)}
    with ThreadPoolExecutor(2) as callers:
        calls = [
            callers.submit(sandbox.invoke, "Scratch", {**event, "write": text})
            for text in ("one", "other")
        ]
        answers = [call.result().value for call in calls]

    assert len({answer["pid"] for answer in answers}) == 2
    assert [answer["found"] for answer in answers] == [None, None]


@needs_namespaces
def test_tmp_stays_from_one_invocation_to_the_next(sandbox: RunningHost) -> None:
    name = f"stays-{uuid.uuid4()}"
    first = sandbox.invoke("Scratch", {"name": name, "write": "here"}).value
    found = [sandbox.invoke("Scratch", {"name": name}).value for _ in range(3)]
    ours = Path("/tmp") / name
    outside = ours.exists()
    ours.unlink(missing_ok=True)  # a runtime that fails this test leaves nothing behind

    assert {"pid": first["pid"], "found": "here", "folder": "/tmp"} in found
    assert not outside


@needs_namespaces
@pytest.mark.parametrize(("mb", "error"), [(599, None), (601, "No space left on device")])
def test_tmp_is_as_large_as_the_template_says(
    sandbox: RunningHost, mb: int, error: str | None
) -> None:
    assert sandbox.invoke("Scratch", {"mb": mb}).value["error"] == error


@needs_namespaces
@pytest.mark.parametrize("end", ["hang", "exit"])
def test_tmp_outlives_a_process_that_is_killed(sandbox: RunningHost, end: str) -> None:
    for environment in sandbox.environments("Scratch"):
        if environment["pid"]:
            kill_environment(sandbox, "Scratch", environment["pid"])
    failed = sandbox.invoke("Scratch", {"name": end, "write": "left", end: True})
    assert failed.error == "Unhandled"

    assert sandbox.invoke("Scratch", {"name": end}).value["found"] == "left"


@needs_namespaces
def test_code_cannot_be_changed_by_the_function(sandbox: RunningHost) -> None:
    assert sandbox.invoke("Walls").value["writes_code"] == "Read-only file system"


@needs_namespaces
def test_what_lies_in_the_hosts_tmp_is_seen_only_if_it_is_named(
    sandbox: RunningHost, tmp_path: Path
) -> None:
    assert sandbox.invoke("Walls", {"path": str(tmp_path)}).value["sees"] is True
    run = str(sandbox.settings.run_dir / "settings.json")
    assert sandbox.invoke("Walls", {"path": run}).value["sees"] is False


def test_a_function_may_open_1024_files(sandbox: RunningHost) -> None:
    walls = sandbox.invoke("Walls").value

    assert walls["files_max"] == [1024, 1024]
    assert walls["opens"] == "Too many open files"


# --- its processes ---------------------------------------------------------------------------


def _left(host: RunningHost) -> tuple[int, list[psutil.Process]]:
    answer = host.invoke("Leaves").value
    processes = [psutil.Process(pid) for pid in answer["left"]]
    assert all(map(is_alive, processes))
    return answer["pid"], processes


def test_what_a_function_started_ends_with_its_environment(sandbox: RunningHost) -> None:
    pid, processes = _left(sandbox)

    kill_environment(sandbox, "Leaves", pid)

    wait_until(lambda: not any(map(is_alive, processes)), 5, "all three have ended")


def test_what_a_function_started_ends_with_a_host_that_is_killed() -> None:
    with running_host(PROJECT) as host:
        pid, processes = _left(host)
        processes.append(psutil.Process(pid))

        host.process.send_signal(signal.SIGKILL)

        wait_until(lambda: not any(map(is_alive, processes)), 5, "all of it has ended")


def test_a_handler_finds_no_file_of_the_zygote_as_its_main_module(sandbox: RunningHost) -> None:
    assert sandbox.invoke("Walls").value["main"] is None


# --- forks and fresh interpreters ------------------------------------------------------------


def test_forks_draw_different_lots_from_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # else NumPy starts threads when imported
    with running_host(PROJECT, preload=("numpy.random", "ssl", "uuid")) as host:
        one = host.invoke("Seeds").value
        kill_environment(host, "Seeds", one["pid"])
        other = host.invoke("Seeds").value

    assert one["pid"] != other["pid"]
    assert not set(map(str, one["drawn"])) & set(map(str, other["drawn"]))


@pytest.mark.parametrize("warm", [True, False])
def test_copies_in_a_functions_folder_and_in_its_layers_win(warm: bool) -> None:
    with running_host(PROJECT, preload=("httpx",), warm=warm) as host:
        assert host.invoke("Copies").value == {
            "click": "the function's",
            "idna": "the layer's",
            "version": "99.0",
        }


def test_without_warm_starts_an_environment_is_a_fresh_interpreter() -> None:
    with running_host(PROJECTS / "runtime", warm=False, hidden_packages=("yaml",)) as host:
        seen = host.invoke("Process").value
        used = _max_memory_used(host, "Echo", host.invoke("Echo"))
        command = psutil.Process(seen["pid"]).cmdline()

    assert seen["sees"] == ["httpx"]
    assert seen["environment"]["AWS_LAMBDA_FUNCTION_NAME"] == "Process"
    assert "LOCAL_STACK" not in " ".join(seen["environment"])
    assert "local_stack.environments.child" in command
    assert used > 10  # nothing is shared with a zygote


def test_a_package_that_starts_a_thread_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    host_output = ""
    with pytest.raises(AssertionError) as failed, running_host(PROJECT, preload=("numpy",)):
        pass
    host_output = str(failed.value)

    assert "preload: numpy starts a thread when it is imported" in host_output


# --- strict mode, debugger -------------------------------------------------------------------


@pytest.fixture(scope="module")
def frozen() -> Iterator[RunningHost]:
    with running_host(
        PROJECT, freeze=True, debug={"Walls": free_port()}, hidden_packages=("debugpy",)
    ) as host:
        yield host


def test_a_thread_left_behind_stands_still_between_invocations(frozen: RunningHost) -> None:
    first = frozen.invoke("Background", {"seconds": 0.05}).value
    process = psutil.Process(first["pid"])
    wait_until(lambda: process.status() == psutil.STATUS_STOPPED, 5, "it is stopped")
    used = process.cpu_times()

    second = frozen.invoke("Background").value

    assert second["pid"] == first["pid"]
    assert second["counted"] - first["counted"] <= 2
    assert second["remaining_ms"] > 9_900
    assert second["monotonic"] > first["monotonic"]
    assert process.cpu_times().user - used.user < 0.1


def test_a_thread_left_behind_goes_on_without_strict_mode(
    sandbox: RunningHost, tmp_path: Path
) -> None:
    counted = tmp_path / "counted"
    sandbox.invoke("Background", {"file": str(counted)})
    wait_until(
        lambda: [e["state"] for e in sandbox.environments("Background")] == ["ready"],
        5,
        "it waits for work",
    )
    before = counted.stat().st_size

    wait_until(lambda: counted.stat().st_size > before + 10, 5, "it goes on")


def test_a_frozen_host_stops_in_time(frozen: RunningHost) -> None:
    """A stopped process does not hear TERM: it is continued first."""
    with running_host(PROJECT, freeze=True) as host:
        pid = host.invoke("Background").value["pid"]
        process = psutil.Process(pid)
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, 5, "it is stopped")
    assert not is_alive(process)


def test_debugging_without_debugpy_is_said_by_the_functions_init(frozen: RunningHost) -> None:
    error = error_of(frozen.invoke("Walls"))

    assert error["errorType"] == "Runtime.DebuggerMissing"
    assert "debugpy is not installed" in error["errorMessage"]
