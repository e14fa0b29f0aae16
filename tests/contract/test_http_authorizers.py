"""JWT and Lambda authorizers through a host, with tokens of an issuer that is not ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aws_lambda_powertools.utilities.data_classes import (
    APIGatewayProxyEvent,
    APIGatewayProxyEventV2,
)
from aws_lambda_powertools.utilities.data_classes.api_gateway_authorizer_event import (
    APIGatewayAuthorizerEventV2,
    parse_api_gateway_arn,
)

from tests.support.host import PROJECTS, RunningHost, running_host
from tests.support.issuer import Issuer, a_token, running_issuer

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_ONE = {"message": "Unauthorized"}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture(scope="module")
def host(issuer: Issuer) -> Iterator[RunningHost]:
    with running_host(PROJECTS / "gateway", parameters={"Issuer": issuer.url}) as running:
        yield running


@pytest.fixture(scope="module")
def web(host: RunningHost) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=host.http_url, trust_env=False, timeout=30) as client:
        yield client


def _get(web: httpx.Client, path: str, token: str | None) -> httpx.Response:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return web.get(path, headers=headers)


# --- JSON web tokens -------------------------------------------------------------------------


def test_a_good_token_brings_its_claims_as_texts(web: httpx.Client, issuer: Issuer) -> None:
    claims: dict[str, Any] = {"cognito:groups": ["admin", "user"], "vip": True, "iat": 12}
    token = a_token(issuer.url, **claims)

    response = _get(web, "/dev/jwt", token)

    authorizer = APIGatewayProxyEventV2(response.json()).request_context.authorizer
    assert authorizer is not None
    seen = authorizer.jwt_claim
    assert seen is not None
    assert (seen["sub"], seen["iat"], seen["vip"]) == ("user-7", "12", "true")
    assert seen["cognito:groups"] == "[admin user]"
    assert response.json()["requestContext"]["authorizer"]["jwt"]["scopes"] is None


def test_the_word_bearer_may_be_missing(web: httpx.Client, issuer: Issuer) -> None:
    response = web.get("/dev/jwt", headers={"authorization": a_token(issuer.url)})

    assert response.status_code == 200


def test_keys_are_fetched_once(web: httpx.Client, issuer: Issuer) -> None:
    for _ in range(3):
        assert _get(web, "/dev/jwt", a_token(issuer.url)).status_code == 200

    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


def test_without_a_token_the_challenge_is_bare(web: httpx.Client) -> None:
    response = _get(web, "/dev/jwt", None)

    assert (response.status_code, response.json()) == (401, _NO_ONE)
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "other"}, "the token does not have a valid audience"),
        ({"aud": None}, "the token does not have a valid audience"),
        ({"aud": "other", "client_id": "shop"}, "the token does not have a valid audience"),
        ({"iss": "https://other.example.com"}, "the token does not have a valid issuer"),
        ({"exp": 1}, "the token has expired"),
        ({"exp": None}, "the token does not say how long it is valid"),
        ({"nbf": 4_000_000_000}, "the token is not valid yet"),
        ({"number": 1}, "the token's signature is invalid"),
        ({"key_id": "other"}, "the token's key is not known"),
        ({"key_id": None}, "the token does not name its key"),
        ({"algorithm": "HS256", "key": "s" * 32}, "signing method HS256 is invalid"),
    ],
)
def test_a_bad_token_is_401_and_says_why(
    web: httpx.Client, issuer: Issuer, changes: dict[str, Any], reason: str
) -> None:
    response = _get(web, "/dev/jwt", a_token(issuer.url, **changes))

    assert (response.status_code, response.json()) == (401, _NO_ONE)
    assert response.headers["www-authenticate"] == (
        f'Bearer scope="" error="invalid_token" error_description="{reason}"'
    )


@pytest.mark.parametrize("token", ["x", "a.b.c", "." * 9000])
def test_what_is_no_token_is_401(web: httpx.Client, token: str) -> None:
    assert _get(web, "/dev/jwt", token).status_code == 401


def test_the_client_id_stands_in_for_an_audience_that_is_absent(
    web: httpx.Client, issuer: Issuer
) -> None:
    token = a_token(issuer.url, aud=None, client_id="shop")

    assert _get(web, "/dev/jwt", token).status_code == 200


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"scope": "orders/read profile"}, 200),
        ({"scp": ["orders/read"]}, 200),
        ({"scope": "orders/readonly"}, 403),
        ({}, 403),
    ],
)
def test_one_of_the_routes_scopes_is_enough(
    web: httpx.Client, issuer: Issuer, claims: dict[str, Any], status: int
) -> None:
    response = _get(web, "/dev/scoped", a_token(issuer.url, **claims))

    assert response.status_code == status
    if status == 403:
        assert response.json() == {"message": "Forbidden"}
    else:  # the route has payload 1.0
        authorizer = response.json()["requestContext"]["authorizer"]
        assert authorizer["scopes"] == ["orders/read"]
        assert authorizer["claims"]["sub"] == "user-7"


# --- Lambda authorizers of HTTP API ----------------------------------------------------------


def _simple(web: httpx.Client, token: str) -> httpx.Response:
    return web.get("/dev/simple", headers={"x-token": token})


def test_a_simple_answer_lets_in_and_brings_its_context(web: httpx.Client) -> None:
    response = web.get("/dev/simple", params={"q": "1"}, headers={"x-token": "good"})

    authorizer = APIGatewayProxyEventV2(response.json()).request_context.authorizer
    assert authorizer is not None
    asked = APIGatewayAuthorizerEventV2(authorizer.get_lambda["asked"])
    assert (asked.version, asked.get_type) == ("2.0", "REQUEST")
    assert asked.identity_source == ["good"]
    assert (asked.route_key, asked.raw_path) == ("GET /simple", "/dev/simple")
    assert (asked.parsed_arn.api_id, asked.parsed_arn.stage) == ("modern", "dev")
    assert (asked.parsed_arn.http_method, asked.parsed_arn.resource) == ("GET", "simple")
    assert "body" not in asked.raw_event


def test_an_answer_is_remembered_for_its_identity_only(web: httpx.Client) -> None:
    first, again, other = (_simple(web, token) for token in ("good-1", "good-1", "good-2"))

    calls = [
        response.json()["requestContext"]["authorizer"]["lambda"]["call"]
        for response in (first, again, other)
    ]
    assert calls[0] == calls[1] != calls[2]


@pytest.mark.parametrize(
    ("token", "status", "message"),
    [
        ("bad", 403, "Forbidden"),
        ("broken", 500, "Internal Server Error"),
        ("malformed", 500, "Internal Server Error"),
    ],
)
def test_an_authorizer_that_does_not_let_in_has_http_apis_words(
    web: httpx.Client, token: str, status: int, message: str
) -> None:
    response = _simple(web, token)

    assert (response.status_code, response.json()) == (status, {"message": message})


def _invocations(host: RunningHost, function: str) -> int:
    """How often it was invoked; its log is written a moment later."""
    return sum(each["invocations"] for each in host.environments(function))


def test_without_its_identity_source_the_authorizer_is_not_asked(
    web: httpx.Client, host: RunningHost
) -> None:
    before = _invocations(host, "SimpleAuthorizer")

    for headers in ({}, {"x-token": ""}):
        response = web.get("/dev/simple", headers=headers)

        assert (response.status_code, response.json()) == (401, _NO_ONE)
        assert "www-authenticate" not in response.headers
    assert _invocations(host, "SimpleAuthorizer") == before


def test_a_preflight_asks_no_authorizer_where_options_is_no_route(web: httpx.Client) -> None:
    headers = {"origin": "http://a", "access-control-request-method": "GET"}

    assert web.options("/dev/simple", headers=headers).status_code == 204


def test_a_refusal_can_be_read_by_a_page(web: httpx.Client) -> None:
    response = web.get("/dev/simple", headers={"origin": "http://a"})

    assert response.status_code == 401
    assert response.headers["access-control-allow-origin"] == "http://a"


@pytest.mark.parametrize(
    ("user", "path", "status"),
    [
        ("user-1", "open/1", 200),
        ("user-1", "closed", 403),
        ("user-2", "open/1", 403),
        ("user-3", "open/1", 403),
        ("user-500", "open/1", 500),
    ],
)
def test_a_policy_is_matched_against_the_route(
    web: httpx.Client, user: str, path: str, status: int
) -> None:
    response = web.get(f"/dev/policies/{path}", params={"user": user})

    assert response.status_code == status
    if status == 200:
        context = response.json()["requestContext"]["authorizer"]["lambda"]
        assert context["vip"] is True  # HTTP APIs keep what it is
        assert parse_api_gateway_arn(context["arn"]).resource == "policies/open/1"


def test_one_remembered_policy_decides_for_every_route(web: httpx.Client) -> None:
    allowed = web.get("/dev/policies/open/2", params={"user": "user-9"})
    refused = web.get("/dev/policies/closed", params={"user": "user-9"})
    again = web.get("/dev/policies/open/3", params={"user": "user-9"})

    calls = [r.json()["requestContext"]["authorizer"]["lambda"]["call"] for r in (allowed, again)]
    assert refused.status_code == 403
    assert calls[0] == calls[1]


# --- Lambda authorizers of REST APIs ---------------------------------------------------------


def test_a_token_authorizer_brings_a_flat_context_of_texts(web: httpx.Client) -> None:
    response = web.get("/prod/token/open", headers={"x-token": "user-1"})

    context = APIGatewayProxyEvent(response.json()).request_context.authorizer
    assert context.principal_id == "user-1"
    assert context["vip"] == "true"
    assert context.integration_latency is not None
    assert parse_api_gateway_arn(context["arn"]).stage == "prod"


def test_a_request_authorizer_of_a_rest_api_is_asked_every_time_without_ttl(
    web: httpx.Client,
) -> None:
    responses = [web.get("/prod/request/open", params={"user": "user-1"}) for _ in range(2)]

    calls = [r.json()["requestContext"]["authorizer"]["call"] for r in responses]
    assert calls[0] != calls[1]


_DENY = "User is not authorized to access this resource"


@pytest.mark.parametrize(
    ("path", "token", "status", "body"),
    [
        ("open", None, 401, {"message": "Unauthorized"}),
        ("open", "other", 401, {"message": "Unauthorized"}),  # not what the pattern wants
        ("open", "user-401", 401, {"message": "Unauthorized"}),
        ("open", "user-500", 500, {"message": None}),
        ("open", "user-2", 403, {"Message": f"{_DENY} with an explicit deny"}),
        ("open", "user-3", 403, {"Message": _DENY}),
        ("closed", "user-1", 403, {"Message": _DENY}),
    ],
)
def test_an_authorizer_of_a_rest_api_has_words_of_its_own(
    web: httpx.Client, path: str, token: str | None, status: int, body: dict[str, Any]
) -> None:
    headers = {} if token is None else {"x-token": token}
    response = web.get(f"/prod/token/{path}", headers=headers)

    assert (response.status_code, response.json()) == (status, body)
