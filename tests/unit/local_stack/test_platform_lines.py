"""The lines that Lambda itself writes, byte for byte, as they were recorded from AWS."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from local_stack import clock
from local_stack.model import Logging
from local_stack.telemetry.platform_lines import PlatformLines, billed_ms, platform_lines
from tests.support.functions import a_function

if TYPE_CHECKING:
    from local_stack.telemetry.platform_lines import Phase, Status

ARN = "arn:aws:lambda:us-east-1:000000000000:function:Hello"


def _lines(logging: Logging | None = None, initialization_type: str = "on-demand") -> PlatformLines:
    function = a_function(memory_mb=128, logging=logging or Logging())
    return platform_lines(
        function, initialization_type=initialization_type, log_stream="2026/10/08/[$LATEST]0"
    )


# --- text ------------------------------------------------------------------------------------


def test_init_start_names_the_interpreter_that_runs_here() -> None:
    major, minor, micro = sys.version_info[:3]

    assert re.fullmatch(
        rf"INIT_START Runtime Version: python:{major}\.{minor}\.v{micro}\t"
        r"Runtime Version ARN: arn:aws:lambda:us-east-1::runtime:[0-9a-f]{64}\n",
        _lines().init_start().decode(),
    )


def test_the_start_line_is_lambdas() -> None:
    assert _lines().start("the-id") == b"START RequestId: the-id Version: $LATEST\n"


@pytest.mark.parametrize(
    ("duration_ms", "shown", "billed"),
    [
        (0.0, "0.00", 0),
        (0.001, "0.00", 1),
        (3.0, "3.00", 3),
        (3.01, "3.01", 4),
        (999.999, "1000.00", 1000),
        (0.1 * 3 * 1000, "300.00", 300),  # 300.00000000000006
    ],
)
def test_billed_duration_is_rounded_up(duration_ms: float, shown: str, billed: int) -> None:
    assert _lines().end("the-id", duration_ms, 36, None, "success", "").decode() == (
        "END RequestId: the-id\n"
        f"REPORT RequestId: the-id\tDuration: {shown} ms\tBilled Duration: {billed} ms\t"
        "Memory Size: 128 MB\tMax Memory Used: 36 MB\t\n"
    )


def test_init_is_billed_as_it_was_recorded() -> None:
    """3,000 ms of an invocation and 67.49 ms of init were billed as 3,068 ms (python3.13, 2025)."""
    assert billed_ms(3000.0, 67.49) == 3068
    assert (
        _lines()
        .end("the-id", 3000.0, 35, 67.49, "timeout", "")
        .endswith(
            b"\tDuration: 3000.00 ms\tBilled Duration: 3068 ms\tMemory Size: 128 MB\t"
            b"Max Memory Used: 35 MB\tInit Duration: 67.49 ms\tStatus: timeout\n"
        )
    )


def test_a_cold_start_reports_its_init() -> None:
    line = _lines().end("the-id", 1.0, 36, 110.1, "success", "")

    assert line.endswith(b"Max Memory Used: 36 MB\tInit Duration: 110.10 ms\t\n")


def test_an_error_stands_at_the_end_of_the_report() -> None:
    line = _lines().end("the-id", 1.0, 128, None, "error", "Runtime.OutOfMemory")

    assert line.endswith(
        b"\tMax Memory Used: 128 MB\tStatus: error\tError Type: Runtime.OutOfMemory\n"
    )


@pytest.mark.parametrize(
    ("phase", "status", "error_type", "line"),
    [
        ("init", "success", "", ""),
        (
            "init",
            "timeout",
            "",
            "INIT_REPORT Init Duration: 9999.56 ms\tPhase: init\tStatus: timeout\n",
        ),
        (
            "invoke",
            "error",
            "Runtime.Unknown",
            "INIT_REPORT Init Duration: 9999.56 ms\tPhase: invoke\tStatus: error\t"
            "Error Type: Runtime.Unknown\n",
        ),
    ],
)
def test_init_is_reported_when_it_failed(
    phase: Phase, status: Status, error_type: str, line: str
) -> None:
    assert _lines().init_report(9999.56, phase, status, error_type).decode() == line


def test_a_provisioned_environment_reports_its_init_always() -> None:
    lines = _lines(initialization_type="provisioned-concurrency")

    assert (
        lines.init_report(12.3, "init", "success", "") == b"INIT_REPORT Init Duration: 12.30 ms\n"
    )


# --- JSON ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "epoch_ms", lambda: 1_791_444_629_470)


def _records(lines: bytes) -> list[tuple[str, Any]]:
    found = []
    for line in lines.decode().splitlines():
        event = json.loads(line)
        assert list(event) == ["time", "type", "record"]
        assert event["time"] == "2026-10-08T07:30:29.470Z"
        found.append((event["type"], event["record"]))
    return found


JSON = Logging(format="JSON")


def test_json_is_written_as_aws_writes_it() -> None:
    """Recorded: nodejs22, 2026; blanks, order of members and digits are AWS's."""
    assert _lines(JSON).end("79b5", 1233.96, 123, 463.512, "success", "") == (
        b'{"time":"2026-10-08T07:30:29.470Z","type":"platform.report","record":{"requestId":"79b5",'
        b'"metrics":{"durationMs":1233.96,"billedDurationMs":1698,"memorySizeMB":128,'
        b'"maxMemoryUsedMB":123,"initDurationMs":463.512},"status":"success"}}\n'
    )
    assert _lines(JSON).start("79b5") == (
        b'{"time":"2026-10-08T07:30:29.470Z","type":"platform.start","record":{"requestId":"79b5",'
        b'"functionArn":"' + ARN.encode() + b'","version":"$LATEST"}}\n'
    )


def test_init_start_in_json_names_the_environment() -> None:
    [(kind, record)] = _records(_lines(JSON).init_start())

    assert kind == "platform.initStart"
    assert record.pop("runtimeVersion").startswith("python:3.")
    assert record.pop("runtimeVersionArn").startswith("arn:aws:lambda:us-east-1::runtime:")
    assert record == {
        "initializationType": "on-demand",
        "phase": "init",
        "functionName": "Hello",
        "functionVersion": "$LATEST",
        "instanceId": "2026/10/08/[$LATEST]0",
        "instanceMaxMemory": 128 << 20,
    }


def test_a_failure_in_json_says_more() -> None:
    lines = _lines(JSON).end("the-id", 800.1, 128, None, "error", "Runtime.OutOfMemory")

    assert _records(lines) == [
        (
            "platform.runtimeDone",
            {
                "requestId": "the-id",
                "status": "error",
                "errorType": "Runtime.OutOfMemory",
                "metrics": {"durationMs": 800.1},
            },
        ),
        (
            "platform.report",
            {
                "requestId": "the-id",
                "metrics": {
                    "durationMs": 800.1,
                    "billedDurationMs": 801,
                    "memorySizeMB": 128,
                    "maxMemoryUsedMB": 128,
                },
                "status": "error",
                "errorType": "Runtime.OutOfMemory",
            },
        ),
    ]


def test_an_init_that_failed_is_told_in_json() -> None:
    lines = _lines(JSON).init_report(10000.487, "init", "timeout", "")

    about = {"initializationType": "on-demand", "phase": "init", "status": "timeout"}
    assert _records(lines) == [
        ("platform.initRuntimeDone", about),
        ("platform.initReport", {**about, "metrics": {"durationMs": 10000.487}}),
    ]


@pytest.mark.parametrize(
    ("level", "kinds"),
    [
        ("DEBUG", ["initStart", "initRuntimeDone", "initReport", "start", "runtimeDone", "report"]),
        ("INFO", ["initStart", "start", "report"]),
        (None, ["initStart", "start", "report"]),
        ("WARN", []),
    ],
)
def test_the_system_log_level_chooses(level: str | None, kinds: list[str]) -> None:
    lines = _lines(Logging(format="JSON", system_level=level))
    said = lines.init_start() + lines.init_report(1.0, "init", "success", "")
    said += lines.start("the-id") + lines.end("the-id", 1.0, 36, 1.0, "success", "")

    assert [kind for kind, _ in _records(said)] == [f"platform.{kind}" for kind in kinds]


def test_failures_are_told_at_every_system_log_level() -> None:
    lines = _lines(Logging(format="JSON", system_level="WARN"))

    assert lines.init_report(1.0, "invoke", "error", "Runtime.ExitError")
    assert lines.end("the-id", 1.0, 36, None, "timeout", "")
