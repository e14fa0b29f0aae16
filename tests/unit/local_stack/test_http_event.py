"""The event of HTTP API, payload 2.0, field by field."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from local_stack.model import Api, Route
from local_stack.triggers.http.event import Fixed, render_event
from tests.support.golden import golden
from tests.support.http_calls import a_call, a_request, event_from

DEFAULT = Route("ANY", "$default")


def _event(
    *headers: tuple[str, str],
    method: str = "GET",
    path: str = "/",
    query: str = "",
    body: bytes = b"",
) -> dict[str, Any]:
    return event_from(a_request(method, path, query, headers, body), DEFAULT)


def test_a_request_with_everything_becomes_the_golden_event() -> None:
    request = a_request(
        "POST",
        "/api/wallets/7%20a/deposits",
        "tag=a&tag=b%20c&empty=&flag",
        [
            ("host", "api.example.com"),
            ("user-agent", "curl/8.5"),
            ("accept", "text/html"),
            ("accept", "*/*"),
            ("cookie", "session=1; theme=dark"),
            ("content-type", "application/json; charset=utf-8"),
        ],
        '{"amount": 10.50, "note": "é"}'.encode(),
    )

    event = event_from(request, Route("POST", "/api/wallets/{userId}/deposits"))

    assert event == golden("http_api_v2_post.json")


def test_the_smallest_request_becomes_the_golden_event() -> None:
    assert _event(("host", "127.0.0.1:8080")) == golden("http_api_v2_get.json")


def test_a_stage_is_in_the_path_and_its_variables_in_the_event() -> None:
    api = Api("Shop", stage="dev", stage_variables={"color": "green"})

    event = event_from(a_request(path="/dev/a%20b"), Route("GET", "/{name}"), api)

    assert event["rawPath"] == event["requestContext"]["http"]["path"] == "/dev/a b"
    assert event["pathParameters"] == {"name": "a b"}
    assert event["stageVariables"] == {"color": "green"}
    assert (event["requestContext"]["apiId"], event["requestContext"]["stage"]) == ("shop", "dev")


def test_a_function_urls_path_stays_as_it_was_sent() -> None:
    call = a_call(a_request(path="/a%20b"))

    event = json.loads(
        render_event(call, Fixed.of("f", "$default", "$default", {}), "/a%20b", None)
    )

    assert event["rawPath"] == event["requestContext"]["http"]["path"] == "/a%20b"


@pytest.mark.parametrize("text", ['"', "\\", "\x00\x1f", "caf\xe9", "\ud800", "</script>"])
def test_whatever_is_sent_stays_inside_its_text(text: str) -> None:
    call = a_call(a_request())
    call.headers["x"], call.headers["user-agent"], call.headers["host"] = text, text, text
    call.request_id = call.request.query = text

    event = json.loads(
        render_event(call, Fixed.of(text, text, text, {text: text}), text, {text: text})
    )

    context = event["requestContext"]
    assert [event["rawPath"], event["rawQueryString"], event["headers"]["x"]] == [text] * 3
    assert [context["stage"], context["apiId"], context["requestId"]] == [text] * 3
    assert [context["http"]["userAgent"], context["domainName"]] == [text] * 2
    assert event["stageVariables"] == event["pathParameters"] == {text: text}


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


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/a%20b/%2F", "/a b//"),
        ("/caf%C3%A9", "/caf\xe9"),
        ("/100%", "/100%"),
        ("/users/me%3Fadmin=1", "/users/me"),
        ("/a%2541", "/a%41"),
    ],
)
def test_the_path_is_decoded_once_as_http_api_does(path: str, shown: str) -> None:
    event = _event(path=path)

    assert event["rawPath"] == shown
    assert event["requestContext"]["http"]["path"] == shown


def test_the_time_is_the_requests_own_in_english_and_milliseconds() -> None:
    context = _event()["requestContext"]

    assert context["time"] == "09/Mar/2026:07:05:02 +0000"
    assert context["timeEpoch"] == 1_773_039_902_345


def test_a_request_without_host_has_a_domain_all_the_same() -> None:
    context = _event()["requestContext"]

    assert context["domainName"] == "localstack.execute-api.us-east-1.amazonaws.com"
    assert context["domainPrefix"] == "localstack"
