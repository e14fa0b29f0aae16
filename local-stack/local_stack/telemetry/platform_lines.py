"""The lines that Lambda itself writes into a function's log, as text or, with `LogFormat: JSON`, as JSON.

Text as CloudWatch shows it today: a status stands at the end of REPORT, billed time includes init,
and there is no line of its own for a timeout or a crash any more. JSON as the Telemetry API's events,
each with the level that "System log level event mapping" gives it. What goes between them, written by
the function, passes through untouched. Nothing here knows where lines go.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from datetime import UTC, datetime
from importlib import metadata
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, Protocol

from local_stack import clock
from local_stack.model import REGION, VERSION

if TYPE_CHECKING:
    from local_stack.model import Function

Phase = Literal["init", "invoke"]
Status = Literal["success", "error", "timeout"]
DEBUG, INFO, WARN = 10, 20, 30
_LEVELS = {"DEBUG": DEBUG, "INFO": INFO, "WARN": WARN}


class PlatformLines(Protocol):
    """What is said about one environment; every answer is whole lines, or nothing."""

    def init_start(self) -> bytes:
        """Its process is about to start for the first time."""

    def init_report(
        self, duration_ms: float, phase: Phase, status: Status, error_type: str
    ) -> bytes:
        """Its handler has been imported, or could not be."""

    def start(self, request_id: str) -> bytes:
        """An invocation is handed over."""

    def end(
        self,
        request_id: str,
        duration_ms: float,
        memory_used_mb: int,
        init_ms: float | None,
        status: Status,
        error_type: str,
    ) -> bytes:
        """An invocation is over; `init_ms` only when init was not part of an invocation."""


def platform_lines(
    function: Function, *, initialization_type: str, log_stream: str
) -> PlatformLines:
    """The lines of one environment in the format that its function asks for."""
    if function.logging.format == "JSON":
        return _JsonLines(function, initialization_type, log_stream)
    return _TextLines(function, initialization_type)


class _TextLines:
    def __init__(self, function: Function, initialization_type: str) -> None:
        self._always_reports_init = initialization_type != "on-demand"
        self._memory = f"Memory Size: {function.memory_mb} MB\tMax Memory Used: "

    def init_start(self) -> bytes:
        version, arn = runtime_version()
        return f"INIT_START Runtime Version: {version}\tRuntime Version ARN: {arn}\n".encode()

    def init_report(
        self, duration_ms: float, phase: Phase, status: Status, error_type: str
    ) -> bytes:
        """A success is only told of provisioned environments, as AWS says."""
        line = f"INIT_REPORT Init Duration: {duration_ms:.2f} ms"
        if status == "success":
            return f"{line}\n".encode() if self._always_reports_init else b""
        return f"{line}\tPhase: {phase}{_status(status, error_type)}\n".encode()

    def start(self, request_id: str) -> bytes:
        return f"START RequestId: {request_id} Version: {VERSION}\n".encode()

    def end(
        self,
        request_id: str,
        duration_ms: float,
        memory_used_mb: int,
        init_ms: float | None,
        status: Status,
        error_type: str,
    ) -> bytes:
        """A REPORT without a status ends with a tab: AWS's does."""
        init = "" if init_ms is None else f"\tInit Duration: {init_ms:.2f} ms"
        tail = "\t" if status == "success" else _status(status, error_type)
        return (
            f"END RequestId: {request_id}\n"
            f"REPORT RequestId: {request_id}\tDuration: {duration_ms:.2f} ms\t"
            f"Billed Duration: {billed_ms(duration_ms, init_ms)} ms\t"
            f"{self._memory}{memory_used_mb} MB{init}{tail}\n"
        ).encode()


def _status(status: Status, error_type: str) -> str:
    return f"\tStatus: {status}" + (f"\tError Type: {error_type}" if status == "error" else "")


class _JsonLines:
    def __init__(self, function: Function, initialization_type: str, log_stream: str) -> None:
        self._function = function
        self._initialization_type = initialization_type
        self._log_stream = log_stream
        self._level = _LEVELS.get(function.logging.system_level or "", INFO)

    def init_start(self) -> bytes:
        version, arn = runtime_version()
        record = {
            "initializationType": self._initialization_type,
            "phase": "init",
            "runtimeVersion": version,
            "runtimeVersionArn": arn,
            "functionName": self._function.name,
            "functionVersion": VERSION,
            "instanceId": self._log_stream,
            "instanceMaxMemory": self._function.memory_mb << 20,
        }
        return self._line(INFO, "platform.initStart", record)

    def init_report(
        self, duration_ms: float, phase: Phase, status: Status, error_type: str
    ) -> bytes:
        failed = status != "success"
        on_demand = self._initialization_type == "on-demand"
        about = {"initializationType": self._initialization_type, "phase": phase, "status": status}
        error = {"errorType": error_type} if status == "error" else {}
        metrics = {"metrics": {"durationMs": _thousandths(duration_ms)}}
        done = self._line(WARN if failed else DEBUG, "platform.initRuntimeDone", {**about, **error})
        level = WARN if failed else DEBUG if on_demand else INFO
        return done + self._line(level, "platform.initReport", {**about, **error, **metrics})

    def start(self, request_id: str) -> bytes:
        record = {"requestId": request_id, "functionArn": self._function.arn, "version": VERSION}
        return self._line(INFO, "platform.start", record)

    def end(
        self,
        request_id: str,
        duration_ms: float,
        memory_used_mb: int,
        init_ms: float | None,
        status: Status,
        error_type: str,
    ) -> bytes:
        failed = status != "success"
        outcome = {"status": status, **({"errorType": error_type} if status == "error" else {})}
        duration = {"durationMs": _thousandths(duration_ms)}
        metrics: dict[str, Any] = {
            **duration,
            "billedDurationMs": billed_ms(duration_ms, init_ms),
            "memorySizeMB": self._function.memory_mb,
            "maxMemoryUsedMB": memory_used_mb,
        }
        if init_ms is not None:
            metrics["initDurationMs"] = _thousandths(init_ms)
        done = {"requestId": request_id, **outcome, "metrics": duration}
        report = {"requestId": request_id, "metrics": metrics, **outcome}
        lines = self._line(WARN if failed else DEBUG, "platform.runtimeDone", done)
        return lines + self._line(WARN if failed else INFO, "platform.report", report)

    def _line(self, level: int, kind: str, record: dict[str, Any]) -> bytes:
        """One event, or nothing when the function does not want to see its level."""
        if level < self._level:
            return b""
        seconds, ms = divmod(clock.epoch_ms(), 1000)
        time = f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"
        event = {"time": time, "type": kind, "record": record}
        return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def billed_ms(duration_ms: float, init_ms: float | None) -> int:
    """Whole milliseconds, rounded up; init is billed since August 2025."""
    return ceil(round(duration_ms if init_ms is None else duration_ms + init_ms, 6))


@functools.cache
def runtime_version() -> tuple[str, str]:
    """What INIT_START says runs here: the interpreter, and an ARN that is its fingerprint.

    AWS counts its builds of a runtime (`python:3.11.v109`); here `v` is the interpreter's own patch
    level, and the ARN is the same wherever interpreter and runtime client are.
    """
    major, minor, micro = sys.version_info[:3]
    what = f"{sys.version} awslambdaric {metadata.version('awslambdaric')}"
    fingerprint = hashlib.sha256(what.encode()).hexdigest()
    return f"python:{major}.{minor}.v{micro}", f"arn:aws:lambda:{REGION}::runtime:{fingerprint}"


def _thousandths(ms: float) -> float:
    return round(ms, 3)
