"""Turns what a function returned into an HTTP response, as HTTP API does. Pure.

With `statusCode`: a response object. Without: status 200, `content-type: application/json`, and
the result as the body (texts as they are, everything else as JSON).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from http import HTTPStatus
from typing import Any

from local_stack.http1 import HttpResponse

# Headers the server writes itself: two of them would contradict each other.
_HOP_BY_HOP = frozenset(
    {"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade", "date"}
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # a token of RFC 9110
_WITHOUT_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class MalformedResult(Exception):
    """The function returned something that is no HTTP response."""


def response_from(payload: bytes) -> HttpResponse:
    """The response that a function's result stands for. Raises `MalformedResult`."""
    try:
        result = json.loads(payload)
    except (ValueError, RecursionError) as error:
        msg = "the result is not JSON"
        raise MalformedResult(msg) from error
    if not isinstance(result, dict) or "statusCode" not in result:
        body = _encoded(result, "the body") if isinstance(result, str) else payload
        return HttpResponse(200, [(b"content-type", b"application/json")], body)
    status, headers, body = _status(result["statusCode"]), _headers(result), _body(result)
    return HttpResponse(status, headers, b"" if status in _WITHOUT_BODY else body)


def _status(value: Any) -> int:
    try:
        status = int(value)
    except (TypeError, ValueError) as error:
        msg = f"statusCode {value!r} is not a number"
        raise MalformedResult(msg) from error
    if not 200 <= status <= 599:  # 1xx would leave the client waiting for the real answer
        msg = f"statusCode {status} is not a status"
        raise MalformedResult(msg)
    return status


def _headers(result: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    raw = result.get("headers") or {}
    cookies = result.get("cookies") or []
    if not isinstance(raw, dict) or not isinstance(cookies, list):
        msg = "headers is a mapping and cookies a list"
        raise MalformedResult(msg)
    headers: list[tuple[bytes, bytes]] = []
    for name, value in raw.items():
        lower = str(name).lower()
        if not _HEADER_NAME.fullmatch(lower):
            msg = f"{name!r} is no header name"
            raise MalformedResult(msg)
        if lower not in _HOP_BY_HOP:
            headers.append((lower.encode("ascii"), _header_value(_header_text(value))))
    headers += [(b"set-cookie", _header_value(str(cookie))) for cookie in cookies]
    if not any(name == b"content-type" for name, _ in headers):
        headers.append((b"content-type", b"text/plain;charset=UTF-8"))
    return headers


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
    body = result.get("body")
    if body is None:
        return b""
    text = body if isinstance(body, str) else json.dumps(body)
    if not result.get("isBase64Encoded"):
        return _encoded(text, "the body")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        msg = "the body is not base64"
        raise MalformedResult(msg) from error
