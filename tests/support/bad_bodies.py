"""Bodies that a bet or a deposit must not have, each with the problem that it has to get.

They are bytes made of JSON text, because many of them are what no JSON library would write.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.support.betting import GAME
from tests.support.raw_http import request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Fixed ids, because cases are made before there is a database.
RICH = "e2e00000-0000-4000-8000-000000000001"
POOR = "e2e00000-0000-4000-8000-000000000002"
SUSPENDED = "e2e00000-0000-4000-8000-000000000003"
CLOSED = "e2e00000-0000-4000-8000-000000000004"
FULL = "e2e00000-0000-4000-8000-000000000005"
CLOSED_GAME = "e2e00000-0000-4000-8000-000000000011"
SETTLED_GAME = "e2e00000-0000-4000-8000-000000000012"
NOBODY = "e2e00000-0000-4000-8000-0000000000ff"
NIL = "00000000-0000-0000-0000-000000000000"

JSON: Mapping[str, str] = {"Content-Type": "application/json"}
BODY_BYTES_MAX = 65_536
SQL = "'; DROP TABLE bets; --"
BALL = "\U0001f3c0"


@dataclass(frozen=True, slots=True)
class Case:
    """A request and the problem that it has to get."""

    name: str
    status: int
    code: str
    data: bytes
    pointers: tuple[str, ...] = ()  # of `errors`, for validation_failed
    members: Mapping[str, object] = field(default_factory=dict)  # further ones of the problem


def text(value: str) -> str:
    """A JSON string."""
    return json.dumps(value)


BET = {
    "userId": text(RICH),
    "gameId": text(GAME),
    "amount": "10.50",
    "betType": text("win"),
    "odds": "1.85",
}


def bet(**changes: str | None) -> bytes:
    """A bet as text, with members changed, added, or (None) left out."""
    members = {**BET, **changes}
    pairs = (f'"{name}":{token}' for name, token in members.items() if token is not None)
    return ("{" + ",".join(pairs) + "}").encode()


def post_bet(body: bytes, headers: Mapping[str, str] = JSON) -> bytes:
    """The request that places a bet."""
    return request("POST", "/api/bet", dict(headers), body)


def post_deposit(body: bytes, user_id: str = RICH, headers: Mapping[str, str] = JSON) -> bytes:
    """The request that deposits money."""
    return request("POST", f"/api/wallets/{user_id}/deposits", dict(headers), body)


# What is not a number of a bet or a deposit.
NUMBERS = {
    "a string": text("10.50"),
    "true": "true",
    "null": "null",
    "a list": "[10.50]",
    "an object": '{"value":10.50}',
    "NaN": "NaN",
    "Infinity": "Infinity",
    "minus Infinity": "-Infinity",
    "1e400": "1e400",
    "1e999999999": "1e999999999",
    "1e1000000000000000000": "1e1000000000000000000",
    "minus 1e400": "-1e400",
    "zero": "0",
    "minus zero": "-0.0",
    "negative": "-10.50",
    "a cent below zero": "-0.01",
    "sixty thousand digits": "9" * 60_000,
    "sixty thousand decimals over the maximum": "999999999." + "1" * 60_000,
    "SQL": text(SQL),
}
NOT_TEXTS = {"a number": "7", "true": "true", "a list": '["win"]', "an object": "{}"}
# What is neither a UUID nor a type of bet.
TEXTS = {
    **NOT_TEXTS,
    "null": "null",
    "empty": text(""),
    "SQL": text(SQL),
    "a NUL": text("\0"),
    "a lone surrogate": r'"\ud800"',
}
NOT_UUIDS = {
    **TEXTS,
    "not a UUID": text("not-a-uuid"),
    "a UUID without dashes": text(RICH.replace("-", "")),
    "a UUID in braces": text("{" + RICH + "}"),
    "a UUID with a space": text(RICH + " "),
    "a UUID with a line break": text(RICH + "\n"),
    "a UUID in other digits": text(RICH.replace("0", "\u0660")),
}
NOT_BET_TYPES = {**TEXTS, "unknown": text("handicap"), "in capitals": text("WIN")}
AMOUNTS = {
    **NUMBERS,
    "rounded to nothing": "0.004",
    "a cent over the maximum": "100000.01",
    "rounded to a cent over the maximum": "100000.005",
}
ODDS = {
    **NUMBERS,
    "one": "1.00",
    "rounded to one": "1.004",
    "over the maximum": "1000",
    "rounded to over the maximum": "999.995",
}
DEPOSITS = {**NUMBERS, "rounded to nothing": "0.004", "over the maximum": "1000000.01"}
BET_VALUES = {
    **NOT_TEXTS,
    "101 characters": text("x" * 101),
    "101 emoji": text(BALL * 101),
    "text with a NUL": text("a\0b"),
    "text with a line break": text("a\nb"),
    "text with an escape": text("\x1b[2J"),
    "text with a C1 control": text("a\x85b"),
    "text with DEL": text("a\x7fb"),
    "text with a high surrogate alone": r'"a\ud83cb"',
    "text with a low surrogate alone": r'"\udfc0"',
    "text with surrogates the wrong way round": r'"\udfc0\ud83c"',
}
NOT_OBJECTS = {
    "empty body": b"",
    "blank body": b" \r\n",
    "not JSON": b"amount=10.50",
    "half of an object": bet()[:-1],
    "two objects": bet() + bet(),
    "single quotes": bet().replace(b'"', b"'"),
    "a comma too many": bet()[:-1] + b",}",
    "a list": b"[" + bet() + b"]",
    "a string": b'"win"',
    "a number": b"10.50",
    "a number of as many digits as a body may hold": b"1" * BODY_BYTES_MAX,
    "null": b"null",
    "true": b"true",
    "NaN alone": b"NaN",
    "not UTF-8": bet(betValue=text("?")).replace(b"?", b"\xff"),
    "UTF-16": bet().decode().encode("utf-16"),
    "a surrogate in UTF-8": bet(betValue=text("?")).replace(b"?", b"\xed\xa0\x80"),
    "a byte order mark": b"\xef\xbb\xbf" + bet(),
    "a NUL byte after it": bet() + b"\0",
    "a raw control character in a string": bet(betValue='"a\tb"'),
    "a number with a leading zero": bet(amount="010.50"),
    "a number without its first digit": bet(amount=".5"),
    "a hexadecimal number": bet(amount="0x10"),
    "nested ten thousand deep": b"[" * 10_000 + b"]" * 10_000,
    "a member nested thirty thousand deep": bet(betValue="[" * 30_000 + "]" * 30_000),
    "the same key twice": bet()[:-1] + b',"amount":1}',
    "the same key twice, once escaped": bet()[:-1] + rb',"\u0061mount":1}',
    "the same key twice in an inner object": bet(betValue='{"a":1,"a":2}'),
}
NOT_JSON_TYPES: Mapping[str, Mapping[str, str]] = {
    "no content type": {},
    "an empty content type": {"Content-Type": ""},
    "a form": {"Content-Type": "application/x-www-form-urlencoded"},
    "plain text": {"Content-Type": "text/plain"},
    "a problem": {"Content-Type": "application/problem+json"},
    "a type that only begins like JSON": {"Content-Type": "application/jsonp"},
}


def bet_cases() -> Iterator[Case]:
    """Every bet that is refused for what its body says."""
    for name, body in NOT_OBJECTS.items():
        yield Case(name, 400, "body_malformed", post_bet(body))
    for name, headers in NOT_JSON_TYPES.items():
        yield Case(name, 415, "content_type_unsupported", post_bet(bet(), headers))
    yield _invalid_bet("an empty object", b"{}", *BET)
    for name in BET:
        yield _invalid_bet(f"no {name}", bet(**{name: None}), name)
    for name in ("stake", "user_id", "currency", "replayed", "", "__proto__"):
        yield _invalid_bet(f"the unknown member {name!r}", bet(**{name: "1"}), name)
    yield _invalid_bet("a member with a pointer's characters", bet(**{"a/b~c": "1"}), "a~1b~0c")
    wrong = {"userId": "1", "amount": "0", "betType": "null", "odds": "1"}
    yield _invalid_bet("everything wrong at once", bet(**wrong), *wrong)
    for member, values in (
        ("userId", NOT_UUIDS),
        ("gameId", NOT_UUIDS),
        ("amount", AMOUNTS),
        ("betType", NOT_BET_TYPES),
        ("betValue", BET_VALUES),
        ("odds", ODDS),
    ):
        for name, value in values.items():
            yield _invalid_bet(f"{member}: {name}", bet(**{member: value}), member)
    yield from _refused_bets()
    at_limit = bet() + b" " * (BODY_BYTES_MAX - len(bet()))
    for name, body in (
        ("a byte over the limit", at_limit + b" "),
        ("a million-digit number", bet(amount="9" * 1_000_000)),
        ("a body of many megabytes", b"x" * 8_000_000),
    ):
        yield Case(name, 413, "payload_too_large", post_bet(body))


def deposit_cases() -> Iterator[Case]:
    """Every deposit that is refused for what its body says."""
    for name, value in DEPOSITS.items():
        yield _invalid_deposit(name, f'{{"amount":{value}}}', "amount")
    yield _invalid_deposit("an empty object", "{}", "amount")
    yield _invalid_deposit("a currency", '{"amount":1,"currency":"USD"}', "currency")
    yield _invalid_deposit("for SQL", '{"amount":1}', "userId", user_id="1'%20OR%20'1'='1")
    yield _deposit("a number", 400, "body_malformed", "1")
    html = {"Content-Type": "text/html"}
    yield _deposit("of another type", 415, "content_type_unsupported", "{}", headers=html)
    yield _deposit("to nobody", 404, "user_not_found", '{"amount":1}', user_id=NOBODY)
    yield _deposit("to a suspended user", 409, "user_not_active", '{"amount":1}', user_id=SUSPENDED)
    full = _deposit("to a full wallet", 409, "balance_limit_reached", '{"amount":0.01}', FULL)
    yield replace(full, members={"currentBalance": Decimal("999999999999.99")})


def _refused_bets() -> Iterator[Case]:
    """Bets that would be fine in another world."""
    for name, status, code, changes in (
        ("unknown user", 404, "user_not_found", {"userId": NOBODY}),
        ("unknown user and game", 404, "user_not_found", {"userId": NOBODY, "gameId": NOBODY}),
        ("unknown game", 404, "game_not_found", {"gameId": NOBODY}),
        ("a game for a user", 404, "user_not_found", {"userId": GAME}),
        ("the nil UUID", 404, "user_not_found", {"userId": NIL}),
        ("suspended user", 409, "user_not_active", {"userId": SUSPENDED}),
        ("closed account", 409, "user_not_active", {"userId": CLOSED}),
        ("closed game", 409, "game_not_open", {"gameId": CLOSED_GAME}),
        ("settled game", 409, "game_not_open", {"gameId": SETTLED_GAME}),
    ):
        body = bet(**{member: text(value) for member, value in changes.items()})
        yield Case(name, status, code, post_bet(body))
    balance = {"currentBalance": Decimal("10.49")}
    for name, more in (("too little money", "Real Madrid"), ("SQL and too little money", SQL)):
        body = bet(userId=text(POOR), betValue=text(more))
        yield Case(name, 409, "insufficient_funds", post_bet(body), (), balance)


def _invalid_bet(name: str, body: bytes, *members: str) -> Case:
    pointers = tuple(f"/{member}" for member in members)
    return Case(name, 422, "validation_failed", post_bet(body), pointers)


def _deposit(name: str, status: int, code: str, body: str, *args: Any, **kwargs: Any) -> Case:
    data = post_deposit(body.encode(), *args, **kwargs)
    return Case(f"deposit: {name}", status, code, data)


def _invalid_deposit(name: str, body: str, member: str, **options: Any) -> Case:
    case = _deposit(name, 422, "validation_failed", body, **options)
    return replace(case, pointers=(f"/{member}",))
