"""Builds the event of HTTP API, payload format 2.0, from a request. Pure.

Source: API Gateway developer guide, "Working with AWS Lambda proxy integrations for HTTP APIs":
header names lower-case, repeated headers and query values joined by commas, cookies in their own
list, absent optional fields omitted.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from local_stack.model import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from local_stack.http1 import HttpRequest

API_ID = "localstack"
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
# The types HTTP API hands over as text; everything else arrives base64-encoded.
_TEXT_TYPES = ("text/", "application/json", "application/javascript", "application/xml")
_TEXT_SUFFIXES = ("+json", "+xml")


def build_event(
    request: HttpRequest,
    *,
    request_id: str,
    source_ip: str,
    route_key: str,
    path_parameters: Mapping[str, str] | None,
    stage: str,
    now: datetime,
) -> dict[str, Any]:
    """The whole event for `request`, which arrived at `now` (UTC)."""
    headers, cookies = _headers(request.headers)
    host = headers.get("host", "")
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": API_ID,
            "domainName": host or f"{API_ID}.execute-api.{REGION}.amazonaws.com",
            "domainPrefix": host.partition(".")[0] or API_ID,
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": request.protocol,
                "sourceIp": source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": route_key,
            "stage": stage,
            "time": _clf_time(now),
            "timeEpoch": int(now.timestamp() * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if request.query and (values := _query(request.query)):
        event["queryStringParameters"] = values
    if path_parameters:
        event["pathParameters"] = path_parameters
    if request.body:
        text = _as_text(request.body, headers.get("content-type", ""))
        if text is None:
            event["body"] = base64.b64encode(request.body).decode("ascii")
            event["isBase64Encoded"] = True
        else:
            event["body"] = text
    return event


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], list[str]]:
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";") if cookie.strip()]
        elif name in headers:
            headers[name] += "," + value
        else:
            headers[name] = value
    return headers, cookies


def _query(raw: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in parse_qsl(raw, keep_blank_values=True):
        values[name] = f"{values[name]},{value}" if name in values else value
    return values


def _as_text(body: bytes, content_type: str) -> str | None:
    """The body as text, or None when it has to travel as base64."""
    kind = content_type.partition(";")[0].strip().lower()
    if not (kind.startswith(_TEXT_TYPES) or kind.endswith(_TEXT_SUFFIXES)):
        return None
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _clf_time(now: datetime) -> str:
    month = _MONTHS[now.month - 1]  # strftime's %b follows the locale
    return f"{now.day:02}/{month}/{now.year}:{now.hour:02}:{now.minute:02}:{now.second:02} +0000"
