"""The event of HTTP API, payload 2.0, field by field."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from local_stack.http1 import HttpRequest
from local_stack.triggers.http.event import build_event
from tests.support.golden import golden

NOW = datetime(2026, 3, 9, 7, 5, 2, 345_000, tzinfo=UTC)


def _event(
    *headers: tuple[str, str],
    method: str = "GET",
    path: str = "/",
    query: str = "",
    body: bytes = b"",
    parameters: dict[str, str] | None = None,
) -> dict[str, Any]:
    request = HttpRequest(
        method=method,
        path=path,
        query=query,
        headers=[(name.encode(), value.encode("latin-1")) for name, value in headers],
        body=body,
        protocol="HTTP/1.1",
        client_ip="127.0.0.1",
    )
    return build_event(
        request,
        request_id="0f8fad5b-d9cb-469f-a165-70867728950e",
        source_ip="203.0.113.7",
        route_key="$default",
        path_parameters=parameters,
        stage="$default",
        now=NOW,
    )


def test_a_request_with_everything_becomes_the_golden_event() -> None:
    request = HttpRequest(
        method="POST",
        path="/api/wallets/7%20a/deposits",
        query="tag=a&tag=b%20c&empty=&flag",
        headers=[
            (b"host", b"api.example.com"),
            (b"user-agent", b"curl/8.5"),
            (b"accept", b"text/html"),
            (b"accept", b"*/*"),
            (b"cookie", b"session=1; theme=dark"),
            (b"content-type", b"application/json; charset=utf-8"),
        ],
        body='{"amount": 10.50, "note": "é"}'.encode(),
        protocol="HTTP/1.1",
        client_ip="127.0.0.1",
    )

    event = build_event(
        request,
        request_id="0f8fad5b-d9cb-469f-a165-70867728950e",
        source_ip="203.0.113.7",
        route_key="POST /api/wallets/{userId}/deposits",
        path_parameters={"userId": "7 a"},
        stage="$default",
        now=NOW,
    )

    assert event == golden("http_api_v2_post.json")


def test_the_smallest_request_becomes_the_golden_event() -> None:
    assert _event(("host", "127.0.0.1:8080")) == golden("http_api_v2_get.json")


@pytest.mark.parametrize(
    "field", ["cookies", "queryStringParameters", "pathParameters", "body", "stageVariables"]
)
def test_an_absent_optional_field_is_omitted(field: str) -> None:
    assert field not in _event()


def test_repeated_headers_are_joined_and_names_stay_lower_case() -> None:
    event = _event(("x-a", "1"), ("x-b", "2"), ("x-a", "3"))

    assert event["headers"] == {"x-a": "1,3", "x-b": "2"}


def test_every_cookie_header_goes_into_one_list() -> None:
    event = _event(("cookie", "a=1; b=2;"), ("x", "y"), ("cookie", " c=3 "))

    assert event["cookies"] == ["a=1", "b=2", "c=3"]
    assert event["headers"] == {"x": "y"}


def test_header_bytes_are_latin_1() -> None:
    assert _event(("x", "caf\xe9"))["headers"] == {"x": "caf\xe9"}


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("a=1&a=2&b=3", {"a": "1,2", "b": "3"}),
        ("a=", {"a": ""}),
        ("a", {"a": ""}),
        ("a=x%2Cy", {"a": "x,y"}),
        ("a=x+y", {"a": "x y"}),
        ("%61=%C3%A9", {"a": "é"}),
        ("a=1;b=2", {"a": "1;b=2"}),
    ],
)
def test_the_query_is_decoded_beside_its_raw_text(query: str, values: dict[str, str]) -> None:
    event = _event(query=query)

    assert event["queryStringParameters"] == values
    assert event["rawQueryString"] == query


@pytest.mark.parametrize("query", ["&", "&&"])
def test_a_query_of_nothing_has_no_values(query: str) -> None:
    event = _event(query=query)

    assert event["rawQueryString"] == query
    assert "queryStringParameters" not in event


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/problem+json",
        "application/xml",
        "application/soap+xml",
        "application/javascript",
        "text/plain",
        "text/csv;header=present",
    ],
)
def test_a_body_of_text_is_handed_over_as_text(content_type: str) -> None:
    event = _event(("content-type", content_type), body="naïve".encode())

    assert (event["body"], event["isBase64Encoded"]) == ("naïve", False)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/octet-stream", b"\x00\x01"),
        ("image/png", b"text after all"),
        ("application/x-www-form-urlencoded", b"a=1&b=2"),
        ("multipart/form-data; boundary=x", b"--x--"),
        ("", b"plain"),
        ("application/json", b"\xff\xfe"),  # says text, and is none
    ],
)
def test_every_other_body_is_handed_over_as_base64(content_type: str, body: bytes) -> None:
    event = _event(("content-type", content_type), body=body)

    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == body


def test_the_path_stays_encoded() -> None:
    event = _event(path="/a%20b/%2F")

    assert event["rawPath"] == "/a%20b/%2F"
    assert event["requestContext"]["http"]["path"] == "/a%20b/%2F"


def test_the_time_is_the_requests_own_in_english_and_milliseconds() -> None:
    context = _event()["requestContext"]

    assert context["time"] == "09/Mar/2026:07:05:02 +0000"
    assert context["timeEpoch"] == 1_773_039_902_345


def test_a_request_without_host_has_a_domain_all_the_same() -> None:
    context = _event()["requestContext"]

    assert context["domainName"] == "localstack.execute-api.us-east-1.amazonaws.com"
    assert context["domainPrefix"] == "localstack"
