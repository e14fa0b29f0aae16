"""One parsed request of the Runtime API, and how answers are rendered."""

from __future__ import annotations

import json
from typing import NamedTuple

PREFIX = b"/2018-06-01/runtime/"
_REASONS = {
    200: b"OK", 202: b"Accepted", 400: b"Bad Request", 403: b"Forbidden", 404: b"Not Found",
    413: b"Request Entity Too Large", 500: b"Internal Server Error",
}  # fmt: skip
ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
    b'Content-Length: 16\r\n\r\n{"status":"OK"}\n'
)


class Request(NamedTuple):
    """A request of the runtime; `body` is cut at the response limit when `too_large`."""

    method: bytes
    path: bytes
    body: bytes
    too_large: bool
    error_type: str = ""  # the header Lambda-Runtime-Function-Error-Type


def error(status: int, error_type: str, message: str) -> bytes:
    """An error answer in the Runtime API's shape."""
    body = json.dumps({"errorType": error_type, "errorMessage": message}).encode()
    return b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        _REASONS[status],
        len(body),
        body,
    )
