"""The HTTP/1.1 server of a host: framing, limits, order, and manners when it stops."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from local_stack import clock
from local_stack.http1 import (
    HEADER_BYTES_MAX,
    IDLE_SECONDS,
    REQUEST_SECONDS,
    HttpRequest,
    HttpResponse,
    HttpServer,
    render,
)

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
async def _running() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    try:
        yield server
    finally:
        server.go.set()
        await server.http.stop(TIMEOUT_S)
        await server.turns()


def _run(test: Callable[[Server], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(TIMEOUT_S), _running() as server:
            await test(server)

    asyncio.run(main())


def _get(path: str = "/", *headers: bytes, close: bool = True) -> bytes:
    lines = [f"GET {path} HTTP/1.1".encode(), b"host: a", *headers]
    if close:
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", b""])


def _post(body: bytes, *headers: bytes, close: bool = True) -> bytes:
    lines = [b"POST /p HTTP/1.1", b"host: a", *headers]
    if not any(header.startswith(b"transfer-encoding") for header in headers):
        lines.append(b"content-length: %d" % len(body))
    if close:
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", body])


# --- rendering -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "head_only", "close", "expected"),
    [
        (
            HttpResponse(200, [(b"a", b"b")], b"xyz"),
            False,
            False,
            b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 3\r\n\r\nxyz",
        ),
        (
            HttpResponse(200, [], b"xyz"),
            True,
            True,
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\n",
        ),
        (HttpResponse(204, [], b"xyz"), False, False, b"HTTP/1.1 204 No Content\r\n\r\n"),
        (HttpResponse(304, [], b"xyz"), False, False, b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        (HttpResponse(299), False, False, b"HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n"),
        (
            HttpResponse(429),
            False,
            False,
            b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
        ),
    ],
)
def test_an_answer_is_one_piece(
    response: HttpResponse, expected: bytes, *, head_only: bool, close: bool
) -> None:
    assert render(response, head_only=head_only, close=close) == expected


# --- requests --------------------------------------------------------------------------------


def test_a_request_is_taken_apart() -> None:
    async def test(server: Server) -> None:
        await server.exchange(_get("/a%20b?c=%20d&e", b"X-Thing: One", b"X-Thing: Two"))

        [request] = server.requests
        assert (request.method, request.path, request.query) == ("GET", "/a%20b", "c=%20d&e")
        assert request.headers == [
            (b"host", b"a"),
            (b"x-thing", b"One"),
            (b"x-thing", b"Two"),
            (b"connection", b"close"),
        ]
        assert request.header(b"x-thing") == "One"
        assert request.header(b"x-other") == ""
        assert (request.body, request.protocol, request.client_ip) == (b"", "HTTP/1.1", "127.0.0.1")

    _run(test)


def test_a_request_may_come_in_any_pieces() -> None:
    async def test(server: Server) -> None:
        data = _post(b"0123456789")
        answer = await server.exchange(*(data[i : i + 1] for i in range(len(data))))

        assert answer.endswith(b"POST /p 10")
        assert server.requests[0].body == b"0123456789"

    _run(test)


def test_a_chunked_body_is_put_together() -> None:
    async def test(server: Server) -> None:
        body = b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"
        await server.exchange(_post(body, b"transfer-encoding: chunked"))

        assert server.requests[0].body == b"abcdefg"

    _run(test)


def test_a_connection_serves_one_request_after_the_other() -> None:
    async def test(server: Server) -> None:
        answer = await server.exchange(
            _get("/1", close=False), _post(b"abc", close=False), _get("/3")
        )

        bodies = [part for part in (b"GET /1 0", b"POST /p 3", b"GET /3 0") if part in answer]
        assert len(bodies) == 3
        assert answer.count(b"HTTP/1.1 200 OK") == 3
        assert answer.count(b"connection: close") == 1

    _run(test)


def test_pipelined_requests_are_answered_in_order() -> None:
    async def test(server: Server) -> None:
        requests = [_get(f"/{number}", close=False) for number in range(5)]

        answer = await server.exchange(b"".join(requests) + _get("/5"))

        positions = [answer.index(f"GET /{number} 0".encode()) for number in range(6)]
        assert positions == sorted(positions)

    _run(test)


def test_a_pipelined_request_waits_for_the_one_before() -> None:
    async def test(server: Server) -> None:
        server.go.clear()
        reader, writer = await server.connect()
        writer.write(_get("/1", close=False) + _get("/2", close=False))
        await server.arrived.wait()
        await server.turns()
        assert [request.path for request in server.requests] == ["/1"]

        server.go.set()
        assert b"GET /2 0" in await reader.readuntil(b"GET /2 0")
        writer.close()

    _run(test)


@pytest.mark.parametrize("protocol", [b"HTTP/1.0", b"HTTP/1.1"])
def test_a_client_that_does_not_keep_the_connection_gets_it_closed(protocol: bytes) -> None:
    async def test(server: Server) -> None:
        request = b"GET / " + protocol + b"\r\nhost: a\r\n"
        request += b"connection: close\r\n\r\n" if protocol == b"HTTP/1.1" else b"\r\n"

        answer = await server.exchange(request)

        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close\r\n" in answer

    _run(test)


def test_a_head_request_gets_no_body() -> None:
    async def test(server: Server) -> None:
        answer = await server.exchange(_get().replace(b"GET", b"HEAD", 1))

        assert answer.endswith(b"content-length: 8\r\n\r\n")

    _run(test)


def test_an_answer_without_content_does_not_disturb_the_next() -> None:
    async def test(server: Server) -> None:
        answer = await server.exchange(_get("/nothing", close=False), _get("/next"))

        assert answer.startswith(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n")

    _run(test)


def test_a_client_that_waits_for_it_is_told_to_continue() -> None:
    async def test(server: Server) -> None:
        data = _post(b"abc", b"expect: 100-continue")

        answer = await server.exchange(data[:-3], data[-3:])

        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")

    _run(test)


def test_a_handler_that_raises_is_a_500_and_the_connection_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(server: Server) -> None:
        answer = await server.exchange(
            _get("/broken", b"x-request-id: the-id", close=False), _get("/fine")
        )

        assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert b"refused the-id" in answer
        assert answer.endswith(b"GET /fine 0")

    _run(test)
    assert "GET /broken" in caplog.text


# --- limits ----------------------------------------------------------------------------------


def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_refused() -> None:
    async def test(server: Server) -> None:
        fits = await server.exchange(_post(b"x" * BODY_BYTES_MAX))
        does_not = await server.exchange(
            _post(b"x" * (BODY_BYTES_MAX + 1), b"x-request-id: the-id")
        )

        assert fits.startswith(b"HTTP/1.1 200 OK\r\n")
        assert does_not.startswith(b"HTTP/1.1 413 ")
        assert does_not.endswith(b"refused the-id")
        assert len(server.requests) == 1

    _run(test)


def test_a_chunked_body_has_the_same_limit() -> None:
    async def test(server: Server) -> None:
        chunk = b"64\r\n" + b"x" * 100 + b"\r\n"

        answer = await server.exchange(_post(chunk * 11, b"transfer-encoding: chunked"))

        assert answer.startswith(b"HTTP/1.1 413 ")
        assert server.requests == []

    _run(test)


def test_headers_at_the_limit_are_taken_and_one_byte_more_is_refused() -> None:
    async def test(server: Server) -> None:
        counted = len("/") + len("hosta") + len("connectionclose") + len("x")
        value = b"y" * (HEADER_BYTES_MAX - counted)

        fits = await server.exchange(_get("/", b"x: " + value))
        does_not = await server.exchange(_get("/", b"x: " + value + b"y"))

        assert fits.startswith(b"HTTP/1.1 200 OK\r\n")
        assert does_not.startswith(b"HTTP/1.1 431 ")
        assert len(server.requests) == 1

    _run(test)


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nx: ", b"GET /"])
def test_a_head_that_never_ends_is_refused_when_it_is_too_long(start: bytes) -> None:
    async def test(server: Server) -> None:
        reader, writer = await server.connect()
        status = asyncio.create_task(reader.readline())
        writer.write(start)
        sent = 0
        while not status.done():
            writer.write(b"y" * 1024)
            sent += 1024
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            await server.turns()

        assert (await status).startswith(b"HTTP/1.1 431 ")
        assert HEADER_BYTES_MAX - 1024 < sent <= HEADER_BYTES_MAX + 4096
        writer.close()

    _run(test)


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00",  # somebody speaks TLS
        _get("/", b"upgrade: websocket", b"connection: upgrade", close=False),
        _post(b"abc", b"upgrade: h2c", b"connection: upgrade", close=False),
        b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_and_never_run(data: bytes) -> None:
    async def test(server: Server) -> None:
        answer = await server.exchange(data)

        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"connection: close\r\n" in answer
        assert server.requests == []

    _run(test)


def test_a_request_that_is_not_whole_is_not_run() -> None:
    async def test(server: Server) -> None:
        _, writer = await server.connect()
        writer.write(_post(b"abc")[:-1])
        await writer.drain()
        await server.turns()

        writer.close()
        await server.turns()

        assert server.requests == []

    _run(test)


def test_a_client_that_goes_away_gives_up_its_request() -> None:
    async def test(server: Server) -> None:
        server.go.clear()
        _, writer = await server.connect()
        writer.write(_get())
        await server.arrived.wait()
        [connection] = server.http.connections
        task = connection.task
        assert task is not None

        writer.close()
        await asyncio.wait([task])

        assert task.cancelled()
        assert not server.http.connections

    _run(test)


# --- age -------------------------------------------------------------------------------------


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the runtime's clock, in a list of one."""
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    return now


def test_a_request_that_dribbles_in_is_given_up_in_time(now: list[float]) -> None:
    async def test(server: Server) -> None:
        reader, writer = await server.connect()
        for piece in (b"GE", b"T ", b"/a", b"b "):
            writer.write(piece)
            await writer.drain()
            await server.turns()
            now[0] += REQUEST_SECONDS / 4
        [connection] = server.http.connections
        connection.check_age(now[0])
        assert not reader.at_eof()

        connection.check_age(now[0] + 0.1)

        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()

    _run(test)


def test_a_connection_that_idles_is_closed_in_time(now: list[float]) -> None:
    async def test(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(_get(close=False))
        await reader.readuntil(b"GET / 0")
        [connection] = server.http.connections
        connection.check_age(now[0] + IDLE_SECONDS)
        assert server.http.connections

        connection.check_age(now[0] + IDLE_SECONDS + 0.1)

        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        assert not server.http.connections
        writer.close()

    _run(test)


def test_a_request_that_is_being_answered_has_all_the_time(now: list[float]) -> None:
    async def test(server: Server) -> None:
        server.go.clear()
        reader, writer = await server.connect()
        writer.write(_get(close=False))
        await server.arrived.wait()
        [connection] = server.http.connections

        connection.check_age(now[0] + 10_000)
        server.go.set()

        assert b"GET / 0" in await reader.readuntil(b"GET / 0")
        writer.close()

    _run(test)


# --- stopping --------------------------------------------------------------------------------


def test_stopping_finishes_what_runs_and_takes_nothing_more() -> None:
    async def test(server: Server) -> None:
        server.go.clear()
        idle_reader, idle_writer = await server.connect()
        reader, writer = await server.connect()
        writer.write(_get(close=False))
        await server.arrived.wait()

        stopping = asyncio.create_task(server.http.stop(TIMEOUT_S))
        await server.turns()
        assert await idle_reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await server.connect()
        server.go.set()
        await stopping

        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close\r\n" in answer
        writer.close()
        idle_writer.close()

    _run(test)


def test_stopping_does_not_wait_for_ever() -> None:
    async def test(server: Server) -> None:
        server.go.clear()
        reader, writer = await server.connect()
        writer.write(_get(close=False))
        await server.arrived.wait()

        await server.http.stop(0.01)

        assert await reader.read() == b""
        writer.close()

    _run(test)


def test_a_port_that_is_taken_is_an_error() -> None:
    async def test(server: Server) -> None:
        other = HttpServer(server._handle, body_bytes_max=1, refuse=server._refuse)

        with pytest.raises(OSError, match="in use"):
            await other.start(server.port)

    _run(test)
