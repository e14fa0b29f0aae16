"""The life of environments, with the unmodified awslambdaric: init, crashes, and going on after them.

Sequences of log lines are as recorded from AWS; see docs/adr/0020.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support.host import (
    PROJECTS,
    RunningHost,
    error_of,
    is_alive,
    log_of,
    running_host,
)
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

START = "START RequestId: {} Version: $LATEST"
ERROR_TAIL = "\tStatus: error\tError Type: "


@pytest.fixture(scope="module")
def traps() -> Iterator[RunningHost]:
    """A host for tests/projects/traps."""
    with running_host(PROJECTS / "traps", limits={"log_file_bytes": 256 << 20}) as host:
        yield host


def _tail(host: RunningHost, function: str, event: Any = None) -> tuple[Any, list[str]]:
    """What an invocation answered, and the log that came with it."""
    answer = host.client.invoke(
        FunctionName=function, Payload=json.dumps(event or {}), LogType="Tail"
    )
    with answer["Payload"] as body:
        payload = json.loads(body.read())
    lines = base64.b64decode(answer["LogResult"]).decode().splitlines()
    return payload, lines


# --- init ------------------------------------------------------------------------------------


def test_an_init_that_failed_is_repeated_inside_the_first_invocation(traps: RunningHost) -> None:
    """The whole sequence, as it was recorded of a python3.11 function without its module."""
    invoked = traps.invoke("NoModule")

    error = error_of(invoked)
    assert error["errorType"] == "Runtime.ImportModuleError"
    assert error["requestId"] == ""
    log_of(traps, "NoModule", invoked.request_id)
    number = r"\d+\.\d\d ms"
    failed = r"Status: error\tError Type: Runtime\.ImportModuleError"
    said = (
        "LAMBDA_WARNING: Unhandled exception. [^\n]*\n"
        r"\[ERROR\] Runtime\.ImportModuleError: Unable to import module 'nowhere': [^\n]*\n"
        r"Traceback \(most recent call last\):\n"
    )
    assert re.fullmatch(
        r"INIT_START Runtime Version: python:3\.\d+\.v\d+\tRuntime Version ARN: \S+\n"
        rf"(?:{said}|[^\n]*\n)+?INIT_REPORT Init Duration: {number}\tPhase: init\t{failed}\n"
        rf"(?:{said}|[^\n]*\n)+?INIT_REPORT Init Duration: {number}\tPhase: invoke\t{failed}\n"
        rf"START RequestId: {invoked.request_id} Version: \$LATEST\n"
        rf"END RequestId: {invoked.request_id}\n"
        rf"REPORT RequestId: {invoked.request_id}\tDuration: {number}\tBilled Duration: \d+ ms\t"
        rf"Memory Size: 256 MB\tMax Memory Used: \d+ MB\t{failed}\n",
        traps.log("NoModule"),
    )


def test_the_tail_of_a_failed_init_has_its_report(traps: RunningHost) -> None:
    payload, lines = _tail(traps, "RaisesAtImport")

    assert payload["errorType"] == "ValueError"
    assert "about to raise" in lines
    assert "[ERROR] ValueError: invalid literal for int() with base 10: 'forty-two'" in lines
    # Lambda lets only its own names of errors pass; the runtime's `ValueError` is none.
    assert lines[-4].endswith("\tPhase: invoke\tStatus: error\tError Type: Runtime.Unknown")
    assert lines[-1].endswith(ERROR_TAIL + "Runtime.Unknown")


def test_a_module_of_the_interpreters_own_cannot_be_a_handler(traps: RunningHost) -> None:
    error = error_of(traps.invoke("BuiltIn"))

    assert error["errorType"] == "Runtime.BuiltInModuleConflict"


def test_an_init_that_works_the_second_time_is_no_error(traps: RunningHost) -> None:
    payload, lines = _tail(traps, "SecondTry")

    assert isinstance(payload, int)
    assert lines[0].startswith("START RequestId: ")
    assert "Init Duration" not in lines[-1]
    wait_until(lambda: "INIT_REPORT" in traps.log("SecondTry"), 5, "its init is reported")
    [report] = re.findall("INIT_REPORT.*", traps.log("SecondTry"))
    assert report.endswith("\tPhase: init\tStatus: error\tError Type: Runtime.ExitError")
    assert traps.invoke("SecondTry").value == payload


def test_an_init_that_does_not_end_is_the_invocations_timeout(traps: RunningHost) -> None:
    payload, lines = _tail(traps, "HangsAtImport")

    assert payload["errorType"] == "Sandbox.Timedout"
    assert payload["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert re.fullmatch(
        r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: invoke\tStatus: timeout", lines[-4]
    )
    assert [line.split()[0] for line in lines[-3:]] == ["START", "END", "REPORT"]
    assert lines[-1].endswith("\tStatus: timeout")


# --- after a crash ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["exit", "hang"])
def test_the_environment_goes_on_with_a_new_process(traps: RunningHost, how: str) -> None:
    """As recorded after timeouts: the same log stream, memory reset, no INIT_START, no init time."""
    before = traps.invoke("Crashes").value
    error_of(traps.invoke("Crashes", {"how": how}))
    wait_until(
        lambda: [e["state"] for e in traps.environments("Crashes")] == ["cold"], 5, "it is cold"
    )

    after, lines = _tail(traps, "Crashes")

    assert (after["seen"], after["stream"]) == (1, before["stream"])
    assert after["pid"] != before["pid"]
    assert lines[0].startswith("START ")
    assert "Init Duration" not in lines[-1]
    wait_until(lambda: lines[-1] in traps.log("Crashes"), 5, "its report is logged")
    assert traps.log("Crashes").count("INIT_START") == 1


def test_a_provisioned_environment_that_crashed_is_warm_again(traps: RunningHost) -> None:
    def pids() -> list[int]:
        return [e["pid"] for e in traps.environments("Provisioned") if e["state"] == "ready"]

    wait_until(pids, 10, "it is warm")
    [before] = pids()
    error_of(traps.invoke("Provisioned", {"how": "exit"}))

    wait_until(lambda: pids() not in ([], [before]), 10, "another is warm")

    seen, lines = _tail(traps, "Provisioned")
    assert seen["kind"] == "provisioned-concurrency"
    assert "Init Duration" not in lines[-1]
    assert re.search(
        r"^INIT_REPORT Init Duration: \d+\.\d\d ms$", traps.log("Provisioned"), re.MULTILINE
    )


# --- output ----------------------------------------------------------------------------------


def test_a_million_lines_are_logged_and_neither_kept_nor_waited_for(traps: RunningHost) -> None:
    used = psutil.Process(traps.process.pid).memory_info().rss

    payload, lines = _tail(traps, "Output", {"lines": 1_000_000})

    assert payload == "answered"
    assert lines[-3] == "line 999999"
    assert sum(len(line) + 1 for line in lines) <= 4096
    assert psutil.Process(traps.process.pid).memory_info().rss - used < 64 << 20


def test_a_line_of_ten_megabytes_harms_nobody(traps: RunningHost) -> None:
    invoked = traps.invoke("Output", {"bytes": 10_000_000})

    lines = log_of(traps, "Output", invoked.request_id)
    assert sum(len(line) for line in lines[1:-2]) == 10_000_000


def test_a_handler_that_closes_its_output_is_answered_all_the_same(traps: RunningHost) -> None:
    for _ in range(2):
        invoked = traps.invoke("Closes")

        assert invoked.value == "answered"
        [_, record, _, _] = log_of(traps, "Closes", invoked.request_id)
        assert record.endswith("\tstill here")


def test_a_child_that_a_handler_left_ends_with_its_environment(traps: RunningHost) -> None:
    child = psutil.Process(traps.invoke("Forks").value)
    assert is_alive(child)

    error = error_of(traps.invoke("Forks", {"exit": True}))

    assert error["errorMessage"].endswith("exit status 3")
    wait_until(lambda: not is_alive(child), 5, "the child has ended")
    assert traps.invoke("Forks").error is None


@pytest.mark.parametrize(
    ("what", "error_type"), [("set", "Runtime.MarshalError"), ("nested", "Runtime.MarshalError")]
)
def test_what_is_no_json_is_an_error_of_marshalling(
    traps: RunningHost, what: str, error_type: str
) -> None:
    assert error_of(traps.invoke("Result", {"what": what}))["errorType"] == error_type


@pytest.mark.parametrize(
    ("what", "payload"),
    [
        ("bytes", b"\xff\xfe"),
        ("nan", b"NaN"),
        ("text", b'"\\u2028 \\u0000 caf\\u00e9"'),
    ],
)
def test_what_the_runtime_sends_arrives_byte_for_byte(
    traps: RunningHost, what: str, payload: bytes
) -> None:
    invoked = traps.invoke("Result", {"what": what})

    assert (invoked.error, invoked.payload) == (None, payload)


def test_an_answer_that_looks_like_an_error_is_none(traps: RunningHost) -> None:
    assert traps.invoke("Result", {"what": "error"}).error is None


# --- logging ---------------------------------------------------------------------------------


def test_records_and_prints_stand_in_the_order_in_which_they_were_written(
    traps: RunningHost,
) -> None:
    invoked = traps.invoke("Text", {"raise": True})

    lines = log_of(traps, "Text", invoked.request_id)
    assert lines[1] == "printed before"
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(rf"\[ERROR\]\t{time}\t{invoked.request_id}\tan error of", lines[2])
    assert lines[3:7] == [
        "two lines",
        "printed after",
        "[ERROR] ValueError: raised on purpose",
        "Traceback (most recent call last):",
    ]
    assert lines[7].startswith("\xa0\xa0File ")
    assert lines[-2:][0] == f"END RequestId: {invoked.request_id}"


def _events(host: RunningHost, function: str, request_id: str) -> list[Any]:
    """The log of a function that logs JSON, up to this invocation's report."""

    def read() -> list[Any]:
        lines = host.log(function).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def reported() -> bool:
        return any(
            event.get("type") == "platform.report" and event["record"]["requestId"] == request_id
            for event in read()
        )

    wait_until(reported, 5, "the report is logged")
    return read()


def test_a_function_that_logs_json_is_logged_in_json(traps: RunningHost) -> None:
    invoked = traps.invoke("Json")

    events = _events(traps, "Json", invoked.request_id)
    assert [event.get("type", event.get("message")) for event in events] == [
        "platform.initStart",
        "platform.initRuntimeDone",
        "platform.initReport",
        "platform.start",
        "a debug record",
        "an error of\ntwo lines",
        "platform.runtimeDone",
        "platform.report",
    ]
    assert re.fullmatch(
        r"\d{4}/\d\d/\d\d/Json\[\$LATEST\][0-9a-f]{32}", events[0]["record"]["instanceId"]
    )
    record = events[5]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record.pop("timestamp"))
    assert record == {
        "level": "ERROR",
        "message": "an error of\ntwo lines",
        "logger": "trap",
        "requestId": invoked.request_id,
        "colour": "blue",
    }
    report = events[-1]["record"]
    assert report["status"] == "success"
    assert set(report["metrics"]) == {
        "durationMs",
        "billedDurationMs",
        "memorySizeMB",
        "maxMemoryUsedMB",
        "initDurationMs",
    }


def test_log_levels_are_honoured(traps: RunningHost) -> None:
    error_of(traps.invoke("JsonQuiet", {"raise": True}))

    wait_until(lambda: "raised on purpose" in traps.log("JsonQuiet"), 5, "the error is logged")
    events = [json.loads(x) for x in traps.log("JsonQuiet").splitlines() if x.startswith("{")]
    assert [event.get("type", event.get("level")) for event in events] == ["ERROR", "ERROR"]
    assert events[1]["errorType"] == "ValueError"


# --- the Runtime API -------------------------------------------------------------------------


def test_what_lambda_has_and_this_runtime_has_not_is_refused_by_name(traps: RunningHost) -> None:
    extension = "/2020-01-01/extension"
    runtime = "/2018-06-01/runtime"
    answers = traps.invoke(
        "Protocol",
        [
            ["POST", f"{extension}/register", "{}"],
            ["GET", f"{extension}/event/next", ""],
            ["PUT", "/2022-07-01/telemetry", "{}"],
            ["PUT", "/2020-08-15/logs", "{}"],
            ["GET", f"{runtime}/restore/next", ""],
            ["POST", f"{runtime}/restore/error", "{}"],
        ],
    ).value

    assert [(a["status"], a["body"]["errorType"]) for a in answers] == [
        (404, "Extension.NotSupported"),
        (404, "Extension.NotSupported"),
        (202, "Telemetry.NotSupported"),
        (202, "Logs.NotSupported"),
        (404, "SnapStart.NotSupported"),
        (404, "SnapStart.NotSupported"),
    ]


def test_a_violation_of_the_protocol_is_in_the_hosts_log(traps: RunningHost) -> None:
    traps.invoke("Protocol", [["GET", "/2018-06-01/runtime/invocation/next", ""]])

    wait_until(
        lambda: "the runtime of Protocol spoke out of turn: /next while busy" in traps.output(),
        5,
        "the host says so",
    )


def test_the_client_context_may_be_written_on_several_lines(traps: RunningHost) -> None:
    context = json.dumps({"custom": {"a": "b"}}, indent=2).encode()

    answer = traps.client.invoke(
        FunctionName="Result",
        Payload=json.dumps({"what": "bytes"}),
        ClientContext=base64.b64encode(context).decode(),
    )
    with answer["Payload"] as body:
        assert body.read() == b"\xff\xfe"
