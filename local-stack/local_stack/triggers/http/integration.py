"""What a route's function is given and how its answer is read: the API and the format decide. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local_stack.triggers.http.event import render_event
from local_stack.triggers.http.event_v1 import build_event_v1, is_binary
from local_stack.triggers.http.outcome import response_from, response_v1
from local_stack.triggers.http.routes import Match, Target, shown_path

if TYPE_CHECKING:
    from local_stack.http1 import HttpResponse
    from local_stack.triggers.http.call import Call
    from local_stack.triggers.http.identity import Identity


def event_of(call: Call, match: Match, identity: Identity | None = None) -> bytes:
    """The event for the function of the route, as JSON."""
    target = match.target
    if target.api.kind == "http" and target.route.payload_format == "2.0":
        authorizer = "" if identity is None else identity.v2
        path = shown_path(match)
        return render_event(call, target.fixed, path, match.path_parameters, authorizer)
    event = build_event_v1(
        call,
        target.api,
        target.route,
        path=shown_path(match),
        path_parameters=match.path_parameters,
        authorizer=None if identity is None else identity.v1,
    )
    return json.dumps(event, separators=(",", ":")).encode()


def response_of(call: Call, target: Target, payload: bytes) -> HttpResponse:
    """The response that the function's result stands for. Raises `MalformedResult`.

    A REST API decodes base64 only if the first type that the client accepts is binary to it.
    """
    if target.api.kind == "rest":
        accepted = call.headers.get("accept", "application/json").partition(",")[0]
        decode = is_binary(accepted, target.api.binary_media_types)
        return response_v1(payload, rest=True, decode=decode)
    if target.route.payload_format == "1.0":
        return response_v1(payload, rest=False)
    return response_from(payload)
