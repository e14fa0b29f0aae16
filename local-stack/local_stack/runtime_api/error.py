"""`POST /runtime/invocation/{id}/error`: the handler raised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_stack.runtime_api import response
from local_stack.runtime_api.request import ACCEPTED, Request

if TYPE_CHECKING:
    from local_stack.environments.environment import Environment


def handle(environment: Environment, request: Request, request_id: str) -> bytes:
    """Take the error; raises `ProtocolViolation` for an id that is not running here."""
    if request.too_large:
        return response.refuse_too_large(environment, request_id)
    environment.errored(request_id, request.body)
    return ACCEPTED
