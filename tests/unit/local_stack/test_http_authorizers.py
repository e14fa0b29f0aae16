"""Authorizers: keys that are read, answers that are remembered, and for how long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from local_stack.errors import Throttled
from local_stack.model import Api, JwtAuthorizer, LambdaAuthorizer, Route
from local_stack.triggers.http import authorizers as module
from local_stack.triggers.http.authorizers import ANSWERS_MAX, Authorizers, KeySet, Refused
from local_stack.triggers.http.claims import TOKEN_BYTES_MAX, TokenRefused
from tests.fakes.http_invoker import FakeInvoker
from tests.support.http_calls import a_call, a_match, a_request
from tests.support.issuer import a_token, key_set, running_issuer
from tests.support.virtual_time import VirtualTimeLoop, virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local_stack.invoke.invoker import Invoker
    from local_stack.triggers.http.identity import Identity

ISSUER = "https://issuer.example.com"


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualTimeLoop]:
    with virtual_time(monkeypatch) as loop:
        yield loop


# --- keys ------------------------------------------------------------------------------------


class Keys:
    """A key set in a file, and a set that reads it."""

    def __init__(self, loop: VirtualTimeLoop, folder: Path) -> None:
        self.loop = loop
        self.path = folder / "keys.json"
        self.write(key_set("key-0"))
        self.keys = KeySet(JwtAuthorizer("A", ISSUER, ("shop",), jwks="keys.json"), folder)

    def write(self, document: Any) -> None:
        self.path.write_text(json.dumps(document))

    def verified(self, **token: Any) -> dict[str, Any]:
        return self.loop.run(self.keys.verified(a_token(ISSUER, **token)))

    def refusal(self, **token: Any) -> str:
        with pytest.raises(TokenRefused) as refusal:
            self.verified(**token)
        return str(refusal.value)


@pytest.fixture
def keys(loop: VirtualTimeLoop, tmp_path: Path) -> Keys:
    return Keys(loop, tmp_path)


def test_a_token_is_verified_with_a_key_from_a_file(keys: Keys) -> None:
    assert keys.verified(exp=1)["sub"] == "user-7"  # how long it is valid is not asked here


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256"])
def test_every_algorithm_based_on_rsa_is_taken(keys: Keys, algorithm: str) -> None:
    assert keys.verified(algorithm=algorithm)["iss"] == ISSUER


def test_a_token_without_a_signature_is_refused(keys: Keys) -> None:
    assert keys.refusal(algorithm="none") == "signing method none is invalid"


def test_a_token_as_long_as_is_allowed_is_read_and_one_past_it_is_not(keys: Keys) -> None:
    with pytest.raises(TokenRefused, match="malformed"):
        keys.loop.run(keys.keys.verified("x" * TOKEN_BYTES_MAX))
    with pytest.raises(TokenRefused, match="too long"):
        keys.loop.run(keys.keys.verified("x" * (TOKEN_BYTES_MAX + 1)))


def test_keys_are_read_again_for_an_id_that_is_not_known_but_seldom(keys: Keys) -> None:
    keys.verified()
    keys.write(key_set("key-0", "key-1"))

    assert keys.refusal(key_id="key-1", number=1) == "the token's key is not known"
    keys.loop.advance(module.KEYS_AGAIN_S)
    assert keys.verified(key_id="key-1", number=1)["sub"] == "user-7"


def test_a_key_that_was_taken_back_is_forgotten_after_two_hours(keys: Keys) -> None:
    keys.verified()
    keys.write(key_set("key-9"))

    keys.loop.advance(module.KEYS_AGE_S_MAX - 1)
    keys.verified()
    keys.loop.advance(1)
    assert keys.refusal() == "the token's key is not known"


def test_keys_stay_when_they_cannot_be_read_anew(keys: Keys) -> None:
    keys.verified()
    keys.path.unlink()

    keys.loop.advance(module.KEYS_AGE_S_MAX)
    assert keys.verified()["sub"] == "user-7"


def test_keys_that_cannot_be_read_are_asked_for_again_soon(keys: Keys) -> None:
    keys.path.unlink()
    assert keys.refusal() == "OIDC discovery endpoint communication error"
    keys.write(key_set("key-0"))

    assert keys.refusal() == "OIDC discovery endpoint communication error"
    keys.loop.advance(module.KEYS_RETRY_S)
    assert keys.verified()["sub"] == "user-7"


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"keys": 1},
        {"keys": [{}] * (module.KEYS_MAX + 1)},
        {"keys": [None, {"kty": "EC"}, {"kty": "RSA"}, {"kty": "RSA", "kid": "key-0", "n": "!"}]},
        {"keys": [{**key_set("key-0")["keys"][0], "use": "enc"}]},
    ],
)
def test_what_is_no_set_of_rsa_keys_verifies_nothing(keys: Keys, document: Any) -> None:
    keys.write(document)

    assert keys.refusal()


def test_a_file_that_is_too_large_is_not_read(keys: Keys) -> None:
    keys.path.write_bytes(b" " * (module.KEYS_BYTES_MAX + 1))

    assert keys.refusal() == "OIDC discovery endpoint communication error"


def test_keys_are_found_through_the_issuer_or_by_their_own_address() -> None:
    with running_issuer() as issuer:
        for jwks in (None, f"{issuer.url}/keys"):
            keys = KeySet(JwtAuthorizer("A", issuer.url, ("shop",), jwks=jwks), Path())
            loop = VirtualTimeLoop()
            try:
                claims = loop.run(keys.verified(a_token(issuer.url)))
            finally:
                loop.close()
            assert claims["iss"] == issuer.url

    assert issuer.asked == ["/.well-known/openid-configuration", "/keys", "/keys"]


# --- answers of functions --------------------------------------------------------------------


class World:
    """One authorizer in front of one route."""

    def __init__(self, loop: VirtualTimeLoop, authorizer: LambdaAuthorizer, api: Api) -> None:
        self.loop = loop
        self.invoker = FakeInvoker()
        self.api = Api(api.id, api.kind, api.stage, authorizers={"A": authorizer})
        self.authorizers = Authorizers(cast("Invoker", self.invoker), base=Path(), wait_s=1.0)

    def check(self, token: str = "good") -> Identity:
        return self.loop.run(self.checking(token))

    def refusal(self, token: str = "good") -> str:
        with pytest.raises(Refused) as refusal:
            self.check(token)
        return refusal.value.name

    async def checking(self, token: str) -> Identity:
        call = a_call(a_request(path="/a", headers=[("x-token", token)]))
        route = Route("GET", "/{proxy+}", authorizer="A")
        return await self.authorizers.check(call, a_match(route, self.api, call))


def _simple(**fields: Any) -> LambdaAuthorizer:
    values: dict[str, Any] = {
        "simple_responses": True,
        "identity_sources": ("$request.header.x-token",),
        "ttl_s": 60,
    }
    return LambdaAuthorizer("A", "Asks", **{**values, **fields})


@pytest.fixture
def world(loop: VirtualTimeLoop) -> Callable[..., World]:
    def make(authorizer: LambdaAuthorizer, kind: str = "http") -> World:
        api = Api("Shop") if kind == "http" else Api("Shop", "rest", "prod")
        world = World(loop, authorizer, api)
        world.invoker.answers["Asks"] = {"isAuthorized": True}
        return world

    return make


def test_an_answer_is_kept_as_long_as_the_authorizer_says(world: Callable[..., World]) -> None:
    there = world(_simple(ttl_s=60))

    there.check()
    there.loop.advance(59)
    there.check()
    assert len(there.invoker.events) == 1
    there.loop.advance(1)
    there.check()
    assert len(there.invoker.events) == 2


def test_no_answer_is_kept_for_more_than_an_hour(world: Callable[..., World]) -> None:
    there = world(_simple(ttl_s=10_000))

    there.check()
    there.loop.advance(3600)
    there.check()

    assert len(there.invoker.events) == 2


@pytest.mark.parametrize("fields", [{"ttl_s": 0}, {"identity_sources": ()}])
def test_without_a_time_or_an_identity_every_request_is_asked_about(
    world: Callable[..., World], fields: dict[str, Any]
) -> None:
    there = world(_simple(**fields))

    there.check()
    there.check()

    assert len(there.invoker.events) == 2


def test_a_refusal_is_kept_too(world: Callable[..., World]) -> None:
    there = world(_simple())
    there.invoker.answers["Asks"] = {"isAuthorized": False}

    assert [there.refusal(), there.refusal()] == ["forbidden", "forbidden"]
    assert len(there.invoker.events) == 1


def test_as_many_answers_as_are_allowed_are_kept_and_the_oldest_goes(
    world: Callable[..., World],
) -> None:
    there = world(_simple())
    for number in range(ANSWERS_MAX):
        there.check(f"token-{number}")
    there.check("token-0")  # used again: no longer the oldest
    assert len(there.invoker.events) == ANSWERS_MAX

    there.check("one more")
    there.check("token-0")
    assert len(there.invoker.events) == ANSWERS_MAX + 1
    there.check("token-1")
    assert len(there.invoker.events) == ANSWERS_MAX + 2


@pytest.mark.parametrize(("kind", "seconds"), [("http", 10), ("rest", 29)])
def test_an_authorizer_that_does_not_answer_in_time_has_failed(
    world: Callable[..., World], kind: str, seconds: float
) -> None:
    there = world(_simple(), kind)
    there.invoker.hanging.add("Asks")

    waiting = there.loop.create_task(there.checking("good"))
    there.loop.advance(seconds - 0.1)
    assert not waiting.done()
    there.loop.advance(0.2)

    with pytest.raises(Refused, match="authorizer_failed"):
        waiting.result()


def test_an_authorizer_that_cannot_run_has_failed_and_nothing_is_kept(
    world: Callable[..., World],
) -> None:
    there = world(_simple())
    there.invoker.answers["Asks"] = Throttled("ConcurrentInvocationLimitExceeded")
    assert there.refusal() == "authorizer_failed"

    there.invoker.answers["Asks"] = {"isAuthorized": True}
    there.check()


@pytest.mark.parametrize(
    ("kind", "message", "name"),
    [
        ("rest", "Unauthorized", "unauthorized"),
        ("rest", "unauthorized", "authorizer_failed"),
        ("http", "Unauthorized", "authorizer_failed"),
    ],
)
def test_raising_unauthorized_is_401_of_rest_apis_only(
    world: Callable[..., World], kind: str, message: str, name: str
) -> None:
    there = world(_simple(), kind)
    there.invoker.failing.add("Asks")
    there.invoker.answers["Asks"] = {"errorMessage": message, "errorType": "Exception"}

    assert there.refusal() == name


@pytest.mark.parametrize(
    ("pattern", "token", "asked"),
    [(None, "x", 1), ("user-[0-9]+", "user-7", 1), ("user-[0-9]+", "7", 0)],
)
def test_a_token_that_is_not_what_the_pattern_wants_is_not_asked_about(
    world: Callable[..., World], pattern: str | None, token: str, asked: int
) -> None:
    there = world(_simple(kind="TOKEN", validation_pattern=pattern), "rest")
    there.invoker.answers["Asks"] = {"principalId": "me"}

    assert there.refusal(token) == ("authorizer_failed" if asked else "unauthorized")
    assert len(there.invoker.events) == asked
