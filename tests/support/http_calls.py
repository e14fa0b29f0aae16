"""Requests as the gateway has them, and the events they become, for tests without a socket."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local_stack.http1 import HttpRequest
from local_stack.model import Api, Route
from local_stack.triggers.http.call import Call, split_headers
from local_stack.triggers.http.integration import event_of
from local_stack.triggers.http.routes import Match, Router
from tests.support.functions import a_function

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = datetime(2026, 3, 9, 7, 5, 2, 345_000, tzinfo=UTC)
REQUEST_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
SOURCE_IP = "203.0.113.7"
HTTP_API = Api("localstack")


def a_request(
    method: str = "GET",
    path: str = "/",
    query: str = "",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> HttpRequest:
    """A request; header names are kept beside their lower-case form, as for REST APIs."""
    names = [name.encode() for name, _ in headers]
    values = [value.encode("latin-1") for _, value in headers]
    return HttpRequest(
        method=method,
        path=path,
        query=query,
        headers=[(name.lower(), value) for name, value in zip(names, values, strict=True)],
        body=body,
        protocol="HTTP/1.1",
        client_ip=SOURCE_IP,
        raw_names=names,
    )


def a_call(request: HttpRequest) -> Call:
    """The request as it arrived at `NOW`."""
    epoch_ms = int(NOW.timestamp() * 1000)
    return Call(request, *split_headers(request.headers), REQUEST_ID, epoch_ms)


def a_match(route: Route, api: Api, call: Call) -> Match:
    """The request on the only route of an API."""
    function = replace(a_function(), routes=(replace(route, api=api.id),))
    match = Router([function], {api.id: api}).match(call.request.method, call.request.path)
    assert match is not None, "the route is the request's"
    return match


def event_from(request: HttpRequest, route: Route, api: Api = HTTP_API) -> dict[str, Any]:
    """The event that the function of the route is given."""
    call = a_call(request)
    event: dict[str, Any] = json.loads(event_of(call, a_match(route, api, call)))
    return event
