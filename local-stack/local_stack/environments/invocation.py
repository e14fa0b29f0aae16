"""One invocation on its way through an environment, and how it ended."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

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
    started: float = 0.0  # clock.monotonic() at hand-over
    deadline_ms: int = 0  # since 1970, set at hand-over: waiting for an environment costs nothing


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an invocation ended. `function_error` decides, never what the payload looks like."""

    request_id: str
    payload: bytes
    function_error: str | None = None  # "Unhandled" when the function failed
    log_tail: bytes = b""
    duration_ms: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)


def error_payload(error_type: str, message: str) -> bytes:
    """The body that Lambda itself makes for a function that could not answer."""
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()


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
        names = {9: "killed", 11: "segmentation fault", 6: "aborted", 15: "terminated"}
        reason = f"Runtime exited with error: signal: {names.get(-status, str(-status))}"
    return error_payload("Runtime.ExitError", f"RequestId: {request_id} Error: {reason}")


def too_large_payload() -> bytes:
    """`Function.ResponseSizeTooLarge`."""
    message = (
        f"Response payload size exceeded maximum allowed payload size ({RESPONSE_BYTES_MAX} bytes)."
    )
    return error_payload("Function.ResponseSizeTooLarge", message)
