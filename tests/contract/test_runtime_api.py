"""The official, unmodified awslambdaric in real environments, against our Runtime API."""

from __future__ import annotations

import json
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.host import (
    RunningHost,
    error_of,
    kill_environment,
    log_of,
    running_host,
)
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path


RESPONSE_BYTES_MAX = 6_291_556  # as AWS names it in its error
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


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

    assert error_of(host.invoke("Sized", {"bytes": RESPONSE_BYTES_MAX + 1})) == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": (
            "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
        ),
    }
    assert host.invoke("Sized", {"bytes": 10}).error is None


def test_a_result_that_is_no_json_is_the_functions_error(host: RunningHost) -> None:
    error = error_of(host.invoke("NotJson"))

    assert error["errorType"] == "Runtime.MarshalError"
    assert "set is not JSON serializable" in error["errorMessage"]


# --- failures --------------------------------------------------------------------------------


def test_an_exception_is_told_with_its_stack(host: RunningHost) -> None:
    invoked = host.invoke("Raises", {"message": "no luck"})

    error = error_of(invoked)
    assert list(error) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert (error["errorMessage"], error["errorType"]) == ("no luck", "OutOfLuck")
    assert error["requestId"] == invoked.request_id
    assert 'failures.py", line' in error["stackTrace"][0]
    lines = log_of(host, "Raises", invoked.request_id)
    assert lines[1:3] == ["[ERROR] OutOfLuck: no luck", "Traceback (most recent call last):"]
    assert re.fullmatch(r'\xa0\xa0File ".*failures\.py", line \d+, in raises', lines[3])
    assert lines[4] == '\xa0\xa0\xa0\xa0raise OutOfLuck(event.get("message", "no luck today"))'
    assert lines[5] == f"END RequestId: {invoked.request_id}"


def test_after_an_exception_the_same_environment_goes_on(host: RunningHost) -> None:
    host.invoke("Raises")
    [before] = host.environments("Raises")

    host.invoke("Raises")

    [after] = host.environments("Raises")
    assert before["pid"] == after["pid"] > 0


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

    assert error_of(invoked) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": EXIT.format(invoked.request_id) + reason,
    }
    report = log_of(host, function, invoked.request_id)[-1]
    assert report.endswith("\tStatus: error\tError Type: Runtime.ExitError")


def test_the_words_of_an_exit_are_in_the_log(host: RunningHost) -> None:
    invoked = host.invoke("Exits", {"code": "goodbye"})

    assert log_of(host, "Exits", invoked.request_id)[1] == "goodbye"


def test_after_an_exit_the_next_call_gets_a_new_environment(host: RunningHost) -> None:
    host.invoke("Exits")

    assert host.invoke("Exits", {"fine": True}).error is None


def test_a_timeout_is_answered_in_lambdas_words_and_the_next_call_works(host: RunningHost) -> None:
    before = host.invoke("Hangs", {"fine": True}).value

    invoked = host.invoke("Hangs")

    assert error_of(invoked) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": (
            f"RequestId: {invoked.request_id} Error: Task timed out after 1.00 seconds"
        ),
    }
    lines = log_of(host, "Hangs", invoked.request_id)
    assert "\tDuration: 1000.00 ms\tBilled Duration: 1000 ms\t" in lines[-1]
    assert lines[-1].endswith("\tStatus: timeout")
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
        error = error_of(host.invoke(function))
        assert (error["errorType"], error["errorMessage"]) == (error_type, message)
        assert error["requestId"] == ""
    wait_until(lambda: f"[ERROR] {error_type}: {message}" in host.log(function), 5, "it is logged")


def test_a_process_that_ends_while_it_is_loaded_is_an_exit_error(host: RunningHost) -> None:
    invoked = host.invoke("ExitsAtImport")

    assert error_of(invoked) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": EXIT.format(invoked.request_id) + "with error: exit status 3",
    }


def test_callers_of_a_broken_function_all_hear_of_it(host: RunningHost) -> None:
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: host.invoke("NoModule"), range(8)))

    assert {error_of(answer)["errorType"] for answer in answers} == {"Runtime.ImportModuleError"}


def test_a_syntax_error_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(
        "Resources: {Broken: {Type: AWS::Serverless::Function, Properties: "
        "{Runtime: python3.11, Handler: app.handler, CodeUri: .}}}\n"
    )
    (tmp_path / "app.py").write_text("def handler(event, context:\n    return 1\n")
    with running_host(tmp_path) as host:
        error = error_of(host.invoke("Broken"))

        assert error["errorType"] == "Runtime.UserCodeSyntaxError"
        assert 'app.py" Line 1' in error["stackTrace"][0]

        # Mended on disk, it works: every environment reads the file anew.
        (tmp_path / "app.py").write_text("def handler(event, context):\n    return 1\n")
        assert host.invoke("Broken").value == 1


# --- what is printed -------------------------------------------------------------------------


def test_what_is_printed_stands_between_start_and_end(host: RunningHost) -> None:
    invoked = host.invoke("Prints", {"text": "one\ntwo\n", "error": "three\n"})

    lines = log_of(host, "Prints", invoked.request_id)
    assert lines[0] == f"START RequestId: {invoked.request_id} Version: $LATEST"
    assert lines[1:4] == ["one", "two", "three"]
    assert lines[4] == f"END RequestId: {invoked.request_id}"
    assert len(lines) == 6


def test_a_text_without_a_newline_is_a_line_of_its_own(host: RunningHost) -> None:
    invoked = host.invoke("Prints", {"text": "no newline"})

    assert log_of(host, "Prints", invoked.request_id)[1:3] == [
        "no newline",
        f"END RequestId: {invoked.request_id}",
    ]


def test_binary_on_standard_output_disturbs_nobody(host: RunningHost) -> None:
    data = bytes(range(256))
    invoked = host.invoke("Prints", {"hex": data.hex()})

    assert (invoked.error, invoked.payload) == (None, b"null")
    log_of(host, "Prints", invoked.request_id)
    path = host.settings.log_dir / "functions" / "Prints.log"
    assert data + b"\nEND RequestId: " in path.read_bytes()


def test_a_hundred_thousand_lines_arrive_whole_and_in_order(host: RunningHost) -> None:
    invoked = host.invoke("Prints", {"lines": 100_000})

    lines = log_of(host, "Prints", invoked.request_id)
    assert lines[1:-2] == [f"line {number}" for number in range(100_000)]


def test_the_logging_module_writes_as_on_lambda(host: RunningHost) -> None:
    invoked = host.invoke("Logs", {"what": "rain"})

    line = log_of(host, "Logs", invoked.request_id)[1]
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    expected = rf"\[WARNING\]\t{time}\t{invoked.request_id}\ta warning about rain"
    assert re.fullmatch(expected, line)


def test_only_a_cold_start_reports_its_init(host: RunningHost) -> None:
    for environment in host.environments("Echo"):  # another test may have been here first
        kill_environment(host, "Echo", environment["pid"])

    cold, warm = host.invoke("Echo"), host.invoke("Echo")

    number = r"\d+\.\d\d ms"
    common = (
        rf"REPORT RequestId: {UUID}\tDuration: {number}\tBilled Duration: \d+ ms\t"
        r"Memory Size: 256 MB\tMax Memory Used: \d+ MB\t"
    )
    cold_report = log_of(host, "Echo", cold.request_id)[-1]
    assert re.fullmatch(common + rf"Init Duration: {number}\t", cold_report)
    assert re.fullmatch(common, log_of(host, "Echo", warm.request_id)[-1])


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
