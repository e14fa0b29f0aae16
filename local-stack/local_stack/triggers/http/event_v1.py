"""Builds events of payload format 1.0: HTTP APIs that ask for it, and REST APIs. Pure.

Sources: API Gateway developer guide, "Working with AWS Lambda proxy integrations for HTTP APIs"
(1.0) and "Set up Lambda proxy integrations in API Gateway" (REST). What 2.0 omits is null here.
Of a repeated header or query value the single-value field has the last. What else is particular to
REST was recorded from AWS: tests/aws/services/apigateway/test_apigateway_lambda.snapshot.json of
github.com/localstack/localstack.
"""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

from local_stack.model import ACCOUNT_ID, REGION
from local_stack.triggers.http.call import Call, clf_time, http_api_body, query_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local_stack.model import Api, Route

_IDENTITY = (
    "accessKey",
    "accountId",
    "caller",
    "cognitoAuthenticationProvider",
    "cognitoAuthenticationType",
    "cognitoIdentityId",
    "cognitoIdentityPoolId",
    "principalOrgId",
    "user",
    "userArn",
)
_NOBODY = {"claims": None, "scopes": None}  # HTTP API's authorizer when there is none


def build_event_v1(
    call: Call,
    api: Api,
    route: Route,
    *,
    path: str,
    path_parameters: Mapping[str, str] | None,
    authorizer: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole event. `path` is as the event shows it; REST's has no stage in it."""
    rest = api.kind == "rest"
    headers = _header_lists(call, keep_case=rest)
    query = query_values(call.request.query) if call.request.query else {}
    body: str | None = None
    is_base64 = False
    if call.request.body:
        content_type = call.headers.get("content-type", "")
        if rest:
            body, is_base64 = rest_body(call.request.body, content_type, api.binary_media_types)
        else:
            body, is_base64 = http_api_body(call.request.body, content_type)
    event: dict[str, Any] = {
        "resource": _resource(route),
        "path": path,
        "httpMethod": call.request.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "requestContext": _context(call, api, route, path, authorizer),
        "pathParameters": dict(path_parameters) if path_parameters else None,
        "stageVariables": dict(api.stage_variables) or None,
        "body": body,
        "isBase64Encoded": is_base64,
    }
    return event if rest else {"version": "1.0", **event}


def rest_body(body: bytes, content_type: str, binary_types: Iterable[str]) -> tuple[str, bool]:
    """A REST API's body: base64 for the API's binary media types, else text, whatever it is."""
    if is_binary(content_type, binary_types):
        return base64.b64encode(body).decode("ascii"), True
    return body.decode("utf-8", "replace"), False


def is_binary(content_type: str, binary_types: Iterable[str]) -> bool:
    """Whether `binaryMediaTypes` has the type, itself or as `*/*` or `image/*`."""
    kind = content_type.partition(";")[0].strip().lower()
    for binary in binary_types:
        wanted = binary.lower()
        if wanted in ("*/*", kind) or (
            wanted.endswith("/*") and kind.startswith(wanted.removesuffix("*"))
        ):
            return True
    return False


def _resource(route: Route) -> str:
    return "$default" if route.path == "$default" else route.path


def _header_lists(call: Call, *, keep_case: bool) -> dict[str, list[str]]:
    """Every header with all of its values; REST APIs keep the names as they were sent."""
    names = call.request.raw_names if keep_case else None
    lists: dict[str, list[str]] = {}
    shown: dict[str, str] = {}
    for index, (raw_name, raw_value) in enumerate(call.request.headers):
        lower = raw_name.decode("latin-1")
        if keep_case and lower == "content-length":
            continue  # recorded from AWS: a REST API's event has none
        name = names[index].decode("latin-1") if names else lower
        name = shown.setdefault(lower, name)  # one spelling for all of its values
        lists.setdefault(name, []).append(raw_value.decode("latin-1"))
    return lists


def _context(
    call: Call, api: Api, route: Route, path: str, authorizer: Mapping[str, Any] | None
) -> dict[str, Any]:
    rest = api.kind == "rest"
    host = call.headers.get("host") or f"{api.id.lower()}.execute-api.{REGION}.amazonaws.com"
    identity: dict[str, Any] = dict.fromkeys(_IDENTITY)
    identity["sourceIp"] = call.source_ip
    identity["userAgent"] = call.headers.get("user-agent")
    context: dict[str, Any] = {
        "accountId": ACCOUNT_ID,
        "apiId": api.id.lower(),
        "domainName": host,
        "domainPrefix": host.partition(".")[0],
        "extendedRequestId": call.request_id,
        "httpMethod": call.request.method,
        "identity": identity,
        "path": f"/{api.stage}{path}" if rest else path,
        "protocol": call.request.protocol,
        "requestId": call.request_id,
        "requestTime": clf_time(call.epoch_ms // 1000),
        "requestTimeEpoch": call.epoch_ms,
        "resourceId": resource_id(route) if rest else None,
        "resourcePath": _resource(route),
        "stage": api.stage,
    }
    if rest:
        context["deploymentId"] = f"{zlib.crc32(api.id.encode()):08x}"[:6]
    if authorizer is not None:
        context["authorizer"] = dict(authorizer)
    elif not rest:
        context["authorizer"] = dict(_NOBODY)
    return context


def resource_id(route: Route) -> str:
    """Six characters that stay the same for a path, as API Gateway gives each resource."""
    return f"{zlib.crc32(route.path.encode()):08x}"[:6]
