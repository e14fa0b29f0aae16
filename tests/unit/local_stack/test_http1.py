"""The HTTP/1.1 server of a host: what it reads, what it writes, and in which order."""

from __future__ import annotations

import pytest

from local_stack.http1 import (
    HttpResponse,
    render,
)
from tests.support.http1_server import Server, get, post, run

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


@pytest.mark.parametrize("keep", [True, False])
def test_header_names_are_kept_as_they_were_sent_on_demand(*, keep: bool) -> None:
    async def test(server: Server) -> None:
        server.http.keep_names = keep
        await server.exchange(get("/", b"X-Thing: One"), get("/", b"x-OTHER: Two"))

        names = [request.raw_names for request in server.requests]
        sent = [[b"host", b"X-Thing", b"connection"], [b"host", b"x-OTHER", b"connection"]]
        assert names[0] == (sent[0] if keep else None)
        assert all(name in ((sent[0], sent[1]) if keep else (None,)) for name in names)

    run(test)


def test_a_request_is_taken_apart() -> None:
    async def test(server: Server) -> None:
        await server.exchange(get("/a%20b?c=%20d&e", b"X-Thing: One", b"X-Thing: Two"))

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

    run(test)


def test_a_request_may_come_in_any_pieces() -> None:
    async def test(server: Server) -> None:
        data = post(b"0123456789")
        answer = await server.exchange(*(data[i : i + 1] for i in range(len(data))))

        assert answer.endswith(b"POST /p 10")
        assert server.requests[0].body == b"0123456789"

    run(test)


def test_a_chunked_body_is_put_together() -> None:
    async def test(server: Server) -> None:
        body = b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"
        await server.exchange(post(body, b"transfer-encoding: chunked"))

        assert server.requests[0].body == b"abcdefg"

    run(test)


def test_a_connection_serves_one_request_after_the_other() -> None:
    async def test(server: Server) -> None:
        answer = await server.exchange(get("/1", close=False), post(b"abc", close=False), get("/3"))

        bodies = [part for part in (b"GET /1 0", b"POST /p 3", b"GET /3 0") if part in answer]
        assert len(bodies) == 3
        assert answer.count(b"HTTP/1.1 200 OK") == 3
        assert answer.count(b"connection: close") == 1

    run(test)


def test_pipelined_requests_are_answered_in_order() -> None:
    async def test(server: Server) -> None:
        requests = [get(f"/{number}", close=False) for number in range(5)]

        answer = await server.exchange(b"".join(requests) + get("/5"))

        positions = [answer.index(f"GET /{number} 0".encode()) for number in range(6)]
        assert positions == sorted(positions)

    run(test)


def test_a_pipelined_request_waits_for_the_one_before() -> None:
    async def test(server: Server) -> None:
        server.go.clear()
        reader, writer = await server.connect()
        writer.write(get("/1", close=False) + get("/2", close=False))
        await server.arrived.wait()
        await server.turns()
        assert [request.path for request in server.requests] == ["/1"]

        server.go.set()
        assert b"GET /2 0" in await reader.readuntil(b"GET /2 0")
        writer.close()

    run(test)


@pytest.mark.parametrize("protocol", [b"HTTP/1.0", b"HTTP/1.1"])
def test_a_client_that_does_not_keep_the_connection_gets_it_closed(protocol: bytes) -> None:
    async def test(server: Server) -> None:
        request = b"GET / " + protocol + b"\r\nhost: a\r\n"
        request += b"connection: close\r\n\r\n" if protocol == b"HTTP/1.1" else b"\r\n"

        answer = await server.exchange(request)

        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close\r\n" in answer

    run(test)


def test_a_head_request_gets_no_body() -> None:
    async def test(server: Server) -> None:
        answer = await server.exchange(get().replace(b"GET", b"HEAD", 1))

        assert answer.endswith(b"content-length: 8\r\n\r\n")

    run(test)


def test_an_answer_without_content_does_not_disturb_the_next() -> None:
    async def test(server: Server) -> None:
        answer = await server.exchange(get("/nothing", close=False), get("/next"))

        assert answer.startswith(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n")

    run(test)


def test_a_client_that_waits_for_it_is_told_to_continue() -> None:
    async def test(server: Server) -> None:
        data = post(b"abc", b"expect: 100-continue")

        answer = await server.exchange(data[:-3], data[-3:])

        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")

    run(test)


def test_a_handler_that_raises_is_a_500_and_the_connection_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(server: Server) -> None:
        answer = await server.exchange(
            get("/broken", b"x-request-id: the-id", close=False), get("/fine")
        )

        assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert b"refused the-id" in answer
        assert answer.endswith(b"GET /fine 0")

    run(test)
    assert "GET /broken" in caplog.text
