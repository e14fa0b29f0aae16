"""`POST /runtime/init/error`: the handler could not be loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_stack.runtime_api.request import ACCEPTED, Request

if TYPE_CHECKING:
    from local_stack.environments.environment import Environment

PATH = b"/2018-06-01/runtime/init/error"


def handle(environment: Environment, request: Request) -> bytes:
    """Take the error; it belongs to this environment, whoever waits for one."""
    environment.init_failed(request.body)
    return ACCEPTED
