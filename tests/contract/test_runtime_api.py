"""The official, unmodified awslambdaric in real environments, against our Runtime API."""

from __future__ import annotations

import json
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from tests.support.host import PROJECTS, REPOSITORY, RunningHost, running_host
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.host import Invoked

RESPONSE_BYTES_MAX = 6_291_556  # as AWS names it in its error
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
HANDLERS = PROJECTS / "runtime" / "handlers"


@pytest.fixture(scope="module")
def host() -> Iterator[RunningHost]:
    with running_host(
        PROJECTS / "runtime", preload=("httpx",), hidden_packages=("yaml",)
    ) as running:
        yield running


def _error(invoked: Invoked) -> Any:
    assert (invoked.status, invoked.error) == (200, "Unhandled")
    return invoked.value


def _lines(host: RunningHost, function: str, request_id: str) -> list[str]:
    """The log of one invocation, from START to REPORT, once it is on disk."""
    report = f"REPORT RequestId: {request_id}\t"
    wait_until(lambda: report in host.log(function), 5, f"{report} is logged")
    text = host.log(function)
    begin = text.index(f"START RequestId: {request_id} ")
    end = text.index("\n", text.index(report))
    return text[begin:end].split("\n")


def _kill(host: RunningHost, function: str, pid: int) -> None:
    """Kill an environment from outside, and wait until the host knows."""
    psutil.Process(pid).kill()
    wait_until(
        lambda: pid not in [e["pid"] for e in host.environments(function)], 5, f"{pid} is gone"
    )


# --- results ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "", 0, False, [], {}, "text", 1.5, [1, None], "caf\xe9"])
def test_a_result_arrives_as_it_was_returned(host: RunningHost, value: Any) -> None:
    invoked = host.invoke("Literal", {"value": value})

    assert (invoked.status, invoked.error) == (200, None)
    assert json.dumps(invoked.value) == json.dumps(value)


def test_an_event_arrives_as_it_was_sent(host: RunningHost) -> None:
    event = {"a": [1, 2.5, None, True], "text": "caf\xe9 \N{SNOWMAN} \u2028", "empty": {}}

    assert host.invoke("Echo", event).value == event


def test_a_result_of_the_largest_size_arrives_and_one_byte_more_does_not(
    host: RunningHost,
) -> None:
    fits = host.invoke("Sized", {"bytes": RESPONSE_BYTES_MAX})
    assert (fits.error, len(fits.payload)) == (None, RESPONSE_BYTES_MAX)

    assert _error(host.invoke("Sized", {"bytes": RESPONSE_BYTES_MAX + 1})) == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": (
            "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
        ),
    }
    assert host.invoke("Sized", {"bytes": 10}).error is None


def test_a_result_that_is_no_json_is_the_functions_error(host: RunningHost) -> None:
    error = _error(host.invoke("NotJson"))

    assert error["errorType"] == "Runtime.MarshalError"
    assert "set is not JSON serializable" in error["errorMessage"]


# --- failures --------------------------------------------------------------------------------


def test_an_exception_is_told_with_its_stack(host: RunningHost) -> None:
    invoked = host.invoke("Raises", {"message": "no luck"})

    error = _error(invoked)
    assert list(error) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert (error["errorMessage"], error["errorType"]) == ("no luck", "OutOfLuck")
    assert error["requestId"] == invoked.request_id
    assert 'failures.py", line' in error["stackTrace"][0]
    [first, *_] = _lines(host, "Raises", invoked.request_id)[1:]
    assert first.startswith("[ERROR] OutOfLuck: no luck\rTraceback (most recent call last):\r")


def test_after_an_exception_the_same_environment_goes_on(host: RunningHost) -> None:
    host.invoke("Raises")
    [before] = host.environments("Raises")

    host.invoke("Raises")

    [after] = host.environments("Raises")
    assert before["pid"] == after["pid"]


EXIT = "RequestId: {} Error: Runtime exited "


@pytest.mark.parametrize(
    ("function", "event", "reason"),
    [
        ("Exits", {}, "without providing a reason"),
        ("Exits", {"code": None}, "without providing a reason"),
        ("Exits", {"code": 0}, "without providing a reason"),
        ("Exits", {"code": 3}, "with error: exit status 3"),
        ("Exits", {"code": 256 + 7}, "with error: exit status 7"),
        ("Exits", {"code": "goodbye"}, "with error: exit status 1"),
        ("ExitsHard", {"code": 0}, "without providing a reason"),
        ("ExitsHard", {"code": 127}, "with error: exit status 127"),
        ("KillsItself", {"signal": signal.SIGKILL}, "with error: signal: killed"),
        ("KillsItself", {"signal": signal.SIGSEGV}, "with error: signal: segmentation fault"),
        ("KillsItself", {"signal": signal.SIGABRT}, "with error: signal: aborted"),
        ("KillsItself", {"signal": signal.SIGTERM}, "with error: signal: terminated"),
    ],
)
def test_a_process_that_ends_is_an_exit_error(
    host: RunningHost, function: str, event: dict[str, Any], reason: str
) -> None:
    invoked = host.invoke(function, event)

    assert _error(invoked) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": EXIT.format(invoked.request_id) + reason,
    }
    report = _lines(host, function, invoked.request_id)[-1]
    assert report.endswith("\tStatus: error\tError Type: Runtime.ExitError\t")


def test_the_words_of_an_exit_are_in_the_log(host: RunningHost) -> None:
    invoked = host.invoke("Exits", {"code": "goodbye"})

    assert _lines(host, "Exits", invoked.request_id)[1] == "goodbye"


def test_after_an_exit_the_next_call_gets_a_new_environment(host: RunningHost) -> None:
    host.invoke("Exits")

    assert host.invoke("Exits", {"fine": True}).error is None


def test_a_timeout_is_answered_in_lambdas_words_and_the_next_call_works(host: RunningHost) -> None:
    before = host.invoke("Hangs", {"fine": True}).value

    invoked = host.invoke("Hangs")

    assert _error(invoked) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": (
            f"RequestId: {invoked.request_id} Error: Task timed out after 1.00 seconds"
        ),
    }
    lines = _lines(host, "Hangs", invoked.request_id)
    assert re.search(r"\tDuration: 10\d\d\.\d\d ms\t.*\tStatus: timeout\t$", lines[-1])
    assert host.invoke("Hangs", {"fine": True}).value != before


@pytest.mark.parametrize(
    ("function", "error_type", "message"),
    [
        (
            "NoModule",
            "Runtime.ImportModuleError",
            "Unable to import module 'nowhere': No module named 'nowhere'",
        ),
        (
            "NoHandler",
            "Runtime.HandlerNotFound",
            "Handler 'nothing' missing on module 'results'",
        ),
        ("FailsToImport", "ValueError", "invalid literal for int() with base 10: 'forty-two'"),
    ],
)
def test_a_handler_that_cannot_be_loaded_is_an_init_error(
    host: RunningHost, function: str, error_type: str, message: str
) -> None:
    for _ in range(2):
        error = _error(host.invoke(function))
        assert (error["errorType"], error["errorMessage"]) == (error_type, message)
        assert error["requestId"] == ""
    wait_until(lambda: f"[ERROR] {error_type}: {message}" in host.log(function), 5, "it is logged")


def test_a_process_that_ends_while_it_is_loaded_is_an_exit_error(host: RunningHost) -> None:
    assert _error(host.invoke("ExitsAtImport")) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": "RequestId:  Error: Runtime exited with error: exit status 3",
    }


def test_callers_of_a_broken_function_all_hear_of_it(host: RunningHost) -> None:
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: host.invoke("NoModule"), range(8)))

    assert {_error(answer)["errorType"] for answer in answers} == {"Runtime.ImportModuleError"}


def test_a_syntax_error_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(
        "Resources: {Broken: {Type: AWS::Serverless::Function, Properties: "
        "{Runtime: python3.11, Handler: app.handler, CodeUri: .}}}\n"
    )
    (tmp_path / "app.py").write_text("def handler(event, context:\n    return 1\n")
    with running_host(tmp_path) as host:
        error = _error(host.invoke("Broken"))

        assert error["errorType"] == "Runtime.UserCodeSyntaxError"
        assert 'app.py" Line 1' in error["stackTrace"][0]

        # Mended on disk, it works: every environment reads the file anew.
        (tmp_path / "app.py").write_text("def handler(event, context):\n    return 1\n")
        assert host.invoke("Broken").value == 1


# --- what is printed -------------------------------------------------------------------------


def test_what_is_printed_stands_between_start_and_end(host: RunningHost) -> None:
    invoked = host.invoke("Prints", {"text": "one\ntwo\n", "error": "three\n"})

    lines = _lines(host, "Prints", invoked.request_id)
    assert lines[0] == f"START RequestId: {invoked.request_id} Version: $LATEST"
    assert lines[1:4] == ["one", "two", "three"]
    assert lines[4] == f"END RequestId: {invoked.request_id}"
    assert len(lines) == 6


def test_a_text_without_a_newline_is_a_line_of_its_own(host: RunningHost) -> None:
    invoked = host.invoke("Prints", {"text": "no newline"})

    assert _lines(host, "Prints", invoked.request_id)[1:3] == [
        "no newline",
        f"END RequestId: {invoked.request_id}",
    ]


def test_binary_on_standard_output_disturbs_nobody(host: RunningHost) -> None:
    data = bytes(range(256))
    invoked = host.invoke("Prints", {"hex": data.hex()})

    assert (invoked.error, invoked.payload) == (None, b"null")
    _lines(host, "Prints", invoked.request_id)
    path = host.settings.log_dir / "functions" / "Prints.log"
    assert data + b"\nEND RequestId: " in path.read_bytes()


def test_a_hundred_thousand_lines_arrive_whole_and_in_order(host: RunningHost) -> None:
    invoked = host.invoke("Prints", {"lines": 100_000})

    lines = _lines(host, "Prints", invoked.request_id)
    assert lines[1:-2] == [f"line {number}" for number in range(100_000)]


def test_the_logging_module_writes_as_on_lambda(host: RunningHost) -> None:
    invoked = host.invoke("Logs", {"what": "rain"})

    line = _lines(host, "Logs", invoked.request_id)[1]
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    expected = rf"\[WARNING\]\t{time}\t{invoked.request_id}\ta warning about rain"
    assert re.fullmatch(expected, line)


def test_only_a_cold_start_reports_its_init(host: RunningHost) -> None:
    for environment in host.environments("Echo"):  # another test may have been here first
        _kill(host, "Echo", environment["pid"])

    cold, warm = host.invoke("Echo"), host.invoke("Echo")

    number = r"\d+\.\d\d ms"
    common = (
        rf"REPORT RequestId: {UUID}\tDuration: {number}\tBilled Duration: \d+ ms\t"
        r"Memory Size: 256 MB\tMax Memory Used: \d+ MB\t"
    )
    cold_report = _lines(host, "Echo", cold.request_id)[-1]
    assert re.fullmatch(common + rf"Init Duration: {number}\t", cold_report)
    assert re.fullmatch(common, _lines(host, "Echo", warm.request_id)[-1])


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
    }


def test_every_call_has_an_id_and_a_trace_of_its_own(host: RunningHost) -> None:
    one, other = host.invoke("Context").value, host.invoke("Context").value

    assert one["aws_request_id"] != other["aws_request_id"]
    assert one["trace_id"] != other["trace_id"]
    assert one["log_stream_name"] == other["log_stream_name"]


def test_the_time_that_an_import_takes_is_not_the_handlers(host: RunningHost) -> None:
    """Imported for 0.8 of its 3 seconds, it still has all of them."""
    assert host.invoke("SlowImport").value > 2_900


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
        "_HANDLER": "surroundings.process",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_NAME": "Process",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": "Text",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/Process",
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "test",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "COLOUR": "blue",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": str(HANDLERS),
        "LANG": "en_US.UTF-8",
        "LC_CTYPE": "C.UTF-8",
        "PATH": "/opt/tools",
        "PWD": str(HANDLERS),
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
    # awslambdaric's own: its connection to the Runtime API, and the pair that its client wakes
    # itself with. The zygote's way to the host is a SEQPACKET socket, its way to itself a pipe.
    assert sorted(files.values()) == [
        "AF_INET SOCK_STREAM",
        "AF_UNIX SOCK_STREAM",
        "AF_UNIX SOCK_STREAM",
    ]
    assert process["stdin"] == ""
    assert process["threads"] == 1


def test_forks_do_not_share_their_luck(host: RunningHost) -> None:
    one = host.invoke("Process").value
    _kill(host, "Process", one["pid"])

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

    _kill(host, "Provisioned", pid)

    wait_until(
        lambda: [e["state"] for e in host.environments("Provisioned")] == ["ready", "ready"],
        10,
        "two environments are ready again",
    )


def _waiting_call(
    host: RunningHost, callers: ThreadPoolExecutor, folder: Path, function: str = "Waits"
) -> Any:
    """A call that runs until the file `go` is made; returns its future once it runs."""
    started, go = folder / "started", folder / "go"
    call = callers.submit(host.invoke, function, {"started": str(started), "until": str(go)})
    wait_until(started.exists, 5, "the handler runs")
    return call


def test_an_environment_killed_mid_request_is_told_and_replaced(
    host: RunningHost, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(1) as callers:
        call = _waiting_call(host, callers, tmp_path)
        [busy] = [e for e in host.environments("Waits") if e["state"] == "busy"]
        psutil.Process(busy["pid"]).kill()
        error = _error(call.result())

    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert host.invoke("Waits").value != busy["pid"]


def test_an_environment_killed_at_rest_is_replaced(host: RunningHost) -> None:
    pid = host.invoke("Waits").value
    _kill(host, "Waits", pid)

    assert host.invoke("Waits").value != pid


def test_a_zygote_that_is_killed_is_replaced(host: RunningHost) -> None:
    before = psutil.Process(host.invoke("Waits").value)
    zygotes = host.zygotes()
    for zygote in zygotes:
        zygote.kill()
    wait_until(lambda: not host.environments("Waits"), 5, "its environments are gone")

    after = host.invoke("Waits").value

    assert after != before.pid
    wait_until(lambda: not _lives(before), 5, "its environments have ended")
    assert not {z.pid for z in zygotes} & {z.pid for z in host.zygotes() if _lives(z)}


def test_a_handler_cannot_speak_out_of_turn(host: RunningHost) -> None:
    runtime = "/2018-06-01/runtime"
    answers = host.invoke(
        "Protocol",
        [
            ["POST", f"{runtime}/invocation/another/response", "{}"],
            ["POST", f"{runtime}/invocation/another/error", "{}"],
            ["GET", f"{runtime}/invocation/next", ""],
            ["POST", f"{runtime}/init/error", "{}"],
            ["GET", f"{runtime}/nothing", ""],
            ["GET", "/", ""],
        ],
    ).value

    assert [(a["status"], a["body"]["errorType"]) for a in answers] == [
        (400, "InvalidRequestID"),
        (400, "InvalidRequestID"),
        (403, "InvalidStateTransition"),
        (403, "InvalidStateTransition"),
        (404, "NotFound"),
        (404, "NotFound"),
    ]


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


# --- the host --------------------------------------------------------------------------------


def test_a_polite_stop_lets_requests_finish_and_takes_no_more(tmp_path: Path) -> None:
    with running_host(PROJECTS / "runtime") as host, ThreadPoolExecutor(1) as callers:
        call = _waiting_call(host, callers, tmp_path)

        host.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not _accepts(host), 5, "the host takes no more connections")
        (tmp_path / "go").touch()

        assert isinstance(call.result().value, int)
        assert host.process.wait(10) == 0


def test_a_signal_to_the_whole_group_lets_requests_finish_too(tmp_path: Path) -> None:
    with running_host(PROJECTS / "runtime") as host, ThreadPoolExecutor(1) as callers:
        call = _waiting_call(host, callers, tmp_path)

        for zygote in host.zygotes():
            zygote.send_signal(signal.SIGTERM)
            zygote.send_signal(signal.SIGINT)
        host.process.send_signal(signal.SIGINT)
        wait_until(lambda: not _accepts(host), 5, "the host takes no more connections")
        (tmp_path / "go").touch()

        assert isinstance(call.result().value, int)


def test_a_host_that_is_killed_leaves_nobody_behind(tmp_path: Path) -> None:
    with running_host(PROJECTS / "runtime") as host, ThreadPoolExecutor(1) as callers:
        call = _waiting_call(host, callers, tmp_path)
        started = host.descendants()
        assert len(started) >= 2

        host.process.kill()
        host.process.wait()

        assert call.exception() is not None
        wait_until(lambda: not any(map(_lives, started)), 5, "everything has ended")


def test_a_package_that_cannot_be_preloaded_is_named_and_harmless(tmp_path: Path) -> None:
    with running_host(PROJECTS / "runtime", preload=("nonesuch",)) as host:
        assert host.invoke("Echo", 1).value == 1
        assert "nonesuch cannot be preloaded: ModuleNotFoundError: No module named" in host.output()


def _accepts(host: RunningHost) -> bool:
    try:
        httpx.get(f"{host.lambda_url}/_local_stack/ready", trust_env=False)
    except httpx.TransportError:
        return False
    return True


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
