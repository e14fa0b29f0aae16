"""`POST /runtime/init/error`: the handler could not be loaded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from local_stack.runtime_api.request import ACCEPTED, Request

if TYPE_CHECKING:
    from local_stack.environments.environment import Environment

PATH = b"/2018-06-01/runtime/init/error"
_VALID = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")  # fatalerror.go of AWS's emulator


def handle(environment: Environment, request: Request) -> bytes:
    """Take the error; it belongs to this environment, whoever waits for one."""
    environment.init_failed(request.body, valid_error_type(request.error_type))
    return ACCEPTED


def valid_error_type(error_type: str) -> str:
    """What Lambda makes of a runtime's error type: names of `Runtime.` and `Function.` pass."""
    if _VALID.search(error_type):
        return error_type
    return "Function.Unknown" if error_type.startswith("Function.") else "Runtime.Unknown"
