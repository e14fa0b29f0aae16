"""What pages see of HTTP APIs, and function URLs, through a host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aws_lambda_powertools.utilities.data_classes import LambdaFunctionUrlEvent
from aws_lambda_powertools.utilities.parser.models import LambdaFunctionUrlModel

from tests.support.host import PROJECTS, RunningHost, running_host

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = "https://app.example.com"
_JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def host() -> Iterator[RunningHost]:
    with running_host(PROJECTS / "gateway") as running:
        yield running


@pytest.fixture(scope="module")
def web(host: RunningHost) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=host.http_url, trust_env=False, timeout=30) as client:
        yield client


def _url(name: str) -> dict[str, str]:
    return {"host": f"{name}.lambda-url.localhost"}


# --- CORS of HTTP API ------------------------------------------------------------------------


def _preflight(method: str = "PUT", origin: str = APP, headers: str = "") -> dict[str, str]:
    sent = {"origin": origin, "access-control-request-method": method}
    return sent | ({"access-control-request-headers": headers} if headers else {})


@pytest.mark.parametrize("path", ["/dev/result", "/dev/echo/a", "/dev/nowhere", "/dev/simple"])
def test_the_gateway_answers_a_preflight_on_every_path(web: httpx.Client, path: str) -> None:
    response = web.options(path, headers=_preflight(headers="Content-Type, x-token"))

    assert (response.status_code, response.content) == (204, b"")
    assert (
        dict(response.headers).items()
        >= {
            "access-control-allow-origin": APP,
            "access-control-allow-methods": "GET,PUT",
            "access-control-allow-headers": "content-type,x-token",
            "access-control-max-age": "300",
            "access-control-allow-credentials": "true",
        }.items()
    )


@pytest.mark.parametrize(
    "asked",
    [
        _preflight(origin="https://evil.example.com"),
        _preflight(method="DELETE"),
        _preflight(headers="x-other"),
        {},
    ],
)
def test_a_preflight_for_what_is_not_allowed_has_no_cors_headers(
    web: httpx.Client, asked: dict[str, str]
) -> None:
    response = web.options("/dev/result", headers=asked)

    assert response.status_code == 204
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("origin", [APP, "http://localhost:3000"])
def test_cors_headers_of_the_function_are_ignored(web: httpx.Client, origin: str) -> None:
    response = web.get("/dev/echo/a", headers={"origin": origin})

    assert response.headers.get_list("access-control-allow-origin") == [origin]
    assert response.headers["access-control-expose-headers"] == "x-total"


def test_a_foreign_origin_gets_no_cors_header_at_all(web: httpx.Client) -> None:
    for origin in ({"origin": "https://evil.example.com"}, {}):
        response = web.get("/dev/echo/a", headers=origin)

        assert response.status_code == 200
        assert "access-control-allow-origin" not in response.headers


def test_an_error_of_the_gateway_can_be_read_by_a_page(web: httpx.Client) -> None:
    for path in ("/dev/nowhere", "/dev/slow"):
        response = web.get(path, headers={"origin": APP})

        assert response.headers["access-control-allow-origin"] == APP


# --- function URLs ---------------------------------------------------------------------------


def test_powertools_reads_the_event_of_a_function_url(web: httpx.Client) -> None:
    response = web.post("/a%20b/c", params={"q": "1"}, content="x", headers=_url("echo"))

    raw = response.json()
    LambdaFunctionUrlModel.model_validate(raw)
    event = LambdaFunctionUrlEvent(raw)
    assert (event.raw_path, event.route_key) == ("/a%20b/c", "$default")
    assert event.request_context.stage == "$default"
    assert event.request_context.domain_prefix == "echo"
    assert event.request_context.api_id == "echo"
    assert event.query_string_parameters == {"q": "1"}
    assert "pathParameters" not in raw
    assert "authorizer" not in raw["requestContext"]
    assert "x-amzn-requestid" in response.headers


@pytest.mark.parametrize(
    ("result", "status", "content_type", "body"),
    [
        ({"statusCode": 200, "body": "x"}, 200, "application/json", "x"),
        ("hello", 200, "application/json", "hello"),
        ({"statusCode": "many"}, 502, "text/plain", "Internal Server Error"),
    ],
)
def test_a_function_url_answers_in_payload_2_0(
    web: httpx.Client, result: Any, status: int, content_type: str, body: str
) -> None:
    headers = {**_JSON, **_url("result")}
    response = web.post("/", content=json.dumps(result), headers=headers)

    assert (response.status_code, response.text) == (status, body)
    assert response.headers["content-type"] == content_type


def test_an_exception_behind_a_function_url_is_502(web: httpx.Client) -> None:
    response = web.post("/", content="no JSON", headers=_url("result"))

    assert (response.status_code, response.text) == (502, "Internal Server Error")


def test_a_function_without_a_url_has_none(web: httpx.Client) -> None:
    for name in ("slow", "nobody"):
        response = web.get("/", headers=_url(name))

        assert (response.status_code, response.json()) == (404, {"Message": None})


def test_a_url_with_iam_wants_a_signature_and_does_not_check_it(web: httpx.Client) -> None:
    credential = "AKIAEXAMPLE/20260309/us-east-1/lambda/aws4_request"
    signed = {"authorization": f"AWS4-HMAC-SHA256 Credential={credential}, Signature=00"}

    refused = web.get("/", headers=_url("signed"))
    answered = web.get("/", headers={**_url("signed"), **signed})
    presigned = web.get(
        "/",
        params={"X-Amz-Credential": credential, "X-Amz-Signature": "00"},
        headers=_url("signed"),
    )

    assert (refused.status_code, refused.json()) == (403, {"Message": "Forbidden"})
    assert refused.headers["x-amzn-errortype"] == "AccessDeniedException"
    for response in (answered, presigned):
        iam = response.json()["requestContext"]["authorizer"]["iam"]
        assert iam["accessKey"] == "AKIAEXAMPLE"


def test_cors_of_a_function_url_is_added_to_the_functions_own(web: httpx.Client) -> None:
    asked = web.options("/", headers={**_url("echo"), **_preflight("GET")})
    answered = web.get("/", headers={**_url("echo"), "origin": APP})

    assert asked.headers["access-control-allow-origin"] == APP
    assert answered.headers.get_list("access-control-allow-origin") == ["mine", APP]
