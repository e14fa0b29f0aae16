"""An HTTP/1.1 server that tells what it was asked, and clients that speak bytes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from local_stack.http1 import HttpRequest, HttpResponse, HttpServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

BODY_BYTES_MAX = 1000
TIMEOUT_S = 10.0


class Server:
    """A server that tells what it was asked, and clients that speak bytes."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self.arrived = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()
        self.http = HttpServer(self._handle, body_bytes_max=BODY_BYTES_MAX, refuse=self._refuse)
        self.port = 0

    async def start(self) -> None:
        await self.http.start(0)
        assert self.http._server is not None
        self.port = self.http._server.sockets[0].getsockname()[1]

    async def _handle(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        self.arrived.set()
        await self.go.wait()
        if request.path == "/broken":
            raise ValueError("broken")
        if request.path == "/nothing":
            return HttpResponse(204)
        body = f"{request.method} {request.path} {len(request.body)}".encode()
        return HttpResponse(200, [(b"x-a", b"b")], body)

    @staticmethod
    def _refuse(status: int, request_id: str) -> HttpResponse:
        return HttpResponse(status, [], f"refused {request_id}".encode())

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def exchange(self, *pieces: bytes) -> bytes:
        """Send pieces, each once the one before has been read, and return all that comes back."""
        reader, writer = await self.connect()
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await self.turns()
        async with asyncio.timeout(TIMEOUT_S):
            answer = await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return answer

    @staticmethod
    async def turns() -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    try:
        yield server
    finally:
        server.go.set()
        await server.http.stop(TIMEOUT_S)
        await server.turns()


def run(test: Callable[[Server], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(TIMEOUT_S), running() as server:
            await test(server)

    asyncio.run(main())


def get(path: str = "/", *headers: bytes, close: bool = True) -> bytes:
    lines = [f"GET {path} HTTP/1.1".encode(), b"host: a", *headers]
    if close:
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", b""])


def post(body: bytes, *headers: bytes, close: bool = True) -> bytes:
    lines = [b"POST /p HTTP/1.1", b"host: a", *headers]
    if not any(header.startswith(b"transfer-encoding") for header in headers):
        lines.append(b"content-length: %d" % len(body))
    if close:
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", body])
