"""The gateway's own errors: HTTP API's words, or problems."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Literal

import pytest

from local_stack.triggers.http.errors import gateway_error, server_refusal


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("no_route", 404, "Not Found"),
        ("function_failed", 500, "Internal Server Error"),
        ("timed_out", 503, "Service Unavailable"),
        ("throttled", 503, "Service Unavailable"),
        ("unavailable", 503, "Service Unavailable"),
        ("too_large", 413, "Request Entity Too Large"),
        ("unauthorized", 401, "Unauthorized"),
        ("expired", 401, "Unauthorized"),
        ("forbidden", 403, "Forbidden"),
        ("denied", 403, "Forbidden"),
        ("authorizer_failed", 500, "Internal Server Error"),
    ],
)
def test_in_the_aws_style_an_error_is_what_http_api_answers(
    name: str, status: int, message: str
) -> None:
    response = gateway_error(name, "aws", "the-id")

    assert response.status == status
    assert json.loads(response.body) == {"message": message}
    assert dict(response.headers) == {
        b"content-type": b"application/json",
        b"apigw-requestid": b"the-id",
    }


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("no_route", 404, "route_not_found"),
        ("function_failed", 500, "internal_error"),
        ("timed_out", 503, "service_unavailable"),
        ("throttled", 429, "too_many_requests"),
        ("unavailable", 503, "service_unavailable"),
        ("too_large", 413, "payload_too_large"),
        ("unauthorized", 401, "unauthorized"),
        ("forbidden", 403, "forbidden"),
        ("authorizer_failed", 500, "internal_error"),
    ],
)
def test_in_the_problem_style_an_error_is_a_problem(name: str, status: int, code: str) -> None:
    response = gateway_error(name, "problem", "the-id")

    problem = json.loads(response.body)
    assert response.status == status
    assert dict(response.headers)[b"content-type"] == b"application/problem+json"
    assert problem.pop("detail")
    assert problem == {
        "type": f"urn:problem:{code.replace('_', '-')}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "instance": "urn:request:the-id",
        "code": code,
    }


@pytest.mark.parametrize("name", ["throttled", "timed_out", "unavailable"])
def test_what_may_be_tried_again_says_when(name: str) -> None:
    assert dict(gateway_error(name, "problem", "x").headers)[b"retry-after"] == b"1"


@pytest.mark.parametrize("status", [400, 408, 413, 431, 500, 503])
def test_every_refusal_of_the_server_has_both_styles(status: int) -> None:
    aws = server_refusal(status, "aws", "x")
    problem = server_refusal(status, "problem", "x")

    assert aws.status == problem.status == status
    assert json.loads(aws.body) == {"message": HTTPStatus(status).phrase}
    assert json.loads(problem.body)["status"] == status


@pytest.mark.parametrize(
    ("name", "status", "error_type", "body"),
    [
        (
            "no_route",
            403,
            "MissingAuthenticationTokenException",
            {"message": "Missing Authentication Token"},
        ),
        (
            "function_failed",
            502,
            "InternalServerErrorException",
            {"message": "Internal server error"},
        ),
        (
            "timed_out",
            504,
            "InternalServerErrorException",
            {"message": "Endpoint request timed out"},
        ),
        ("throttled", 500, "InternalServerErrorException", {"message": "Internal server error"}),
        ("unavailable", 500, "InternalServerErrorException", {"message": "Internal server error"}),
        ("too_large", 413, "RequestTooLongException", {"message": "Request Too Long"}),
        (
            "expired",
            401,
            "UnauthorizedException",
            {"message": "The incoming token has expired"},
        ),
        ("authorizer_failed", 500, "AuthorizerConfigurationException", {"message": None}),
    ],
)
def test_a_rest_api_has_words_of_its_own(
    name: str, status: int, error_type: str, body: object
) -> None:
    response = gateway_error(name, "aws", "the-id", "rest")

    assert (response.status, json.loads(response.body)) == (status, body)
    headers = dict(response.headers)
    assert headers[b"x-amzn-errortype"] == error_type.encode()
    assert headers[b"x-amzn-requestid"] == b"the-id"


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("function_failed", 502, b"Internal Server Error"),
        ("unavailable", 502, b"Internal Server Error"),
        ("throttled", 429, b'{"Message":"Rate Exceeded."}'),
        ("forbidden", 403, b'{"Message":"Forbidden"}'),
        ("no_route", 404, b'{"Message":null}'),
        ("too_large", 413, b'{"Message":"Request Entity Too Large"}'),
    ],
)
def test_a_function_url_has_words_of_its_own(name: str, status: int, body: bytes) -> None:
    response = gateway_error(name, "aws", "the-id", "url")

    assert (response.status, response.body) == (status, body)


@pytest.mark.parametrize("kind", ["http", "rest", "url"])
def test_in_the_problem_style_every_kind_of_api_says_the_same(
    kind: Literal["http", "rest", "url"],
) -> None:
    assert gateway_error("no_route", "problem", "x", kind) == gateway_error(
        "no_route", "problem", "x"
    )


@pytest.mark.parametrize("style", ["aws", "problem"])
def test_a_challenge_is_said_in_both_styles(style: Literal["aws", "problem"]) -> None:
    response = gateway_error("unauthorized", style, "x", "http", "Bearer")

    assert dict(response.headers)[b"www-authenticate"] == b"Bearer"
