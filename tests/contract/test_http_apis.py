"""REST APIs, payload 1.0 and stages through a host.

Powertools' data classes, models and event handlers, and Mangum, read what we build.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aws_lambda_powertools.utilities.data_classes import (
    APIGatewayProxyEvent,
    APIGatewayProxyEventV2,
)
from aws_lambda_powertools.utilities.parser.models import (
    APIGatewayProxyEventModel,
    APIGatewayProxyEventV2Model,
)

from tests.support.host import PROJECTS, RunningHost, running_host

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = "https://app.example.com"
_JSON = {"content-type": "application/json"}
_REST = {"x-request-id": "the-id"}


@pytest.fixture(scope="module")
def host() -> Iterator[RunningHost]:
    with running_host(PROJECTS / "gateway", preload=("aws_lambda_powertools",)) as running:
        yield running


@pytest.fixture(scope="module")
def web(host: RunningHost) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=host.http_url, trust_env=False, timeout=30) as client:
        yield client


def _url(name: str) -> dict[str, str]:
    return {"host": f"{name}.lambda-url.localhost"}


# --- REST APIs -------------------------------------------------------------------------------


def test_powertools_reads_the_event_of_a_rest_api(web: httpx.Client) -> None:
    response = web.put(
        "/prod/echo/a%20b",
        params=[("tag", "1"), ("tag", "2 3")],
        content="caf\xe9",
        headers=[("X-Thing", "a"), ("X-Thing", "b"), ("cookie", "a=1; b=2"), *_REST.items()],
    )

    raw = response.json()
    APIGatewayProxyEventModel.model_validate(raw)
    event = APIGatewayProxyEvent(raw)
    assert "version" not in raw
    assert (event.http_method, event.path, event.resource) == (
        "PUT",
        "/echo/a%20b",
        "/echo/{name}",
    )
    assert event.path_parameters == {"name": "a%20b"}  # as it was sent, unlike HTTP API's
    assert event.query_string_parameters == {"tag": "2 3"}
    assert event.multi_value_query_string_parameters == {"tag": ["1", "2 3"]}
    assert event.stage_variables == {"color": "blue"}
    assert (event.is_base64_encoded, event.body) == (False, "caf\xe9")
    assert raw["headers"]["X-Thing"] == "b"  # the name as it was sent, the last of its values
    assert raw["multiValueHeaders"]["X-Thing"] == ["a", "b"]
    assert raw["headers"]["cookie"] == "a=1; b=2"
    assert "content-length" not in {name.lower() for name in raw["headers"]}
    context = event.request_context
    assert (context.stage, context.path) == ("prod", "/prod/echo/a%20b")
    assert (context.request_id, context.resource_path) == ("the-id", "/echo/{name}")
    assert context.identity.source_ip == "127.0.0.1"
    assert "authorizer" not in raw["requestContext"]


def test_what_a_rest_request_does_not_have_is_null(web: httpx.Client) -> None:
    event = web.get("/prod/echo/a").json()

    for name in ("body", "queryStringParameters", "multiValueQueryStringParameters"):
        assert event[name] is None


def test_binary_media_types_decide_what_a_rest_api_encodes(web: httpx.Client) -> None:
    bytes_sent = b"\x89PNG\xff"
    image = web.put("/prod/echo/a", content=bytes_sent, headers={"content-type": "image/png"})
    other = web.put("/prod/echo/a", content=bytes_sent, headers={"content-type": "image/gif"})

    assert image.json()["isBase64Encoded"] is True
    assert base64.b64decode(image.json()["body"]) == bytes_sent
    assert other.json()["isBase64Encoded"] is False
    assert other.json()["body"] == "\ufffdPNG\ufffd"


def test_a_rest_api_decodes_what_the_client_accepts_as_binary(web: httpx.Client) -> None:
    result = {"statusCode": 200, "body": "AP8=", "isBase64Encoded": True}

    bodies = [
        web.post("/prod/answers", content=json.dumps(result), headers={**_JSON, **accept}).content
        for accept in ({"accept": "image/png, */*"}, {"accept": "text/html"})
    ]

    assert bodies == [b"\x00\xff", b"AP8="]


def test_a_rest_response_has_the_headers_of_both_fields(web: httpx.Client) -> None:
    result = {
        "statusCode": 201,
        "headers": {"X-One": "1", "Set-Cookie": "a=1"},
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"], "X-Many": ["x", "y"]},
        "body": "ok",
    }

    response = web.post("/prod/answers", content=json.dumps(result), headers={**_JSON, **_REST})

    assert (response.status_code, response.text) == (201, "ok")
    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert response.headers.get_list("x-many") == ["x", "y"]
    assert response.headers["x-one"] == "1"
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-amzn-requestid"] == "the-id"
    assert "apigw-requestid" not in response.headers


@pytest.mark.parametrize(
    "result",
    [
        "hello",
        {"message": "no status"},
        {"statusCode": "many"},
        {"statusCode": 200, "body": {"not": "text"}},
        {"statusCode": 200, "cookies": ["a=1"]},
        {"statusCode": 200, "multiValueHeaders": {"x": "y"}},
        None,
    ],
)
def test_a_malformed_result_is_a_rest_apis_502(web: httpx.Client, result: Any) -> None:
    response = web.post("/prod/answers", content=json.dumps(result), headers=_JSON)

    assert response.status_code == 502
    assert response.text == '{"message": "Internal server error"}'
    assert response.headers["x-amzn-errortype"] == "InternalServerErrorException"


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/prod/nowhere", 403, '{"message":"Missing Authentication Token"}'),
        ("GET", "/prod/answers", 403, '{"message":"Missing Authentication Token"}'),
        ("PROPFIND", "/prod/echo/a", 403, '{"message":"Missing Authentication Token"}'),
        ("GET", "/prod/slowly", 504, '{"message": "Endpoint request timed out"}'),
    ],
)
def test_a_rest_api_has_words_of_its_own(
    web: httpx.Client, method: str, path: str, status: int, body: str
) -> None:
    response = web.request(method, path)

    assert (response.status_code, response.text) == (status, body)


def test_sams_preflight_of_a_rest_api_is_the_same_for_everybody(web: httpx.Client) -> None:
    named = web.options("/prod/answers", headers={"origin": "https://evil.example.com"})
    any_method = web.options("/prod/echo/a")

    assert named.status_code == any_method.status_code == 200
    assert named.headers["access-control-allow-origin"] == APP
    assert named.headers["access-control-allow-methods"] == "OPTIONS,POST"
    assert named.headers["access-control-allow-headers"] == "content-type"
    assert named.headers["access-control-max-age"] == "600"
    assert any_method.headers["access-control-allow-methods"] == (
        "DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT"
    )


def test_a_rest_apis_function_sends_its_own_cors_headers(web: httpx.Client) -> None:
    response = web.get("/prod/echo/a", headers={"origin": APP})

    assert response.headers.get_list("access-control-allow-origin") == ["mine"]


# --- payload 1.0 of HTTP API -----------------------------------------------------------------


def test_powertools_reads_payload_1_0_of_an_http_api(web: httpx.Client) -> None:
    response = web.post(
        "/dev/one/a%20b",
        params=[("tag", "1"), ("tag", "2")],
        content=b"\x00\xff",
        headers=[("X-Thing", "a"), ("X-Thing", "b"), ("content-type", "image/gif")],
    )

    raw = response.json()
    APIGatewayProxyEventModel.model_validate(raw)
    event = APIGatewayProxyEvent(raw)
    assert event.version == "1.0"
    assert (event.path, event.resource) == ("/dev/one/a b", "/one/{name}")
    assert event.request_context.path == "/dev/one/a b"
    assert raw["headers"]["x-thing"] == "b"
    assert raw["multiValueHeaders"]["x-thing"] == ["a", "b"]
    assert raw["multiValueQueryStringParameters"] == {"tag": ["1", "2"]}
    assert (raw["isBase64Encoded"], raw["body"]) == (True, "AP8=")
    assert raw["requestContext"]["authorizer"] == {"claims": None, "scopes": None}
    assert raw["requestContext"]["resourceId"] is None


def test_payload_1_0_infers_no_response(web: httpx.Client) -> None:
    inferred = web.put("/dev/result", content='{"a": 1}', headers=_JSON)
    refused = web.post("/dev/result-1", content='{"a": 1}', headers=_JSON)

    assert (inferred.status_code, inferred.json()) == (200, {"a": 1})
    assert (refused.status_code, refused.json()) == (500, {"message": "Internal Server Error"})


def test_payload_1_0_sends_headers_of_many_values(web: httpx.Client) -> None:
    result = {"statusCode": 200, "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]}, "body": "x"}

    response = web.post("/dev/result-1", content=json.dumps(result), headers=_JSON)

    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert response.headers["content-type"] == "text/plain;charset=UTF-8"
    assert "apigw-requestid" in response.headers


# --- stages ----------------------------------------------------------------------------------


def test_a_stage_is_the_first_part_of_the_path(web: httpx.Client) -> None:
    raw = web.get("/dev/echo/a").json()

    event = APIGatewayProxyEventV2(raw)
    APIGatewayProxyEventV2Model.model_validate(raw)
    assert (event.raw_path, event.path) == ("/dev/echo/a", "/echo/a")
    assert event.request_context.stage == "dev"
    assert event.stage_variables == {"color": "green"}


def test_a_bare_path_is_the_stages_too_unless_two_apis_have_it(web: httpx.Client) -> None:
    only_one, both = web.post("/one/a"), web.get("/echo/a")

    assert only_one.json()["path"] == "/dev/one/a"
    assert both.status_code in (403, 404)


def test_a_host_name_of_aws_names_the_api(web: httpx.Client) -> None:
    modern = web.get("/echo/a", headers={"host": "modern.execute-api.localhost"})
    classic = web.get("/echo/a", headers={"host": "classic.execute-api.us-east-1.amazonaws.com"})

    assert modern.json()["requestContext"]["apiId"] == "modern"
    assert modern.json()["requestContext"]["domainPrefix"] == "modern"
    assert classic.json()["resource"] == "/echo/{name}"


def test_only_a_rest_api_does_not_mind_a_slash_at_the_end(web: httpx.Client) -> None:
    rest = web.post("/prod/answers/", content='{"statusCode": 204}', headers=_JSON)
    http = web.put("/dev/result/", content='{"statusCode": 204}', headers=_JSON)

    assert (rest.status_code, http.status_code) == (204, 404)


def test_the_routes_own_timeout_is_http_apis_503(web: httpx.Client) -> None:
    response = web.get("/dev/slow")

    assert (response.status_code, response.json()) == (503, {"message": "Service Unavailable"})


# --- frameworks ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers", "stage"),
    [
        ("/prod/app/orders/7", {}, "prod"),
        ("/dev/app/orders/7", {}, "dev"),
        ("/app/orders/7", _url("urlapp"), "$default"),
    ],
)
def test_powertools_event_handlers_route_what_we_build(
    web: httpx.Client, path: str, headers: dict[str, str], stage: str
) -> None:
    response = web.get(f"{path}?tag=a&tag=b", headers={"user-agent": "tests", **headers})

    assert response.status_code == 200
    assert response.json() == {"order": "7", "tags": ["a", "b"], "agent": "tests", "stage": stage}
    missing = web.get(path.replace("orders", "none"), headers=headers)
    assert missing.status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "headers", "seen"),
    [
        ("POST", "/prod/asgi/a", {}, "/asgi/a"),
        ("PUT", "/dev/asgi/a", {}, "/dev/asgi/a"),
        ("POST", "/asgi/a", _url("anyapp"), "/asgi/a"),
    ],
)
def test_mangum_reads_what_we_build(
    web: httpx.Client, method: str, path: str, headers: dict[str, str], seen: str
) -> None:
    sent = {"content-type": "text/plain", **headers}
    response = web.request(method, path, params={"q": "1 2"}, content="hi", headers=sent)

    assert response.status_code == 201
    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
    shown = response.json()
    assert shown["query"] == "q=1+2"
    assert (shown["method"], shown["path"]) == (method, seen)
    assert (shown["client"], bytes.fromhex(shown["body"])) == ("127.0.0.1", b"hi")
