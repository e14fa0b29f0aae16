"""A small HTTP/1.1 server for the two ports of a host: one write an answer, nothing unbounded.

httptools parses, uvloop carries. It exists because the gateway is on the path of every bet: under
uvicorn an answer was two writes and a request several messages (docs/adr/0009). Nginx is in front,
so there is no TLS, no HTTP/2 and no upgrade here.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httptools
from typing_extensions import override

from local_stack import clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[["HttpRequest"], Awaitable["HttpResponse"]]

_LOGGER = logging.getLogger(__name__)
HEADER_BYTES_MAX = 16 * 1024  # HTTP API's own quota is 10,240 for request line and headers
CONNECTIONS_MAX = 2048
IDLE_SECONDS = 90.0  # longer than Nginx keeps its side, so that it is never us who close first
REQUEST_SECONDS = 30.0  # a request that is not whole by then is given up
SWEEP_SECONDS = 5.0
_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


@dataclass(slots=True)
class HttpRequest:
    """A request, whole; header names are lower-case, `path` and `query` still encoded."""

    method: str
    path: str
    query: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    protocol: str  # HTTP/1.1
    client_ip: str
    raw_names: list[bytes] | None = None  # as they were sent, if the server keeps them

    def header(self, name: bytes) -> str:
        """The first header of that (lower-case) name, or nothing."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return ""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What goes back; `content-length` is added when it is written."""

    status: int
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class HttpServer:
    """One listening port and its connections."""

    def __init__(
        self,
        handler: Handler,
        *,
        body_bytes_max: int,
        refuse: Callable[[int, str], HttpResponse],
        keep_names: bool = False,
    ) -> None:
        """`refuse` renders the server's own refusals (400, 408, 413, 431, 500, 503).

        It is told the status and the `X-Request-Id` that was read until then, or nothing.
        `keep_names`: requests carry their header names also as they were sent.
        """
        self.handler = handler
        self.body_bytes_max = body_bytes_max
        self.refuse = refuse
        self.keep_names = keep_names
        self.connections: set[_Connection] = set()
        self.stopping = False
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, port: int) -> None:
        """Listen on 127.0.0.1. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", port, backlog=1024
        )
        self._sweeper = loop.call_later(SWEEP_SECONDS, self._sweep)

    async def stop(self, grace_s: float) -> None:
        """Take no more requests; let running ones finish for `grace_s` at most."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self.connections):
            connection.close_if_idle()
        running = [c.task for c in self.connections if c.task is not None]
        if running:
            await asyncio.wait(running, timeout=grace_s)
        for connection in list(self.connections):
            connection.abort()

    def _sweep(self) -> None:
        now = clock.monotonic()
        for connection in list(self.connections):
            connection.check_age(now)
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)


class _Connection(asyncio.Protocol):
    """One client connection; requests on it are answered one after the other."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None
        # Pipelined requests, and whether the connection stays: at most what one read brought.
        self._waiting: list[tuple[HttpRequest, bool]] = []
        self._since = clock.monotonic()
        self._in_request = False
        self._client_ip = ""
        self._reset()

    # --- asyncio.Protocol ------------------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio.Transports in all but their class.
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._client_ip = str(peer[0]) if peer else "127.0.0.1"
        if len(self._server.connections) >= CONNECTIONS_MAX or self._server.stopping:
            self._refuse(503)
            return
        self._server.connections.add(self)

    @override
    def data_received(self, data: bytes) -> None:
        unfinished = self._headers if self._in_head else None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # refused when its headers were complete
        except httptools.HttpParserError:
            self._refuse(400)
        if self._in_head and self._headers is unfinished:
            self._unparsed += len(data)  # part of a header that may never end
            if self._unparsed > HEADER_BYTES_MAX:
                self._refuse(431)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.connections.discard(self)
        if self.task is not None:
            self.task.cancel()  # who waits for an environment gives up its place

    # --- httptools -------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._reset()
        self._in_request = True
        self._in_head = True
        self._since = clock.monotonic()

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._names is not None:
            self._names.append(name)
        name = name.lower()
        self._count_head(len(name) + len(value))
        self._headers.append((name, value))
        if name == b"expect" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._parser.should_upgrade():  # before it is complete, so that nothing is run
            self._refuse(400)

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > self._server.body_bytes_max:
            self._refuse(413)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        self._in_request = False
        if self._transport is None or self._transport.is_closing():
            return
        path, _, query = self._url.partition(b"?")
        request = HttpRequest(
            method=self._parser.get_method().decode("ascii"),
            path=path.decode("latin-1"),
            query=query.decode("latin-1"),
            headers=self._headers,
            body=self._body[0] if len(self._body) == 1 else b"".join(self._body),
            protocol=f"HTTP/{self._parser.get_http_version()}",
            client_ip=self._client_ip,
            raw_names=self._names,
        )
        keep_alive = self._parser.should_keep_alive()
        if self.task is not None:  # pipelined: answered in order, and nothing more is read
            self._waiting.append((request, keep_alive))
            self._transport.pause_reading()
            return
        self._start(request, keep_alive=keep_alive)

    # --- the server's side -----------------------------------------------------------------

    def check_age(self, now: float) -> None:
        """Close the connection if it idled, or kept us waiting for a request, too long."""
        age = now - self._since
        if self.task is not None:
            return
        if self._in_request and age > REQUEST_SECONDS:
            self._refuse(408)
        elif not self._in_request and age > IDLE_SECONDS and self._transport is not None:
            self._transport.abort()  # also one whose client does not read its answer

    def close_if_idle(self) -> None:
        """Close unless a request is being answered."""
        if self.task is None and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close whatever happens on it."""
        if self._transport is not None:
            self._transport.close()

    def _start(self, request: HttpRequest, *, keep_alive: bool) -> None:
        self.task = asyncio.get_running_loop().create_task(self._answer(request, keep_alive))

    async def _answer(self, request: HttpRequest, keep_alive: bool) -> None:
        try:
            response = await self._server.handler(request)
        except Exception:
            _LOGGER.exception("%s %s", request.method, request.path)
            response = self._server.refuse(500, request.header(b"x-request-id"))
        self.task = None
        if self._transport is None:
            return
        close = not keep_alive or self._server.stopping
        self._transport.write(render(response, head_only=request.method == "HEAD", close=close))
        self._since = clock.monotonic()
        if close:
            self._transport.close()
        elif self._waiting:
            request, keep_alive = self._waiting.pop(0)
            self._start(request, keep_alive=keep_alive)
            if not self._waiting:
                self._transport.resume_reading()

    def _count_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > HEADER_BYTES_MAX:
            self._refuse(431)

    def _refuse(self, status: int) -> None:
        if self._transport is not None and not self._transport.is_closing():
            given = next((v for name, v in self._headers if name == b"x-request-id"), b"")
            refusal = self._server.refuse(status, given.decode("latin-1"))
            self._transport.write(render(refusal, head_only=False, close=True))
            self._transport.close()

    def _reset(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._names: list[bytes] | None = [] if self._server.keep_names else None
        self._body: list[bytes] = []
        self._body_size = 0
        self._head_size = 0
        self._in_head = False
        self._unparsed = 0


def render(response: HttpResponse, *, head_only: bool, close: bool) -> bytes:
    """The whole answer as one piece: two writes would cost the client a delayed acknowledgement."""
    status = response.status
    parts = [STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
    for name, value in response.headers:
        parts += (name, b": ", value, b"\r\n")
    if close:
        parts.append(b"connection: close\r\n")
    if status in _WITHOUT_BODY:
        parts.append(b"\r\n")
        return b"".join(parts)
    parts.append(b"content-length: %d\r\n\r\n" % len(response.body))
    if not head_only:
        parts.append(response.body)
    return b"".join(parts)
