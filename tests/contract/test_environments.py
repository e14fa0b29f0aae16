"""Execution environments, real ones: what a handler sees in them, and what becomes of them."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support.host import (
    PROJECTS,
    REPOSITORY,
    RunningHost,
    error_of,
    is_alive,
    kill_environment,
    waiting_call,
)
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path


HANDLERS = PROJECTS / "runtime" / "handlers"


# --- what a handler sees ---------------------------------------------------------------------


def test_the_context_tells_the_truth(host: RunningHost) -> None:
    invoked = host.invoke("Context")

    context = invoked.value
    assert 9_000 < context.pop("remaining_ms") <= 10_000
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Sampled=0", context.pop("trace_id"))
    stream = context.pop("log_stream_name")
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
    assert context == {
        "function_name": "Context",
        "function_version": "$LATEST",
        "invoked_function_arn": "arn:aws:lambda:us-east-1:000000000000:function:Context",
        "memory_limit_in_mb": "256",
        "aws_request_id": invoked.request_id,
        "log_group_name": "/aws/lambda/Context",
        "client": None,
        "custom": None,
        "tenant_id": None,
    }


def test_every_call_has_an_id_and_a_trace_of_its_own(host: RunningHost) -> None:
    one, other = host.invoke("Context").value, host.invoke("Context").value

    assert one["aws_request_id"] != other["aws_request_id"]
    assert one["trace_id"] != other["trace_id"]
    assert one["log_stream_name"] == other["log_stream_name"]


def test_the_time_that_an_import_takes_is_not_the_handlers(host: RunningHost) -> None:
    """Imported for 0.8 of its 3 seconds, it still has all of them."""
    assert host.invoke("SlowImport").value > 2_600


@pytest.fixture(scope="module")
def process(host: RunningHost) -> Any:
    """What the handler of `Process` sees around it."""
    return host.invoke("Process").value


def test_the_environment_is_lambdas_and_the_functions_own(process: Any) -> None:
    environment = dict(process["environment"])

    assert re.fullmatch(r"127\.0\.0\.1:\d+", environment.pop("AWS_LAMBDA_RUNTIME_API"))
    assert environment.pop("AWS_LAMBDA_LOG_STREAM_NAME")
    assert environment.pop("_X_AMZN_TRACE_ID")
    assert environment == {
        "_AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "_HANDLER": "surroundings.process",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_NAME": "Process",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/Process",
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "test",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
        "COLOUR": "blue",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": str(HANDLERS),
        "LANG": "en_US.UTF-8",
        "LC_CTYPE": "C.UTF-8",
        "LD_LIBRARY_PATH": f"/lib64:/usr/lib64:{HANDLERS}:{HANDLERS}/lib:/opt/lib",
        "PATH": "/opt/tools",
        "PWD": str(HANDLERS),
        "PYTHONPATH": "/var/runtime",
        "SHLVL": "0",
        "TZ": ":UTC",
    }
    assert process["timezone"] == "UTC"


def test_code_is_found_in_the_functions_folder_and_nowhere_of_ours(
    process: Any, host: RunningHost
) -> None:
    assert process["cwd"] == str(HANDLERS)
    assert process["path"][0] == str(HANDLERS)
    ours = {str(REPOSITORY), str(REPOSITORY / "local-stack"), str(host.settings.stack_dir), ""}
    assert not ours & set(process["path"])
    # httpx is installed beside the stack, local_stack is the runtime, and yaml is hidden.
    assert process["sees"] == ["httpx"]


def test_a_handler_has_no_file_of_the_zygote(process: Any) -> None:
    files = process["descriptors"]

    assert files.pop("0") == "/dev/null"
    log = files.pop("1")
    assert log.startswith("pipe:")
    assert files.pop("2") == log
    # awslambdaric's own: where it logs, its connection to the Runtime API, and the pair that its
    # client wakes itself with. The zygote's way to the host is a SEQPACKET socket.
    assert sorted(files.values()) == [
        "AF_INET SOCK_STREAM",
        "AF_UNIX SOCK_STREAM",
        "AF_UNIX SOCK_STREAM",
        log,
    ]
    assert process["stdin"] == ""
    assert process["threads"] == 1


def test_forks_do_not_share_their_luck(host: RunningHost) -> None:
    one = host.invoke("Process").value
    kill_environment(host, "Process", one["pid"])

    other = host.invoke("Process").value

    assert one["pid"] != other["pid"]
    assert one["random"] != other["random"]
    assert one["uuid"] != other["uuid"]


def test_two_functions_may_have_modules_of_the_same_name(host: RunningHost) -> None:
    assert host.invoke("First").value == "first"
    assert host.invoke("Second").value == "second"


def test_a_functions_own_copy_of_what_is_preloaded_wins(host: RunningHost) -> None:
    """`idna` is not named in `preload`: it comes along with httpx."""
    own, others = host.invoke("OwnCopies").value, host.invoke("Shared").value

    folder = PROJECTS / "runtime" / "own_copies"
    assert own["idna"] == str(folder / "idna" / "__init__.py")
    assert "site-packages" in others["idna"]
    assert own["anyio"] == others["anyio"]


# --- environments ----------------------------------------------------------------------------


def test_a_thread_works_on_between_invocations_and_its_lines_arrive(host: RunningHost) -> None:
    assert host.invoke("Thread", {"start": True}).value == []
    host.invoke("Thread", {"go": True})

    wait_until(lambda: "background 2\n" in host.log("Thread"), 5, "the thread has written")
    assert host.invoke("Thread").value == [0, 1, 2]


def test_provisioned_environments_are_warm_before_the_first_call(host: RunningHost) -> None:
    wait_until(
        lambda: [e["state"] for e in host.environments("Provisioned")] == ["ready", "ready"],
        10,
        "two environments are ready",
    )
    pids = {environment["pid"] for environment in host.environments("Provisioned")}

    seen = host.invoke("Provisioned").value

    assert seen["pid"] in pids
    kind = seen["environment"]["AWS_LAMBDA_INITIALIZATION_TYPE"]
    assert kind == "provisioned-concurrency"


def test_a_provisioned_environment_that_is_killed_comes_back(host: RunningHost) -> None:
    pid = host.invoke("Provisioned").value["pid"]

    kill_environment(host, "Provisioned", pid)

    wait_until(
        lambda: [e["state"] for e in host.environments("Provisioned")] == ["ready", "ready"],
        10,
        "two environments are ready again",
    )


def test_an_environment_killed_mid_request_is_told_and_replaced(
    host: RunningHost, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(1) as callers:
        call = waiting_call(host, callers, tmp_path)
        [busy] = [e for e in host.environments("Waits") if e["state"] == "busy"]
        psutil.Process(busy["pid"]).kill()
        error = error_of(call.result())

    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert host.invoke("Waits").value != busy["pid"]


def test_an_environment_killed_at_rest_is_replaced(host: RunningHost) -> None:
    pid = host.invoke("Waits").value
    kill_environment(host, "Waits", pid)

    assert host.invoke("Waits").value != pid


def test_a_zygote_that_is_killed_is_replaced(host: RunningHost) -> None:
    before = psutil.Process(host.invoke("Waits").value)
    zygotes = host.zygotes()
    for zygote in zygotes:
        zygote.kill()
    wait_until(lambda: not host.environments("Waits"), 5, "its environments are gone")

    after = host.invoke("Waits").value

    assert after != before.pid
    wait_until(lambda: not is_alive(before), 5, "its environments have ended")
    assert not {z.pid for z in zygotes} & {z.pid for z in host.zygotes() if is_alive(z)}


def test_a_function_scales_out_to_its_callers(host: RunningHost, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with ThreadPoolExecutor(3) as callers:
        calls = [
            callers.submit(
                host.invoke, "Waits", {"started": str(tmp_path / f"{n}"), "until": str(go)}
            )
            for n in range(3)
        ]
        wait_until(lambda: all((tmp_path / f"{n}").exists() for n in range(3)), 10, "all three run")
        go.touch()
        pids = {call.result().value for call in calls}

    assert len(pids) == 3


def test_what_happens_is_counted(host: RunningHost) -> None:
    def counted(name: str) -> float:
        found = re.search(rf'^{name}{{function="Raises"}} (\S+)$', host.metrics(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    invocations, errors = counted("lambda_invocations_total"), counted("lambda_errors_total")

    host.invoke("Raises")

    assert counted("lambda_invocations_total") == invocations + 1
    assert counted("lambda_errors_total") == errors + 1
    assert counted("lambda_cold_starts_total") >= 1
    assert counted("lambda_environments") == 1
