"""Every request that has to be refused, each with the problem that it has to get.

What is wrong with a body is in `bad_bodies`; this adds keys, queries, routes and HTTP itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

from tests.support.bad_bodies import (
    CLOSED_GAME,
    JSON,
    NOBODY,
    RICH,
    SQL,
    Case,
    bet,
    bet_cases,
    deposit_cases,
    post_bet,
    text,
)
from tests.support.raw_http import request

if TYPE_CHECKING:
    from collections.abc import Iterator

USED_KEY = "a-key-that-was-used"  # for the bet `bet()`
CURSOR = "A" * 32

# What a query parameter must not be, by the path that takes it.
QUERIES = {
    f"/api/bets/{RICH}": {
        "limit": ("0", "-1", "201", "1.5", "ten", "", "9" * 5_000, "1e2", "NaN", "5\0", SQL),
        "offset": ("-1", "100001", "x", "", SQL),
        "cursor": ("x", "", "AAAA", "_" * 32, "a" * 65, "\xe4", SQL),
    },
    "/api/analytics/bets": {
        "groupBy": ("week", "HOUR", "", SQL),
        "startDate": ("yesterday", "2026-13-01", "2026-02-30", "1900-01-01", "", "0", "\0", SQL),
        "endDate": ("9999-12-31", "2101-01-01T00:00:00Z", "-1", SQL),
    },
}
SPANS = {
    "startDate after endDate": "startDate=2026-02-02&endDate=2026-02-01",
    "more than a thousand hours": "groupBy=hour&startDate=2026-01-01&endDate=2026-12-31",
}
UNKNOWN_ROUTES = {
    "GET of a POST route": "/api/bet",
    "unknown route": "/api/nothing",
    "the root": "/",
    "a slash too many at the end": "/api/games/",
    "a slash too many in between": "/api//games",
    "a slash too many in front": "//api/games",
    "capitals": "/API/games",
    "a route without its parameter": "/api/bets/",
    "a segment too many": f"/api/bets/{RICH}/all",
    "out of the API": "/api/../_local_stack/status",
    "what hosts answer to the runtime only": "/_local_stack/metrics",
    "a page of the documentation": "/openapi.json",
}
# Of a path that has a POST route; the last is no method of HTTP.
WRONG_METHODS = ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW")
NOT_HTTP = {
    "not HTTP": b"GARBAGE\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no Host": b"GET /api/games HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /api/games HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a Host that is none": b"GET /api/games HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a method in small letters": request("get", "/api/games"),
    "a NUL in the path": request("GET", "/api/wallets/%00"),
    "half an escape in the path": request("GET", "/api/wallets/%4"),
    "a path that is not ASCII": request("GET", "/api/wallets/\xe4"),
    "a query that is not ASCII": request("GET", "/api/games?\xe4"),
    "a control character in a header": request("GET", "/api/games", {"X-Odd": "a\x01b"}),
    "a header name with a space": request("GET", "/api/games", {"X Odd": "1"}),
    "a length that is no number": request("POST", "/api/bet").replace(b": 0", b": many"),
    "a negative length": request("POST", "/api/bet").replace(b": 0", b": -1"),
    "two lengths": post_bet(bet(), {**JSON, "Content-Length": "1"}),
    "a length and chunks": post_bet(b"0\r\n\r\n", {**JSON, "Transfer-Encoding": "chunked"}),
    "chunks that are none": (
        b"POST /api/bet HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnot chunks\r\n"
    ),
}


def key_cases() -> Iterator[Case]:
    """Keys that are none, and keys that are another request's."""
    for name, key in (
        ("an empty key", ""),
        ("a key of 256 characters", "k" * 256),
        ("a key with a space", "my key"),
        ("a key with a tab", "my\tkey"),
        ("a key that is not ASCII", "caf\xe9"),
    ):
        yield _keyed(name, key, bet(), "/Idempotency-Key")
    yield _keyed("a wrong key and amount", "a b", bet(amount="0"), "/amount", "/Idempotency-Key")
    for name, body in (
        ("another amount", bet(amount="10.51")),
        ("a game that is closed", bet(gameId=text(CLOSED_GAME))),
        ("a betValue", bet(betValue=text("x"))),
        ("an amount nobody has", bet(amount="100000")),
    ):
        data = post_bet(body, {**JSON, "Idempotency-Key": USED_KEY})
        yield Case(f"a key reused with {name}", 422, "idempotency_key_reused", data)


def read_cases() -> Iterator[Case]:
    """Reads of nobody and nothing."""
    for path in ("bets", "wallets"):
        for name in ("nobody", quote(SQL), RICH[:-1], "%0A", "null"):
            yield _get(
                f"{path} of {name}", 422, "validation_failed", f"/api/{path}/{name}", "userId"
            )
        yield _get(f"{path} of nobody we know", 404, "user_not_found", f"/api/{path}/{NOBODY}")
    for path, parameters in QUERIES.items():
        for name, values in parameters.items():
            for value in values:
                target = f"{path}?{name}={quote(value, encoding='latin-1')}"
                title = f"{name}={value[:40]!r}"
                yield _get(title, 422, "validation_failed", target, name)
    bets = f"/api/bets/{RICH}"
    both = f"{bets}?cursor={CURSOR}&offset=1"
    yield _get("cursor and offset", 422, "validation_failed", both, "cursor")
    both = f"{bets}?limit=0&offset=-1"
    yield _get("limit and offset, both wrong", 422, "validation_failed", both, "limit", "offset")
    for name, query in SPANS.items():
        target = f"/api/analytics/bets?{query}"
        yield _get(name, 422, "validation_failed", target, "startDate")


def route_cases() -> Iterator[Case]:
    """Paths and methods that nobody serves."""
    for name, target in UNKNOWN_ROUTES.items():
        yield _get(name, 404, "route_not_found", target)
    for method in WRONG_METHODS:
        data = request(method, "/api/bet", dict(JSON), bet())
        yield Case(f"{method} of a POST route", 404, "route_not_found", data)
    for method, target in (
        ("POST", "/api/games"),
        ("DELETE", f"/api/wallets/{RICH}"),
        ("POST", "/api/bets"),
        ("CONNECT", "x:1"),
    ):
        data = request(method, target, dict(JSON), bet())
        yield Case(f"{method} {target}", 404, "route_not_found", data)


def http_cases() -> Iterator[Case]:
    """What is not, or not quite, HTTP; and what is too much of it."""
    for name, data in NOT_HTTP.items():
        yield Case(name, 400, "bad_request", data)
    head = b"POST /api/bet HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    chunk = b"9000\r\n" + b"x" * 0x9000 + b"\r\n"
    waits = head + b"Content-Length: 70000\r\nExpect: 100-continue\r\n\r\n"
    chunks = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 2 + b"0\r\n\r\n"
    many = {f"X-{number}": "x" * 1_000 for number in range(100)}
    some = {f"X-{number}": "x" * 1_000 for number in range(20)}
    for name, status, code, data in (
        ("chunks over the limit", 413, "payload_too_large", chunks),
        ("a body over the limit that waits to be asked for", 413, "payload_too_large", waits),
        ("a transfer encoding", 501, "not_implemented", head + b"Transfer-Encoding: gzip\r\n\r\n"),
        ("HTTP of the future", 505, "http_version_not_supported", b"GET / HTTP/9.9\r\n\r\n"),
        ("a long header", 431, "headers_too_large", request("GET", "/", {"X": "x" * 20_000})),
        ("too many headers", 431, "headers_too_large", request("GET", "/", many)),
        ("headers too long for a host", 431, "headers_too_large", request("GET", "/metrics", some)),
        ("a long address", 414, "uri_too_long", request("GET", "/?" + "x" * 20_000)),
    ):
        yield Case(name, status, code, data)


def with_key(case: Case) -> Case:
    """The same request with an Idempotency-Key, of which nothing may be kept."""
    head, separator, body = case.data.partition(b"\r\n\r\n")
    data = head + f"\r\nIdempotency-Key: {uuid4()}".encode() + separator + body
    return replace(case, name=f"{case.name}, with a key", data=data)


def _get(name: str, status: int, code: str, target: str, *members: str) -> Case:
    return Case(name, status, code, request("GET", target), tuple(f"/{name}" for name in members))


def _keyed(name: str, key: str, body: bytes, *pointers: str) -> Case:
    data = post_bet(body, {**JSON, "Idempotency-Key": key})
    return Case(name, 422, "validation_failed", data, pointers)


_POSTED = [*bet_cases(), *deposit_cases()]
CASES = [
    *_POSTED,
    *map(with_key, _POSTED),
    *key_cases(),
    *read_cases(),
    *route_cases(),
    *http_cases(),
]
