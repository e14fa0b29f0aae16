"""What a function returned, as an HTTP response: lambda-proxy responses and what is inferred."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from local_stack.triggers.http.outcome import MalformedResult, response_from, response_v1


def _of(result: Any) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    response = response_from(json.dumps(result).encode())
    return response.status, response.headers, response.body


# --- without statusCode: 200, application/json, the result as it is ----------------------------


@pytest.mark.parametrize(
    ("result", "body"),
    [
        ("hello", b"hello"),
        ("", b""),
        ("caf\xe9", "caf\xe9".encode()),
        (3, b"3"),
        (0, b"0"),
        (1.5, b"1.5"),
        (True, b"true"),
        (None, b"null"),
        ([], b"[]"),
        ([1, "a"], b'[1, "a"]'),
        ({}, b"{}"),
        ({"a": 1}, b'{"a": 1}'),
        ({"body": "x", "headers": {"a": "b"}}, b'{"body": "x", "headers": {"a": "b"}}'),
    ],
)
def test_a_result_without_status_is_the_body(result: Any, body: bytes) -> None:
    assert _of(result) == (200, [(b"content-type", b"application/json")], body)


def test_a_result_without_status_is_passed_on_as_it_was_written() -> None:
    assert response_from(b'{"a" : 1.0}').body == b'{"a" : 1.0}'


# --- with statusCode -------------------------------------------------------------------------


def test_a_response_object_is_taken_at_its_word() -> None:
    status, headers, body = _of(
        {
            "statusCode": 201,
            "headers": {"X-Thing": "a", "Content-Type": "application/json", "n": 5, "b": True},
            "cookies": ["a=1; Secure", "b=2"],
            "body": "caf\xe9",
            "isBase64Encoded": False,
        }
    )

    assert status == 201
    assert headers == [
        (b"x-thing", b"a"),
        (b"content-type", b"application/json"),
        (b"n", b"5"),
        (b"b", b"true"),
        (b"set-cookie", b"a=1; Secure"),
        (b"set-cookie", b"b=2"),
    ]
    assert body == "caf\xe9".encode()


def test_a_response_of_a_status_alone_is_empty_text() -> None:
    assert _of({"statusCode": 404}) == (404, [(b"content-type", b"text/plain;charset=UTF-8")], b"")


@pytest.mark.parametrize("status", [200, 599, "404", "200", 204])
def test_a_status_is_a_number_or_the_text_of_one(status: Any) -> None:
    assert _of({"statusCode": status})[0] == int(status)


def test_a_body_that_is_no_text_becomes_json() -> None:
    assert _of({"statusCode": 200, "body": {"a": [1]}})[2] == b'{"a": [1]}'


def test_a_base64_body_is_decoded() -> None:
    body = base64.b64encode(bytes(range(256))).decode()

    assert _of({"statusCode": 200, "body": body, "isBase64Encoded": True})[2] == bytes(range(256))


@pytest.mark.parametrize("nothing", [None, "", {}])
def test_empty_headers_and_cookies_are_none(nothing: Any) -> None:
    result = {"statusCode": 200, "headers": nothing, "cookies": None, "body": None}

    assert _of(result) == (200, [(b"content-type", b"text/plain;charset=UTF-8")], b"")


@pytest.mark.parametrize(
    "name", ["Connection", "Content-Length", "Transfer-Encoding", "Upgrade", "Keep-Alive", "Date"]
)
def test_headers_that_the_server_writes_itself_are_left_out(name: str) -> None:
    headers = _of({"statusCode": 200, "headers": {name: "1", "x": "y"}})[1]

    assert headers == [(b"x", b"y"), (b"content-type", b"text/plain;charset=UTF-8")]


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_that_has_no_body_gets_none(status: int) -> None:
    assert _of({"statusCode": status, "body": "left over"})[2] == b""


# --- what is no response ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"statusCode": None}, "statusCode None is not a number"),
        ({"statusCode": "many"}, "statusCode 'many' is not a number"),
        ({"statusCode": {}}, "is not a number"),
        ({"statusCode": 199}, "statusCode 199 is not a status"),
        ({"statusCode": 101}, "statusCode 101 is not a status"),
        ({"statusCode": 600}, "statusCode 600 is not a status"),
        ({"statusCode": -1}, "is not a status"),
        ({"statusCode": True}, "is not a status"),
        ({"statusCode": 200, "headers": ["a"]}, "headers is a mapping"),
        ({"statusCode": 200, "cookies": "a=1"}, "cookies a list"),
        ({"statusCode": 200, "headers": {"x": "a\r\nset-cookie: b=1"}}, "line break"),
        ({"statusCode": 200, "headers": {"x": "a\nb"}}, "line break"),
        ({"statusCode": 200, "headers": {"x": "a\0b"}}, "line break"),
        ({"statusCode": 200, "headers": {"x\r\ny": "a"}}, "no header name"),
        ({"statusCode": 200, "headers": {"x y": "a"}}, "no header name"),
        ({"statusCode": 200, "headers": {"x:": "a"}}, "no header name"),
        ({"statusCode": 200, "headers": {"": "a"}}, "no header name"),
        ({"statusCode": 200, "headers": {"caf\xe9": "a"}}, "no header name"),
        ({"statusCode": 200, "headers": {"x": "\ud800"}}, "a header is no text"),
        ({"statusCode": 200, "cookies": ["a=1\r\nx: y"]}, "line break"),
        ({"statusCode": 200, "body": "\ud800"}, "the body is no text"),
        ({"statusCode": 200, "body": "not base64!", "isBase64Encoded": True}, "is not base64"),
        ({"statusCode": 200, "body": "caf\xe9", "isBase64Encoded": True}, "is not base64"),
        ("\ud800", "the body is no text"),
    ],
)
def test_a_malformed_result_is_named(result: Any, message: str) -> None:
    with pytest.raises(MalformedResult, match=message):
        _of(result)


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_result_that_is_not_json_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedResult, match="not JSON"):
        response_from(payload)


# --- payload 1.0 and REST APIs ---------------------------------------------------------------


@pytest.mark.parametrize("rest", [False, True])
def test_payload_1_0_merges_single_and_many_values(*, rest: bool) -> None:
    result = {
        "statusCode": "200",
        "headers": {"X-A": "1", "Connection": "close"},
        "multiValueHeaders": {"x-a": ["1", "2"], "X-N": [5, True], "Date": ["now"]},
        "body": "caf\xe9",
    }

    response = response_v1(json.dumps(result).encode(), rest=rest)

    default = b"application/json" if rest else b"text/plain;charset=UTF-8"
    assert response.status == 200
    assert response.headers == [
        (b"x-a", b"1"),
        (b"x-a", b"2"),
        (b"x-n", b"5"),
        (b"x-n", b"true"),
        (b"content-type", default),
    ]
    assert response.body == "caf\xe9".encode()


def test_a_base64_body_stays_as_it_is_when_it_is_not_to_be_decoded() -> None:
    result = json.dumps({"statusCode": 200, "body": "AP8=", "isBase64Encoded": True}).encode()

    assert response_v1(result, rest=True, decode=False).body == b"AP8="
    assert response_v1(result, rest=True).body == b"\x00\xff"


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("hello", "an object with statusCode"),
        ({"body": "x"}, "an object with statusCode"),
        ({"statusCode": 200, "multiValueHeaders": ["a"]}, "a mapping of lists"),
        ({"statusCode": 200, "multiValueHeaders": {"a": "b"}}, "a mapping of lists"),
        ({"statusCode": 200, "multiValueHeaders": {"a": ["b\r\nc"]}}, "line break"),
        ({"statusCode": 200, "multiValueHeaders": {"a b": ["c"]}}, "no header name"),
    ],
)
@pytest.mark.parametrize("rest", [False, True])
def test_what_is_no_response_in_payload_1_0_is_named(
    result: Any, message: str, *, rest: bool
) -> None:
    with pytest.raises(MalformedResult, match=message):
        response_v1(json.dumps(result).encode(), rest=rest)


@pytest.mark.parametrize(
    "result", [{"statusCode": 200, "body": [1]}, {"statusCode": 200, "cookies": [], "extra": 1}]
)
def test_only_a_rest_api_minds_other_fields_and_bodies(result: Any) -> None:
    payload = json.dumps(result).encode()

    assert response_v1(payload, rest=False).status == 200
    with pytest.raises(MalformedResult):
        response_v1(payload, rest=True)
