"""Writes the event of payload format 2.0, for HTTP APIs and function URLs. Pure.

Source: API Gateway developer guide, "Working with AWS Lambda proxy integrations for HTTP APIs":
header names lower-case, repeated headers and query values joined by commas, cookies in their own
list, absent optional fields omitted.

It is written as JSON at once, on the path of every request: what a route knows beforehand is
encoded once (`Fixed`), and the rest costs 5 µs instead of 12 as a mapping.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as _quote
from typing import TYPE_CHECKING

from local_stack.model import ACCOUNT_ID, REGION
from local_stack.triggers.http.call import (
    Call,
    clf_time,
    http_api_body,
    query_values,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Fixed:
    """The parts of an event that are the same for every request of a route, as JSON."""

    start: str
    context: str
    route: str
    end: str
    default_domain: str

    @staticmethod
    def of(api_id: str, route_key: str, stage: str, variables: Mapping[str, str]) -> Fixed:
        """The fixed parts for one route of one stage."""
        return Fixed(
            start=f'{{"version":"2.0","routeKey":{_quote(route_key)},"rawPath":',
            context=f',"requestContext":{{"accountId":"{ACCOUNT_ID}","apiId":{_quote(api_id)}',
            route=f'","routeKey":{_quote(route_key)},"stage":{_quote(stage)},"time":"',
            end=f',"stageVariables":{_encode(dict(variables))}}}' if variables else "}",
            default_domain=f"{api_id}.execute-api.{REGION}.amazonaws.com",
        )


def render_event(
    call: Call,
    fixed: Fixed,
    path: str,
    path_parameters: Mapping[str, str] | None,
    authorizer: str = "",
) -> bytes:
    """The whole event as JSON; `authorizer` is the JSON of `requestContext.authorizer`."""
    request, headers = call.request, call.headers
    host = headers.get("host") or fixed.default_domain
    shown = _quote(path)
    cookies = f',"cookies":{_encode(call.cookies)}' if call.cookies else ""
    query = _query(request.query) if request.query else ""
    parameters = f',"pathParameters":{_encode(path_parameters)}' if path_parameters else ""
    body = _body(request.body, headers.get("content-type", "")) if request.body else _NO_BODY
    identity = f',"authorizer":{authorizer}' if authorizer else ""
    return (
        f'{fixed.start}{shown},"rawQueryString":{_quote(request.query)}{cookies}'
        f',"headers":{_encode(headers)}{query}{fixed.context}{identity}'
        f',"domainName":{_quote(host)},"domainPrefix":{_quote(host.partition(".")[0])}'
        f',"http":{{"method":{_quote(request.method)},"path":{shown}'
        f',"protocol":"{request.protocol}","sourceIp":{_quote(call.source_ip)}'
        f',"userAgent":{_quote(headers.get("user-agent", ""))}}}'
        f',"requestId":{_quote(call.request_id)[:-1]}{fixed.route}{clf_time(call.epoch_ms // 1000)}"'
        f',"timeEpoch":{call.epoch_ms}}}{parameters}{body}{fixed.end}'
    ).encode("ascii")


_NO_BODY = ',"isBase64Encoded":false'


def _query(raw: str) -> str:
    values = {name: ",".join(found) for name, found in query_values(raw).items()}
    return f',"queryStringParameters":{_encode(values)}' if values else ""


def _body(body: bytes, content_type: str) -> str:
    text, is_base64 = http_api_body(body, content_type)
    return f',"body":{_quote(text)},"isBase64Encoded":{"true" if is_base64 else "false"}'
