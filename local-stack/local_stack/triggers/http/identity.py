"""Who calls: identity sources, and what Lambda authorizers are asked and functions are told. Pure.

Sources: API Gateway developer guide, "Control access to HTTP APIs with AWS Lambda authorizers" and
"Input to an API Gateway Lambda authorizer" (REST APIs).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_stack.model import ACCOUNT_ID
from local_stack.triggers.http.call import Call, query_values
from local_stack.triggers.http.event import render_event
from local_stack.triggers.http.event_v1 import build_event_v1
from local_stack.triggers.http.policy import execute_api_arn
from local_stack.triggers.http.routes import Match, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local_stack.model import LambdaAuthorizer

_NOT_FOR_AUTHORIZERS = ("body", "isBase64Encoded")


@dataclass(frozen=True, slots=True)
class Identity:
    """`requestContext.authorizer` of the function's event, in both payload formats."""

    v2: str  # as JSON
    v1: Mapping[str, Any]


def jwt_identity(claims: Mapping[str, str], scopes: list[str] | None, *, rest: bool) -> Identity:
    """What a function sees of a token; `scopes` is None when the route asks for none."""
    v2 = json.dumps({"jwt": {"claims": claims, "scopes": scopes}}, separators=(",", ":"))
    return Identity(v2, {"claims": claims} if rest else {"claims": claims, "scopes": scopes})


def lambda_identity(
    context: Mapping[str, Any] | None, principal_id: str, *, latency_ms: int | None
) -> Identity:
    """What a function sees of an authorizer's answer; `latency_ms` for REST APIs."""
    v2 = json.dumps({"lambda": context}, separators=(",", ":"))
    v1: dict[str, Any] = {"principalId": principal_id, **(context or {})}
    if latency_ms is not None:
        v1["integrationLatency"] = latency_ms
    return Identity(v2, v1)


def identity_values(sources: Iterable[str], call: Call, match: Match) -> tuple[str, ...] | None:
    """The values of the identity sources, or None when one is missing or empty."""
    values = []
    for source in sources:
        value = _value(source.strip(), call, match)
        if not value:
            return None
        values.append(value)
    return tuple(values)


def authorizer_event(
    authorizer: LambdaAuthorizer, call: Call, match: Match, values: tuple[str, ...]
) -> dict[str, Any]:
    """What the authorizer's function is invoked with."""
    api = match.target.api
    arn = route_arn(call, match)
    if authorizer.kind == "TOKEN":
        return {"type": "TOKEN", "methodArn": arn, "authorizationToken": values[0]}
    if api.kind == "rest":
        event = {"type": "REQUEST", "methodArn": arn, **_event_v1(call, match)}
    elif authorizer.payload_format == "1.0":
        joined = ",".join(values)
        event = {"version": "1.0", "type": "REQUEST", "methodArn": arn}
        event |= {"identitySource": joined, "authorizationToken": joined}
        event |= _event_v1(call, match)
        del event["multiValueHeaders"], event["multiValueQueryStringParameters"]
        event["requestContext"].pop("authorizer")
    else:
        target = match.target
        payload = render_event(call, target.fixed, shown_path(match), match.path_parameters)
        event = {**json.loads(payload), "type": "REQUEST", "routeArn": arn}
        event["identitySource"] = list(values) or None
    for name in _NOT_FOR_AUTHORIZERS:
        event.pop(name, None)
    return event


def route_arn(call: Call, match: Match) -> str:
    """The ARN that policies are matched against."""
    api = match.target.api
    return execute_api_arn(api.id.lower(), api.stage, call.request.method, match.path)


def _event_v1(call: Call, match: Match) -> dict[str, Any]:
    return build_event_v1(
        call,
        match.target.api,
        match.route,
        path=shown_path(match),
        path_parameters=match.path_parameters,
    )


def _value(source: str, call: Call, match: Match) -> str:
    """HTTP APIs write `$request.header.X`, REST APIs `method.request.header.X`."""
    root, _, rest = source.removeprefix("method.").removeprefix("$").partition(".")
    if root == "context":
        return _context_value(rest, call, match)
    if root == "stageVariables":
        return match.target.api.stage_variables.get(rest, "")
    place, _, name = rest.partition(".")
    if place == "header":
        lower = name.lower()
        return call.cookie_header if lower == "cookie" else call.headers.get(lower, "")
    if place == "querystring":
        return ",".join(query_values(call.request.query).get(name, ()))
    return ""


def _context_value(name: str, call: Call, match: Match) -> str:
    api, route = match.target.api, match.route
    values = {
        "accountId": ACCOUNT_ID,
        "apiId": api.id.lower(),
        "domainName": call.headers.get("host", ""),
        "httpMethod": call.request.method,
        "identity.sourceIp": call.source_ip,
        "identity.userAgent": call.headers.get("user-agent", ""),
        "path": shown_path(match),
        "protocol": call.request.protocol,
        "requestId": call.request_id,
        "resourcePath": route.path,
        "routeKey": route.key,
        "stage": api.stage,
    }
    return values.get(name, "")
