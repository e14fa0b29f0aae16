"""Payload 1.0 and REST events, what authorizers are asked, and function URLs, field by field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local_stack.model import Api, FunctionUrl, LambdaAuthorizer, Route
from local_stack.triggers.http.event import render_event
from local_stack.triggers.http.event_v1 import is_binary, resource_id
from local_stack.triggers.http.function_url import caller, url_targets
from local_stack.triggers.http.identity import (
    authorizer_event,
    identity_values,
    jwt_identity,
    lambda_identity,
)
from local_stack.triggers.http.integration import event_of
from tests.support.functions import a_function
from tests.support.golden import golden
from tests.support.http_calls import a_call, a_match, a_request, event_from

if TYPE_CHECKING:
    from local_stack.http1 import HttpRequest

REST = Api("Shop", "rest", "prod", stage_variables={"color": "blue"})
HTTP = Api("Shop", "http", "dev", stage_variables={"color": "green"})
V1 = Route("POST", "/items/{id}", "1.0")


def _request(prefix: str = "") -> HttpRequest:
    return a_request(
        "POST",
        f"{prefix}/items/7%20a",
        "tag=a&tag=b%20c&empty=",
        [
            ("Host", "shop.example.com"),
            ("User-Agent", "curl/8.5"),
            ("Accept", "text/html"),
            ("accept", "*/*"),
            ("Cookie", "session=1; theme=dark"),
            ("Content-Type", "application/json"),
        ],
        b'{"amount": 10.50}',
    )


def test_a_request_of_a_rest_api_becomes_the_golden_event() -> None:
    assert event_from(_request("/prod"), V1, REST) == golden("rest_api.json")


def test_a_request_in_payload_1_0_becomes_the_golden_event() -> None:
    assert event_from(_request("/dev"), V1, HTTP) == golden("http_api_v1.json")


def test_a_request_of_a_function_url_becomes_the_golden_event() -> None:
    function = a_function("Hello", url=FunctionUrl())
    fixed = url_targets([function])["hello"].fixed
    request = _request()

    event = json.loads(render_event(a_call(request), fixed, request.path, None))

    assert event == golden("function_url.json")


def test_only_functions_with_a_url_are_found_by_host() -> None:
    assert list(url_targets([a_function("A"), a_function("ReadAll", url=FunctionUrl())])) == [
        "readall"
    ]


@pytest.mark.parametrize(
    ("content_type", "binary"),
    [
        ("image/png", True),
        ("Image/PNG; q=1", True),
        ("image/gif", False),
        ("audio/ogg", True),
        ("audio", False),
        ("", False),
    ],
)
def test_a_media_type_is_binary_by_name_or_family(content_type: str, *, binary: bool) -> None:
    assert is_binary(content_type, ("IMAGE/png", "audio/*")) is binary


def test_everything_is_binary_to_an_api_that_says_so() -> None:
    assert is_binary("", ("*/*",))
    assert not is_binary("text/plain", ())


def test_a_resource_keeps_its_id() -> None:
    assert resource_id(V1) == resource_id(V1) != resource_id(Route("GET", "/"))
    assert len(resource_id(V1)) == 6


# --- identity sources ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("$request.header.User-Agent", "curl/8.5"),
        ("$request.header.accept", "text/html,*/*"),
        ("$request.header.Cookie", "session=1; theme=dark"),
        ("$request.querystring.tag", "a,b c"),
        ("$context.routeKey", "POST /items/{id}"),
        ("$context.path", "/dev/items/7 a"),
        ("$context.identity.sourceIp", "203.0.113.7"),
        ("$stageVariables.color", "green"),
        ("method.request.header.User-Agent", "curl/8.5"),
        ("method.request.querystring.tag", "a,b c"),
        ("context.httpMethod", "POST"),
        ("stageVariables.color", "green"),
    ],
)
def test_an_identity_source_names_a_part_of_the_request(source: str, value: str) -> None:
    call = a_call(_request("/dev"))

    assert identity_values([source], call, a_match(V1, HTTP, call)) == (value,)


@pytest.mark.parametrize(
    "source",
    [
        "$request.header.x-none",
        "$request.querystring.TAG",  # names of the query are as they are written
        "$request.querystring.empty",
        "$request.body.x",
        "$context.nothing",
        "$stageVariables.none",
        "nonsense",
    ],
)
def test_a_source_that_is_missing_or_empty_leaves_no_identity(source: str) -> None:
    call = a_call(_request("/dev"))
    match = a_match(V1, HTTP, call)

    assert identity_values(["$request.header.accept", source], call, match) is None


# --- what authorizers are asked --------------------------------------------------------------


def _asked(authorizer: LambdaAuthorizer, api: Api, *values: str) -> dict[str, Any]:
    call = a_call(_request(f"/{api.stage}"))
    return authorizer_event(authorizer, call, a_match(V1, api, call), values)


def test_an_authorizer_of_an_http_api_is_asked_in_payload_2_0() -> None:
    authorizer = LambdaAuthorizer("A", "F")

    assert _asked(authorizer, HTTP, "user1", "123") == golden("authorizer_v2.json")
    assert _asked(authorizer, HTTP)["identitySource"] is None


def test_or_in_payload_1_0() -> None:
    authorizer = LambdaAuthorizer("A", "F", "1.0")

    assert _asked(authorizer, HTTP, "user1", "123") == golden("authorizer_v1.json")


def test_a_request_authorizer_of_a_rest_api_sees_the_request_without_its_body() -> None:
    event = _asked(LambdaAuthorizer("A", "F", "1.0"), REST, "user1")

    whole = event_from(_request("/prod"), V1, REST)
    assert event.pop("type") == "REQUEST"
    assert event.pop("methodArn").endswith(":shop/prod/POST/items/7%20a")
    assert event == {k: v for k, v in whole.items() if k not in ("body", "isBase64Encoded")}


def test_a_token_authorizer_sees_the_token_alone() -> None:
    assert _asked(LambdaAuthorizer("A", "F", kind="TOKEN"), REST, "Bearer x") == {
        "type": "TOKEN",
        "methodArn": "arn:aws:execute-api:us-east-1:000000000000:shop/prod/POST/items/7%20a",
        "authorizationToken": "Bearer x",
    }


# --- what functions are told of who calls ----------------------------------------------------


@pytest.mark.parametrize(
    ("identity", "v2", "v1"),
    [
        (
            jwt_identity({"sub": "me"}, ["a"], rest=False),
            {"jwt": {"claims": {"sub": "me"}, "scopes": ["a"]}},
            {"claims": {"sub": "me"}, "scopes": ["a"]},
        ),
        (
            lambda_identity({"n": 1, "l": ["x"]}, "me", latency_ms=None),
            {"lambda": {"n": 1, "l": ["x"]}},
            {"principalId": "me", "n": 1, "l": ["x"]},
        ),
        (
            lambda_identity(None, "", latency_ms=3),
            {"lambda": None},
            {"principalId": "", "integrationLatency": 3},
        ),
    ],
)
def test_an_identity_is_in_the_request_context_of_both_formats(
    identity: Any, v2: object, v1: object
) -> None:
    call = a_call(_request("/dev"))
    two = a_match(Route("POST", "/items/{id}"), HTTP, call)

    events = [event_of(call, match, identity) for match in (two, a_match(V1, HTTP, call))]

    assert [json.loads(event)["requestContext"]["authorizer"] for event in events] == [v2, v1]


def test_a_token_of_a_rest_api_shows_its_claims_alone() -> None:
    assert jwt_identity({"sub": "me"}, None, rest=True).v1 == {"claims": {"sub": "me"}}


@pytest.mark.parametrize(
    ("headers", "query", "key"),
    [
        ([("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/2026/x, Signature=1")], "", "AKIA"),
        ([], "X-Amz-Credential=AKIA%2F2026%2Fx&X-Amz-Signature=1", "AKIA"),
        ([("Authorization", "Bearer x")], "", None),
        ([("Authorization", "AWS4-HMAC-SHA256")], "", None),
        ([], "X-Amz-Signature=1", None),
        ([], "", None),
    ],
)
def test_a_signed_request_says_whose_key_it_is(
    headers: list[tuple[str, str]], query: str, key: str | None
) -> None:
    found = caller(a_call(a_request(query=query, headers=headers)))

    assert (None if found is None else json.loads(found)["iam"]["accessKey"]) == key
