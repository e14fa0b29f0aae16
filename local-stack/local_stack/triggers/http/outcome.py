"""Turns what a function returned into an HTTP response, as API Gateway does. Pure.

Payload 2.0 and function URLs: with `statusCode` a response object; without: status 200,
`content-type: application/json`, and the result as the body (texts as they are, everything else
as JSON). Payload 1.0 and REST APIs take response objects only.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from local_stack.http1 import HttpResponse

# Headers the server writes itself: two of them would contradict each other.
_HOP_BY_HOP = frozenset(
    {"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade", "date"}
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # a token of RFC 9110
_WITHOUT_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_TEXT = b"text/plain;charset=UTF-8"
_JSON = b"application/json"


class MalformedResult(Exception):
    """The function returned something that is no HTTP response."""


def response_from(payload: bytes, default_type: bytes = _TEXT) -> HttpResponse:
    """The response that a result stands for in payload 2.0. Raises `MalformedResult`.

    `default_type` is the content type of a response object that names none.
    """
    result = _parsed(payload)
    if not isinstance(result, dict) or "statusCode" not in result:
        body = _encoded(result, "the body") if isinstance(result, str) else payload
        return HttpResponse(200, [(b"content-type", _JSON)], body)
    cookies = result.get("cookies") or []
    if not isinstance(cookies, list):
        msg = "headers is a mapping and cookies a list"
        raise MalformedResult(msg)
    status, headers = _status(result["statusCode"]), _headers(result)
    headers += [(b"set-cookie", _header_value(str(cookie))) for cookie in cookies]
    return _response(status, headers, _body(result), default_type)


def response_v1(payload: bytes, *, rest: bool, decode: bool = True) -> HttpResponse:
    """The response that a result stands for in payload 1.0. Raises `MalformedResult`.

    Of a header in `headers` and in `multiValueHeaders` every value is sent, each once. With
    `decode` off a base64 body stays as it is: a REST API decodes what the client's `Accept` and
    its binary media types allow.
    """
    result = _parsed(payload)
    if not isinstance(result, dict) or "statusCode" not in result:
        msg = "payload 1.0 takes an object with statusCode"
        raise MalformedResult(msg)
    if rest and not set(result) <= _REST_FIELDS:
        msg = f"a REST API knows no {', '.join(sorted(set(result) - _REST_FIELDS))}"
        raise MalformedResult(msg)
    if rest and not isinstance(result.get("body"), str | None):
        msg = "the body is no text"
        raise MalformedResult(msg)
    status, headers = _status(result["statusCode"]), _headers(result)
    many = result.get("multiValueHeaders") or {}
    if not isinstance(many, dict) or not all(isinstance(values, list) for values in many.values()):
        msg = "multiValueHeaders is a mapping of lists"
        raise MalformedResult(msg)
    for name, values in many.items():
        lower = _header_name(str(name))
        if lower is not None:
            pairs = [(lower, _header_value(_header_text(value))) for value in values]
            headers += [pair for pair in pairs if pair not in headers]
    body = _body(result) if decode else _text_body(result)
    return _response(status, headers, body, _JSON if rest else _TEXT)


# Anything else makes a REST API's answer "malformed Lambda proxy response", 502.
_REST_FIELDS = frozenset({"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"})


def _parsed(payload: bytes) -> Any:
    try:
        return json.loads(str(payload, "utf-8"))
    except (ValueError, RecursionError) as error:
        msg = "the result is not JSON"
        raise MalformedResult(msg) from error


def _response(
    status: int, headers: list[tuple[bytes, bytes]], body: bytes, default_type: bytes
) -> HttpResponse:
    for name, _ in headers:
        if name == b"content-type":
            break
    else:
        headers.append((b"content-type", default_type))
    return HttpResponse(status, headers, b"" if status in _WITHOUT_BODY else body)


def _status(value: Any) -> int:
    try:
        status = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"statusCode {value!r} is not a number"
        raise MalformedResult(msg) from error
    if not 200 <= status <= 599:  # 1xx would leave the client waiting for the real answer
        msg = f"statusCode {status} is not a status"
        raise MalformedResult(msg)
    return status


def _headers(result: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    raw = result.get("headers") or {}
    if not isinstance(raw, dict):
        msg = "headers is a mapping and cookies a list"
        raise MalformedResult(msg)
    headers: list[tuple[bytes, bytes]] = []
    for name, value in raw.items():
        lower = _header_name(name)
        if lower is not None:
            headers.append((lower, _header_value(_header_text(value))))
    return headers


@lru_cache(maxsize=1024)  # functions answer with the same few names again and again
def _header_name(name: str) -> bytes | None:
    """The name as it is sent, or None for one that the server writes itself."""
    lower = name.lower()
    if not _HEADER_NAME.fullmatch(lower):
        msg = f"{name!r} is no header name"
        raise MalformedResult(msg)
    return None if lower in _HOP_BY_HOP else lower.encode("ascii")


def _header_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _header_value(text: str) -> bytes:
    if "\r" in text or "\n" in text or "\0" in text:
        msg = "a header has a line break in it"
        raise MalformedResult(msg)
    return _encoded(text, "a header")


def _encoded(text: str, what: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        msg = f"{what} is no text"
        raise MalformedResult(msg) from error


def _body(result: dict[str, Any]) -> bytes:
    if not result.get("isBase64Encoded"):
        return _text_body(result)
    try:
        return base64.b64decode(_text_body(result), validate=True)
    except (binascii.Error, ValueError) as error:
        msg = "the body is not base64"
        raise MalformedResult(msg) from error


def _text_body(result: dict[str, Any]) -> bytes:
    body = result.get("body")
    if body is None:
        return b""
    return _encoded(body if isinstance(body, str) else json.dumps(body), "the body")
