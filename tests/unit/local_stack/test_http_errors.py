"""The gateway's own errors: HTTP API's words, or problems."""

from __future__ import annotations

import json
from http import HTTPStatus

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
