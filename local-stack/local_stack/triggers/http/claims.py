"""What a JWT authorizer of HTTP API asks of a token whose signature is good. Pure.

Source: API Gateway developer guide, "Control access to HTTP APIs with JWT authorizers": iss, aud or
client_id (only where there is no aud), exp, nbf, and one of the route's scopes. Only algorithms
based on RSA are supported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
TOKEN_BYTES_MAX = 8 * 1024  # HTTP API's headers have 10,240 bytes in all
_BEARER = "bearer "


class TokenRefused(Exception):
    """The token is not good; the text is what `WWW-Authenticate` says about it."""

    @property
    def challenge(self) -> str:
        """The header of the 401."""
        return f'Bearer scope="" error="invalid_token" error_description="{self}"'


class TokenExpired(TokenRefused):
    """The token was good once."""


def bare_token(value: str) -> str:
    """The token of an identity source: alone, or after `Bearer`."""
    return value[len(_BEARER) :].strip() if value[: len(_BEARER)].lower() == _BEARER else value


def check_claims(
    claims: Mapping[str, Any], *, issuer: str, audience: Iterable[str], now: float
) -> None:
    """Raises `TokenRefused` unless the token is of `issuer`, for `audience`, and valid `now`."""
    if claims.get("iss") != issuer:
        msg = "the token does not have a valid issuer"
        raise TokenRefused(msg)
    given = claims["aud"] if "aud" in claims else claims.get("client_id")
    named = given if isinstance(given, list) else [given]
    wanted = set(audience)
    if not any(isinstance(name, str) and name in wanted for name in named):
        msg = "the token does not have a valid audience"
        raise TokenRefused(msg)
    expires, begins = claims.get("exp"), claims.get("nbf")
    if not isinstance(expires, int | float) or not isinstance(begins, int | float | None):
        msg = "the token does not say how long it is valid"
        raise TokenRefused(msg)
    if expires <= now:
        msg = "the token has expired"
        raise TokenExpired(msg)
    if begins is not None and begins > now:
        msg = "the token is not valid yet"
        raise TokenRefused(msg)


def granted_scopes(claims: Mapping[str, Any], wanted: Iterable[str]) -> list[str]:
    """Those of the route's scopes that the token has, in `scope` or in `scp`."""
    has: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name)
        if isinstance(value, str):
            has |= set(value.split())
        elif isinstance(value, list):
            has |= {scope for scope in value if isinstance(scope, str)}
    return [scope for scope in wanted if scope in has]


def as_texts(claims: Mapping[str, Any]) -> dict[str, str]:
    """The claims as functions see them: every value is a text, a list is `[a b]`."""
    return {name: _text(value) for name, value in claims.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return f"[{' '.join(_text(item) for item in value)}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_text(item)}' for key, item in value.items())}]"
    return "" if value is None else str(value)
