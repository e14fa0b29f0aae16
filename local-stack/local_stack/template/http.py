"""Reads the routes of HTTP APIs from `HttpApi` events of functions.

An event type that is not supported is refused, never dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local_stack.model import Route
from local_stack.template.events import refuse_unknown, resolved_event
from local_stack.template.source import LineDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local_stack.template.source import Source

_HTTP_API = "AWS::Serverless::HttpApi"
_EVENTS = ("HttpApi", "Schedule", "SelfManagedKafka")
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "ANY"})
_ROUTE_HONOURED = frozenset({"Path", "Method", "PayloadFormatVersion"})
# What changes nothing for a function or its callers on one machine; Auth or Cors would.
_HTTP_API_KNOWN = frozenset(
    [
        "AccessLogSettings",
        "DefaultRouteSettings",
        "Description",
        "DisableExecuteApiEndpoint",
        "FailOnWarnings",
        "Name",
        "PropagateTags",
        "RouteSettings",
        "StageName",
        "Tags",
    ]
)


def read_routes(source: Source, function_path: str, events: Mapping[str, Any]) -> Iterator[Route]:
    """The HTTP API routes among a function's `Events`; also refuses events of unknown type."""
    for name, event in events.items():
        path = f"{function_path}.Events.{name}"
        if not isinstance(event, LineDict):
            source.fail(events, path, "is a mapping")
        kind = event.get("Type")
        if kind not in _EVENTS:
            source.fail(event, path, f"event type {kind!r} does not run here", _known_events())
        if kind != "HttpApi":
            continue
        properties = resolved_event(source, event, path, without="ApiId")
        refuse_unknown(source, event, path, properties, _ROUTE_HONOURED)
        method = str(properties.get("Method", "ANY")).upper()
        route = str(properties.get("Path", "$default"))
        if method not in _METHODS:
            source.fail(event, path, f"method {method!r} is none of HTTP API's")
        if route != "$default" and not route.startswith("/"):
            source.fail(event, path, f"path {route!r} starts with a slash")
        if str(properties.get("PayloadFormatVersion", "2.0")) != "2.0":
            source.fail(event, path, "only payload format 2.0 runs here")
        yield Route(method, route)


def check_http_apis(source: Source) -> None:
    """Refuse what an HTTP API says that this runtime would not do, such as authorizing callers."""
    declared = [(source.globals("HttpApi"), "Globals.HttpApi")]
    for logical_id, resource in source.resources(_HTTP_API):
        path = f"Resources.{logical_id}.Properties"
        declared.append((source.properties(logical_id, resource), path))
    for raw, path in declared:
        refuse_unknown(source, raw, path, raw, _HTTP_API_KNOWN)
        stage = source.resolve(raw.get("StageName", "$default"), path)
        if stage != "$default":
            source.fail(raw, f"{path}.StageName", f"{stage!r}: only $default runs here")


def _known_events() -> str:
    return "supported are " + ", ".join(_EVENTS) + " and AWS::Lambda::EventSourceMapping"
