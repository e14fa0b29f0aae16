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
        environment.response_too_large(request_id)
        message = f"Exceeded maximum allowed payload size ({RESPONSE_BYTES_MAX} bytes)."
        return error(413, "RequestEntityTooLarge", message)
    environment.responded(request_id, request.body)
    return ACCEPTED
