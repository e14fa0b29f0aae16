"""One invocation on its way through an environment, and how it ended."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import asyncio

# As Go's syscall.Signal.String() has them: Lambda's supervisor is written in Go.
_SIGNALS = {
    1: "hangup", 2: "interrupt", 3: "quit", 4: "illegal instruction", 5: "trace/breakpoint trap",
    6: "aborted", 7: "bus error", 8: "floating point exception", 9: "killed",
    10: "user defined signal 1", 11: "segmentation fault", 12: "user defined signal 2",
    13: "broken pipe", 14: "alarm clock", 15: "terminated",
}  # fmt: skip
RESPONSE_BYTES_MAX = 6 * 1024 * 1024 + 100  # 6291556, as AWS names it in its error


@dataclass(slots=True)
class Invocation:
    """What an environment is asked to do."""

    request_id: str
    payload: bytes
    done: asyncio.Future[Outcome]
    trace_id: str = ""
    client_context: str | None = None
    want_tail: bool = False
    qualifier: str = ""  # alias or version that the caller named; part of the invoked ARN
    tenant_id: str = ""
    started: float = 0.0  # clock.monotonic() at hand-over
    deadline_ms: int = 0  # since 1970, set at hand-over: waiting for an environment costs nothing


class Outcome(NamedTuple):
    """How an invocation ended. `function_error` decides, never what the payload looks like."""

    request_id: str
    payload: bytes
    function_error: str | None = None  # "Unhandled" when the function failed
    log_tail: bytes = b""
    duration_ms: float = 0.0


def error_payload(error_type: str, message: str) -> bytes:
    """The body that Lambda itself makes for a function that could not answer."""
    error = {"errorType": error_type, "errorMessage": message}
    return json.dumps(error, separators=(",", ":")).encode()


def timeout_payload(request_id: str, timeout_s: float) -> bytes:
    """`Sandbox.Timedout`, as recorded from AWS."""
    message = f"RequestId: {request_id} Error: Task timed out after {timeout_s:.2f} seconds"
    return error_payload("Sandbox.Timedout", message)


def exit_payload(request_id: str, status: int) -> bytes:
    """`Runtime.ExitError` for a process that ended by itself; `status` as Popen gives it."""
    if status == 0:
        reason = "Runtime exited without providing a reason"
    elif status > 0:
        reason = f"Runtime exited with error: exit status {status}"
    else:
        reason = f"Runtime exited with error: signal: {_SIGNALS.get(-status, -status)}"
    return error_payload("Runtime.ExitError", f"RequestId: {request_id} Error: {reason}")


def too_large_payload() -> bytes:
    """`Function.ResponseSizeTooLarge`."""
    message = (
        f"Response payload size exceeded maximum allowed payload size ({RESPONSE_BYTES_MAX} bytes)."
    )
    return error_payload("Function.ResponseSizeTooLarge", message)
