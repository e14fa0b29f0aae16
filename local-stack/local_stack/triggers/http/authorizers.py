"""Asks authorizers: fetches keys for tokens, invokes authorizer functions, remembers answers.

What a claim or a policy means is decided in `claims` and `policy`, which touch nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from local_stack import clock
from local_stack.errors import InvokeError
from local_stack.model import JwtAuthorizer, LambdaAuthorizer
from local_stack.triggers.http import claims as jwt_claims
from local_stack.triggers.http.claims import TokenExpired, TokenRefused
from local_stack.triggers.http.identity import (
    Identity,
    authorizer_event,
    identity_values,
    jwt_identity,
    lambda_identity,
    route_arn,
)
from local_stack.triggers.http.policy import Answer, MalformedAnswer, read_answer

if TYPE_CHECKING:
    from pathlib import Path

    from jwt.types import Options

    from local_stack.environments.invocation import Outcome
    from local_stack.invoke.invoker import Invoker
    from local_stack.triggers.http.call import Call
    from local_stack.triggers.http.routes import Match

_LOGGER = logging.getLogger(__name__)
HTTP_TIMEOUT_S = 10.0  # HTTP API quotas: authorizer response
REST_TIMEOUT_S = 29.0
TTL_S_MAX = 3600
ANSWERS_MAX = 1000  # remembered, of all authorizers
KEYS_AGE_S_MAX = 7200.0  # "API Gateway can cache the public key for two hours"
KEYS_AGAIN_S = 60.0  # a key id that is not known asks anew, no more often than this
KEYS_RETRY_S = 5.0  # and when they could not be read, this
KEYS_MAX = 100
KEYS_BYTES_MAX = 1024 * 1024
KEYS_TIMEOUT_S = 5.0
# What the claims have to say is for `claims`, in AWS's words.
_SIGNATURE_ONLY: Options = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
_KEY_UNKNOWN = "the token's key is not known"
_DISCOVERY_FAILED = "OIDC discovery endpoint communication error"


class Refused(Exception):
    """The request goes no further; `name` is the gateway error that answers it."""

    def __init__(self, name: str, challenge: str = "") -> None:
        super().__init__(name)
        self.name = name
        self.challenge = challenge


class Authorizers:
    """All authorizers of a host."""

    def __init__(self, invoker: Invoker, *, base: Path, wait_s: float) -> None:
        """`base` is the folder that key files are relative to."""
        self._invoker = invoker
        self._base = base
        self._wait_s = wait_s
        self._answers: OrderedDict[tuple[str, ...], tuple[float, Answer]] = OrderedDict()
        self._keys: dict[tuple[str, str | None], KeySet] = {}

    async def check(self, call: Call, match: Match) -> Identity:
        """Who calls, as the function will be told. Raises `Refused`."""
        authorizer = match.target.authorizer
        if isinstance(authorizer, JwtAuthorizer):
            return await self._check_token(authorizer, call, match)
        if isinstance(authorizer, LambdaAuthorizer):
            return await self._ask_function(authorizer, call, match)
        msg = f"{match.route.key} has no authorizer"
        raise TypeError(msg)

    # --- JSON web tokens ---------------------------------------------------------------------

    async def _check_token(self, authorizer: JwtAuthorizer, call: Call, match: Match) -> Identity:
        values = identity_values((authorizer.identity_source,), call, match)
        if values is None:
            raise Refused("unauthorized", "Bearer")
        keys = self._keys.get((authorizer.issuer, authorizer.jwks))
        if keys is None:
            keys = KeySet(authorizer, self._base)
            self._keys[authorizer.issuer, authorizer.jwks] = keys
        try:
            claims = await keys.verified(jwt_claims.bare_token(values[0]))
            jwt_claims.check_claims(
                claims,
                issuer=authorizer.issuer,
                audience=authorizer.audience,
                now=clock.epoch_ms() / 1000,
            )
        except TokenExpired as refusal:
            raise Refused("expired", refusal.challenge) from refusal
        except TokenRefused as refusal:
            raise Refused("unauthorized", refusal.challenge) from refusal
        wanted = match.route.scopes or authorizer.scopes
        granted = jwt_claims.granted_scopes(claims, wanted) if wanted else None
        if granted == []:
            raise Refused("forbidden")
        rest = match.target.api.kind == "rest"
        return jwt_identity(jwt_claims.as_texts(claims), granted, rest=rest)

    # --- functions ---------------------------------------------------------------------------

    async def _ask_function(
        self, authorizer: LambdaAuthorizer, call: Call, match: Match
    ) -> Identity:
        values = identity_values(authorizer.identity_sources, call, match)
        if values is None or (authorizer.kind == "TOKEN" and not _token_fits(authorizer, values)):
            raise Refused("unauthorized")
        started = clock.monotonic()
        key = (match.target.api.id, authorizer.name, *values)
        answer = self._remembered(key) if values and authorizer.ttl_s else None
        if answer is None:
            answer = await self._answer(authorizer, call, match, values)
            if values and authorizer.ttl_s:
                self._remember(key, answer, min(authorizer.ttl_s, TTL_S_MAX))
        verdict = answer.verdict(route_arn(call, match))
        if verdict != "allow":
            raise Refused("forbidden" if verdict == "deny" else "denied")
        rest = match.target.api.kind == "rest"
        latency_ms = round((clock.monotonic() - started) * 1000) if rest else None
        return lambda_identity(answer.context, answer.principal_id, latency_ms=latency_ms)

    async def _answer(
        self, authorizer: LambdaAuthorizer, call: Call, match: Match, values: tuple[str, ...]
    ) -> Answer:
        rest = match.target.api.kind == "rest"
        event = authorizer_event(authorizer, call, match, values)
        payload = json.dumps(event, separators=(",", ":")).encode()
        try:
            async with asyncio.timeout(REST_TIMEOUT_S if rest else HTTP_TIMEOUT_S):
                outcome = await self._invoker.invoke(
                    authorizer.function, payload, wait_s=self._wait_s
                )
            if outcome.function_error is None:
                return read_answer(outcome.payload, simple=authorizer.simple_responses, rest=rest)
        except (InvokeError, TimeoutError, MalformedAnswer) as problem:
            reason = str(problem) or "no answer in time"
            _LOGGER.warning("authorizer %s: %s", authorizer.name, reason)
            raise Refused("authorizer_failed") from problem
        # "Unauthorized" is how a REST API's authorizer says 401; every other error is its own.
        if rest and _error_message(outcome) == "Unauthorized":
            raise Refused("unauthorized")
        _LOGGER.warning("authorizer %s failed: %s", authorizer.name, _error_message(outcome))
        raise Refused("authorizer_failed")

    def _remembered(self, key: tuple[str, ...]) -> Answer | None:
        found = self._answers.get(key)
        if found is None:
            return None
        expires, answer = found
        if expires <= clock.monotonic():
            del self._answers[key]
            return None
        self._answers.move_to_end(key)
        return answer

    def _remember(self, key: tuple[str, ...], answer: Answer, ttl_s: float) -> None:
        self._answers[key] = (clock.monotonic() + ttl_s, answer)
        self._answers.move_to_end(key)
        while len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)


class KeySet:
    """The public keys of an issuer: read when first needed, from a file or over HTTP."""

    def __init__(self, authorizer: JwtAuthorizer, base: Path) -> None:
        self._issuer = authorizer.issuer
        self._source = authorizer.jwks
        self._base = base
        self._keys: dict[str, Any] = {}
        self._fresh_until = 0.0  # on the monotonic clock, as is:
        self._read_again_at = 0.0
        self._failed = False
        self._reading = asyncio.Lock()

    async def verified(self, token: str) -> dict[str, Any]:
        """The claims of a token that one of the keys signed. Raises `TokenRefused`."""
        # deferred: 90 ms, of hosts whose template has such an authorizer
        import jwt

        if len(token) > jwt_claims.TOKEN_BYTES_MAX:
            msg = "the token is too long"
            raise TokenRefused(msg)
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            msg = "the token is malformed"
            raise TokenRefused(msg) from error
        algorithm, key_id = str(header.get("alg")), header.get("kid")
        if algorithm not in jwt_claims.ALGORITHMS:
            msg = f"signing method {re.sub(r'[^A-Za-z0-9]', '', algorithm)} is invalid"
            raise TokenRefused(msg)
        if not isinstance(key_id, str):
            msg = "the token does not name its key"
            raise TokenRefused(msg)
        key = await self._key(key_id)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                options=_SIGNATURE_ONLY,
            )
        except jwt.PyJWTError as error:
            msg = "the token's signature is invalid"
            raise TokenRefused(msg) from error
        return claims

    async def _key(self, key_id: str) -> Any:
        async with self._reading:
            now = clock.monotonic()
            if now >= (self._fresh_until if key_id in self._keys else self._read_again_at):
                await self._read(now)
        if key_id not in self._keys:
            raise TokenRefused(_DISCOVERY_FAILED if self._failed else _KEY_UNKNOWN)
        return self._keys[key_id]

    async def _read(self, now: float) -> None:
        """Read the keys; those that are known stay when that fails."""
        try:
            self._keys = _public_keys(await self._document())
        except (OSError, ValueError, KeyError) as error:
            _LOGGER.warning("the keys of %s could not be read: %r", self._issuer, error)
            self._failed = True
            self._fresh_until = self._read_again_at = now + KEYS_RETRY_S
        else:
            self._failed = False
            self._fresh_until, self._read_again_at = now + KEYS_AGE_S_MAX, now + KEYS_AGAIN_S

    async def _document(self) -> Any:
        if self._source is None:
            address = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
            discovered = await _fetched(address)
            return await _fetched(str(discovered["jwks_uri"]))
        if urlsplit(self._source).scheme in ("http", "https"):
            return await _fetched(self._source)
        return _read_file(self._base / self._source.removeprefix("file://"))


async def _fetched(url: str) -> Any:
    """The JSON at `url`, of a bounded size. Raises ValueError, also when nothing answers."""
    import httpx  # deferred: 80 ms of every host's start, and few templates have such keys

    loopback = urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")
    body = bytearray()
    try:
        async with (
            httpx.AsyncClient(timeout=KEYS_TIMEOUT_S, trust_env=not loopback) as client,
            client.stream("GET", url, follow_redirects=True) as response,
        ):
            response.raise_for_status()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > KEYS_BYTES_MAX:
                    msg = f"{url} answers more than {KEYS_BYTES_MAX} bytes"
                    raise ValueError(msg)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        msg = f"{url}: {type(error).__name__} {error}"
        raise ValueError(msg) from error
    document = json.loads(bytes(body))
    if not isinstance(document, dict):
        msg = f"{url} answers no JSON object"
        raise ValueError(msg)  # noqa: TRY004 - what was read is wrong, not who calls
    return document


def _read_file(path: Path) -> Any:
    if path.stat().st_size > KEYS_BYTES_MAX:
        msg = f"{path} has more than {KEYS_BYTES_MAX} bytes"
        raise ValueError(msg)
    return json.loads(path.read_bytes())


def _public_keys(document: Any) -> dict[str, Any]:
    """The RSA keys of a key set (RFC 7517) by their ids. Raises ValueError."""
    # deferred: as in `verified`
    from jwt.algorithms import RSAAlgorithm
    from jwt.exceptions import InvalidKeyError

    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > KEYS_MAX:
        msg = f"a key set has a list of at most {KEYS_MAX} keys"
        raise ValueError(msg)
    found = {}
    for key in keys:
        if not isinstance(key, dict) or key.get("kty") != "RSA" or key.get("use", "sig") != "sig":
            continue
        try:
            found[str(key.get("kid"))] = RSAAlgorithm.from_jwk(
                {name: key[name] for name in ("kty", "n", "e") if name in key}
            )
        except InvalidKeyError as error:
            _LOGGER.warning("a key of the set is not used: %s", error)
    return found


def _token_fits(authorizer: LambdaAuthorizer, values: tuple[str, ...]) -> bool:
    pattern = authorizer.validation_pattern
    return bool(values) and (pattern is None or re.match(pattern, values[0]) is not None)


def _error_message(outcome: Outcome) -> str:
    try:
        return str(json.loads(outcome.payload)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return ""
