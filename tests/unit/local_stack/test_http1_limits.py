"""The HTTP/1.1 server of a host: its limits, and its manners when it stops."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from local_stack import clock
from local_stack.http1 import (
    HEADER_BYTES_MAX,
    IDLE_SECONDS,
    REQUEST_SECONDS,
    HttpServer,
)
from tests.support.http1_server import BODY_BYTES_MAX, TIMEOUT_S, Server, get, post, run

# --- limits ----------------------------------------------------------------------------------


def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_refused() -> None:
    async def test(server: Server) -> None:
        fits = await server.exchange(post(b"x" * BODY_BYTES_MAX))
        does_not = await server.exchange(post(b"x" * (BODY_BYTES_MAX + 1), b"x-request-id: the-id"))

        assert fits.startswith(b"HTTP/1.1 200 OK\r\n")
        assert does_not.startswith(b"HTTP/1.1 413 ")
        assert does_not.endswith(b"refused the-id")
        assert len(server.requests) == 1

    run(test)


def test_a_chunked_body_has_the_same_limit() -> None:
    async def test(server: Server) -> None:
        chunk = b"64\r\n" + b"x" * 100 + b"\r\n"

        answer = await server.exchange(post(chunk * 11, b"transfer-encoding: chunked"))

        assert answer.startswith(b"HTTP/1.1 413 ")
        assert server.requests == []

    run(test)


def test_headers_at_the_limit_are_taken_and_one_byte_more_is_refused() -> None:
    async def test(server: Server) -> None:
        counted = len("/") + len("hosta") + len("connectionclose") + len("x")
        value = b"y" * (HEADER_BYTES_MAX - counted)

        fits = await server.exchange(get("/", b"x: " + value))
        does_not = await server.exchange(get("/", b"x: " + value + b"y"))

        assert fits.startswith(b"HTTP/1.1 200 OK\r\n")
        assert does_not.startswith(b"HTTP/1.1 431 ")
        assert len(server.requests) == 1

    run(test)


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

    run(test)


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
        get("/", b"upgrade: websocket", b"connection: upgrade", close=False),
        post(b"abc", b"upgrade: h2c", b"connection: upgrade", close=False),
        b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_and_never_run(data: bytes) -> None:
    async def test(server: Server) -> None:
        answer = await server.exchange(data)

        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"connection: close\r\n" in answer
        assert server.requests == []

    run(test)


def test_a_request_that_is_not_whole_is_not_run() -> None:
    async def test(server: Server) -> None:
        _, writer = await server.connect()
        writer.write(post(b"abc")[:-1])
        await writer.drain()
        await server.turns()

        writer.close()
        await server.turns()

        assert server.requests == []

    run(test)


def test_a_client_that_goes_away_gives_up_its_request() -> None:
    async def test(server: Server) -> None:
        server.go.clear()
        _, writer = await server.connect()
        writer.write(get())
        await server.arrived.wait()
        [connection] = server.http.connections
        task = connection.task
        assert task is not None

        writer.close()
        await asyncio.wait([task])

        assert task.cancelled()
        assert not server.http.connections

    run(test)


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

    run(test)


def test_a_connection_that_idles_is_closed_in_time(now: list[float]) -> None:
    async def test(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(get(close=False))
        await reader.readuntil(b"GET / 0")
        [connection] = server.http.connections
        connection.check_age(now[0] + IDLE_SECONDS)
        assert server.http.connections

        connection.check_age(now[0] + IDLE_SECONDS + 0.1)

        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        assert not server.http.connections
        writer.close()

    run(test)


def test_a_request_that_is_being_answered_has_all_the_time(now: list[float]) -> None:
    async def test(server: Server) -> None:
        server.go.clear()
        reader, writer = await server.connect()
        writer.write(get(close=False))
        await server.arrived.wait()
        [connection] = server.http.connections

        connection.check_age(now[0] + 10_000)
        server.go.set()

        assert b"GET / 0" in await reader.readuntil(b"GET / 0")
        writer.close()

    run(test)


# --- stopping --------------------------------------------------------------------------------


def test_stopping_finishes_what_runs_and_takes_nothing_more() -> None:
    async def test(server: Server) -> None:
        server.go.clear()
        idle_reader, idle_writer = await server.connect()
        reader, writer = await server.connect()
        writer.write(get(close=False))
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

    run(test)


def test_stopping_does_not_wait_for_ever() -> None:
    async def test(server: Server) -> None:
        server.go.clear()
        reader, writer = await server.connect()
        writer.write(get(close=False))
        await server.arrived.wait()

        await server.http.stop(0.01)

        assert await reader.read() == b""
        writer.close()

    run(test)


def test_a_port_that_is_taken_is_an_error() -> None:
    async def test(server: Server) -> None:
        other = HttpServer(server._handle, body_bytes_max=1, refuse=server._refuse)

        with pytest.raises(OSError, match="in use"):
            await other.start(server.port)

    run(test)
