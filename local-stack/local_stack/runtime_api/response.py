"""`POST /runtime/invocation/{id}/response`: the handler returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_stack.environments.invocation import RESPONSE_BYTES_MAX
from local_stack.runtime_api.request import ACCEPTED, Request, error

if TYPE_CHECKING:
    from local_stack.environments.environment import Environment


def handle(environment: Environment, request: Request, request_id: str) -> bytes:
    """Take the result; raises `ProtocolViolation` for an id that is not running here."""
    if request.too_large:
        return refuse_too_large(environment, request_id)
    environment.responded(request_id, request.body)
    return ACCEPTED


def refuse_too_large(environment: Environment, request_id: str) -> bytes:
    """The caller gets `Function.ResponseSizeTooLarge`, the runtime 413, and goes on."""
    environment.response_too_large(request_id)
    message = f"Exceeded maximum allowed payload size ({RESPONSE_BYTES_MAX} bytes)."
    return error(413, "RequestEntityTooLarge", message)
