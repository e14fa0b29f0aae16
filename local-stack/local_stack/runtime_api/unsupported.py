"""Routes that AWS has and this runtime has not: refused by name, so that nobody looks for a fault."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local_stack.runtime_api.request import PREFIX, error

if TYPE_CHECKING:
    from local_stack.runtime_api.request import Request

_EXTENSIONS = b"/2020-01-01/extension/"
# Extensions that subscribe go on without: AWS's emulator answers them this way (stub handlers).
_SUBSCRIPTIONS = {b"/2022-07-01/telemetry": "Telemetry", b"/2020-08-15/logs": "Logs"}


def handle(request: Request) -> bytes:
    """The answer to whatever is no route of the Runtime API."""
    path = request.path.partition(b"?")[0]
    if path in _SUBSCRIPTIONS and request.method == b"PUT":
        return _not_supported(_SUBSCRIPTIONS[path])
    if path.startswith(_EXTENSIONS):
        return error(404, "Extension.NotSupported", "Extensions API is not supported")
    if path.startswith(PREFIX + b"restore/"):
        return error(404, "SnapStart.NotSupported", "SnapStart is not supported")
    method, name = request.method.decode("latin-1"), request.path.decode("latin-1")
    return error(404, "NotFound", f"no route {method} {name}")


def _not_supported(api: str) -> bytes:
    error_type, message = f"{api}.NotSupported", f"{api} API is not supported"
    body = json.dumps({"errorType": error_type, "errorMessage": message}).encode()
    head = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body
