"""HTTP as bytes, for requests that no client library would send."""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import dataclass
from decimal import Decimal
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from email.message import Message

TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What came back for one request."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        """The body, its numbers as Decimals with the digits that were sent."""
        return json.loads(self.body, parse_float=Decimal)


def request(
    method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> bytes:
    """A request as it goes over the wire, with the headers that HTTP/1.1 asks for."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def exchange(port: int, data: bytes) -> RawAnswer:
    """Send these bytes on a connection of their own, and read one answer.

    A server may answer and hang up before it has read everything; that is not an error here.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has heard enough
            connection.sendall(data)
        response = HTTPResponse(connection)
        try:
            response.begin()
            return RawAnswer(response.status, response.headers, response.read())
        finally:
            response.close()
