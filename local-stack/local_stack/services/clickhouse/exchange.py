"""The answering half of one request: heads, bodies, errors, and an end to a client's patience."""

from __future__ import annotations

import asyncio
import secrets
import string
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from local_stack.services.clickhouse.errors import ClickHouseError, Code
from local_stack.services.clickhouse.protocol import (
    DEFAULT_FORMAT,
    SERVER_NAME,
    TIMEZONE,
    content_type,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from local_stack.services.clickhouse.execution import Answer

    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_TAG_LETTERS = string.ascii_lowercase
_TAG_LENGTH = 16


class Exchange:
    """The answering half of one request."""

    def __init__(self, send: Send, idle_s: float) -> None:
        self._send = send
        self._idle_s = idle_s
        self._started = False
        self.query_id = ""
        self.tag = ""

    async def text(self, status: HTTPStatus, text: str) -> None:
        """A short answer that has nothing to do with a query."""
        body = text.encode()
        await self._head(status, {"content-type": "text/html; charset=UTF-8"}, length=len(body))
        await self.send(body, last=True)

    async def start(self, answer: Answer) -> None:
        """The head of a query's answer and as much of the body as there is."""
        fmt = answer.format
        headers = {
            "content-type": content_type(fmt or DEFAULT_FORMAT),
            "x-clickhouse-summary": answer.summary.header(),
            "x-clickhouse-timezone": TIMEZONE,
        }
        if fmt is not None:
            headers["x-clickhouse-format"] = fmt
        if answer.encoding is not None:
            headers["content-encoding"] = answer.encoding
            headers["vary"] = "accept-encoding"
        if not answer.complete:
            self.tag = "".join(secrets.choice(_TAG_LETTERS) for _ in range(_TAG_LENGTH))
            headers["x-clickhouse-exception-tag"] = self.tag
        length = len(answer.body) if answer.complete else None
        await self._head(HTTPStatus.OK, headers, length=length)
        await self.send(answer.body, last=answer.complete)

    async def fail(self, error: ClickHouseError, version: str) -> None:
        """An answer that says what was wrong."""
        if self._started:  # the connection is closed instead, which the client cannot miss
            return
        body = error.text(version).encode(errors="replace") + b"\n"
        headers = {
            "content-type": "text/plain; charset=UTF-8",
            "x-clickhouse-exception-code": str(error.code),
        }
        if error.code == Code.SOCKET_TIMEOUT:
            headers["connection"] = "close"  # the rest of the body may come at any time
        if error.code == Code.TOO_MANY_SIMULTANEOUS_QUERIES:
            headers["retry-after"] = "1"
        await self._head(error.status, headers, length=len(body))
        await self.send(body, last=True)

    async def send(self, data: bytes, *, last: bool) -> None:
        """More of the body. Raises TimeoutError when the client does not take it."""
        async with asyncio.timeout(self._idle_s):
            await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def _head(
        self, status: HTTPStatus, headers: Mapping[str, str], *, length: int | None
    ) -> None:
        # Head and body leave in one packet, as both are sent in one turn of the loop.
        self._started = True
        lines = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        lines.append((b"x-clickhouse-server-display-name", SERVER_NAME.encode()))
        if self.query_id:
            lines.append((b"x-clickhouse-query-id", self.query_id.encode()))
        if length is not None:
            lines.append((b"content-length", str(length).encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": lines})
