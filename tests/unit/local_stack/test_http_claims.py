"""What a JWT authorizer asks of a token whose signature is good."""

from __future__ import annotations

from typing import Any

import pytest

from local_stack.triggers.http.claims import (
    TokenExpired,
    TokenRefused,
    as_texts,
    bare_token,
    check_claims,
    granted_scopes,
)

NOW = 1_000.0
GOOD = {"iss": "https://issuer", "aud": "shop", "exp": 1_001}


def _check(**changes: Any) -> None:
    claims = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    check_claims(claims, issuer="https://issuer", audience=("shop", "app"), now=NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["other", "app"]},
        {"aud": ..., "client_id": "app"},
        {"nbf": 1_000},
        {"nbf": 999.5},
        {"exp": 1_000.1},
    ],
)
def test_a_good_token_passes(changes: dict[str, Any]) -> None:
    _check(**changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://issuer/"}, "issuer"),
        ({"iss": ...}, "issuer"),
        ({"aud": "other"}, "audience"),
        ({"aud": ["other"]}, "audience"),
        ({"aud": ...}, "audience"),
        ({"aud": None, "client_id": "app"}, "audience"),  # there is an aud, so client_id is nothing
        ({"aud": [["shop"]]}, "audience"),
        ({"exp": 1_000}, "expired"),
        ({"exp": "soon"}, "how long"),
        ({"exp": ...}, "how long"),
        ({"nbf": 1_001}, "not valid yet"),
        ({"nbf": "later"}, "how long"),
    ],
)
def test_a_token_that_is_not_good_says_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(TokenRefused, match=reason):
        _check(**changes)


def test_a_token_that_was_good_once_is_told_apart() -> None:
    with pytest.raises(TokenExpired) as refusal:
        _check(exp=1)

    assert refusal.value.challenge == (
        'Bearer scope="" error="invalid_token" error_description="the token has expired"'
    )


@pytest.mark.parametrize(
    ("value", "token"), [("Bearer a.b.c", "a.b.c"), ("bearer  a", "a"), ("a.b.c", "a.b.c")]
)
def test_a_token_stands_alone_or_after_bearer(value: str, token: str) -> None:
    assert bare_token(value) == token


@pytest.mark.parametrize(
    ("claims", "granted"),
    [
        ({"scope": "a b c"}, ["b"]),
        ({"scp": ["b", 1], "scope": "d"}, ["b", "d"]),
        ({"scope": "bb"}, []),
        ({"scope": {"b": 1}}, []),
        ({}, []),
    ],
)
def test_scopes_are_those_of_the_route_that_the_token_has(
    claims: dict[str, Any], granted: list[str]
) -> None:
    assert granted_scopes(claims, ("b", "d")) == granted


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        (12, "12"),
        (1.5, "1.5"),
        (1_787_992_402.0, "1787992402"),
        (True, "true"),
        (["a", "b", 1], "[a b 1]"),
        ({"a": 1, "b": ["c"]}, "map[a:1 b:[c]]"),
        (None, ""),
    ],
)
def test_every_claim_is_a_text(value: Any, text: str) -> None:
    assert as_texts({"claim": value}) == {"claim": text}
