"""Reads the routes of functions from their `HttpApi` and `Api` events.

SAM specification: HttpApi, HttpApiFunctionAuth, Api, ApiFunctionAuth.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from local_stack.model import Route
from local_stack.template.authorizers import IAM, NONE, OPEN_HINT
from local_stack.template.functions import raw_events
from local_stack.template.place import Place
from local_stack.template.references import IMPLICIT_HTTP_API, IMPLICIT_REST_API, api_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local_stack.model import Api, Function
    from local_stack.template.apis import DeclaredApi
    from local_stack.template.source import LineDict, Source

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "ANY"})
_ANY = "X-AMAZON-APIGATEWAY-ANY-METHOD"
_HTTP_KNOWN = frozenset(
    [
        "ApiId",
        "Auth",
        "Method",
        "Path",
        "PayloadFormatVersion",
        "RouteSettings",
        "Stage",
        "TimeoutInMillis",
    ]
)
_REST_KNOWN = frozenset(
    [
        "Auth",
        "Method",
        "Path",
        "RequestModel",
        "RequestParameters",
        "RestApiId",
        "Stage",
        "TimeoutInMillis",
    ]
)
_AUTH_KNOWN = frozenset(["AuthorizationScopes", "Authorizer", "InvokeRole", "OverrideApiAuth"])
_API_OF = {"HttpApi": ("ApiId", IMPLICIT_HTTP_API), "Api": ("RestApiId", IMPLICIT_REST_API)}
TIMEOUT_MS_MIN = 50
TIMEOUT_MS_MAX = {"HttpApi": 30_000, "Api": 29_000}


@dataclass(frozen=True, slots=True)
class RouteReader:
    """Reads routes against the APIs of the template."""

    source: Source
    apis: Mapping[str, DeclaredApi]

    def read(self, functions: Mapping[str, Function]) -> tuple[dict[str, Function], dict[str, Api]]:
        """The functions with their routes, and the APIs that have any."""
        owners: dict[tuple[str, str], str] = {}
        routes: dict[str, list[Route]] = defaultdict(list)
        for function, resource, events in raw_events(self.source, functions):
            path = f"Resources.{function.logical_id}"
            for route in self._routes(Place(self.source, resource, f"{path}.Properties"), events):
                other = owners.setdefault((route.api, route.key), function.logical_id)
                if other != function.logical_id or route in routes[function.name]:
                    self.source.fail(resource, path, f"route {route.key!r} is {other}'s already")
                routes[function.name].append(route)
        with_routes = {
            name: replace(function, routes=tuple(routes[name]))
            for name, function in functions.items()
        }
        used = {route.api for found in routes.values() for route in found}
        return with_routes, {name: self.apis[name].api for name in sorted(used)}

    def _routes(self, place: Place, events: Mapping[str, Any]) -> Iterator[Route]:
        inner = place.inside("Events", events)
        for name, raw in events.items():
            event = inner.mapping(name, raw)
            if str(event.get("Type")) not in TIMEOUT_MS_MAX:
                continue
            route = None
            with self.source.leaving_out():
                at = inner.inside(name, event)
                properties = at.mapping("Properties", event.get("Properties"))
                where = at.inside("Properties", properties)
                route = self._route(str(event["Type"]), where, properties)
            if route is not None:
                yield route

    def _route(self, kind: str, place: Place, raw: LineDict) -> Route:
        place.only(raw, _HTTP_KNOWN if kind == "HttpApi" else _REST_KNOWN)
        api = self._api(kind, place, raw)
        method, path = self._method_and_path(kind, place, raw)
        authorizer, scopes = _authorizer(place, raw, api)
        given, payload_format = place.value("TimeoutInMillis", raw), "1.0"
        most = TIMEOUT_MS_MAX[kind]
        timeout = (
            most if given is None else place.integer("TimeoutInMillis", given, TIMEOUT_MS_MIN, most)
        )
        if kind == "HttpApi":
            version = place.value("PayloadFormatVersion", raw)
            payload_format = place.one_of(
                "PayloadFormatVersion", "2.0" if version is None else version, ("1.0", "2.0")
            )
        return Route(
            method=method,
            path=path,
            payload_format=cast("Literal['1.0', '2.0']", payload_format),
            api=api.api.id,
            authorizer=authorizer,
            scopes=scopes,
            timeout_s=timeout / 1000,
        )

    def _api(self, kind: str, place: Place, raw: LineDict) -> DeclaredApi:
        name, implicit = _API_OF[kind]
        given = place.value(name, raw)
        named = implicit if given is None else place.text(name, given)
        if api_id(named) in map(api_id, self.source.left_out):
            place.unsupported(name, f"{named} is left out itself")
        found = {api_id(key): value for key, value in self.apis.items()}.get(api_id(named))
        if found is None:
            place.unsupported(name, f"{named!r} is no API of this template")
        if (found.api.kind == "http") != (kind == "HttpApi"):
            place.fail(name, f"{named} is not the kind of API that this event is for")
        return found

    def _method_and_path(self, kind: str, place: Place, raw: LineDict) -> tuple[str, str]:
        given_method, given_path = place.value("Method", raw), place.value("Path", raw)
        if given_method is None and given_path is None and kind == "HttpApi":
            return "ANY", "$default"
        path = place.text("Path", given_path)
        if path != "$default" and not path.startswith("/"):
            place.fail("Path", f"path {path!r} starts with a slash")
        method = place.text("Method", given_method).upper()
        method = "ANY" if method == _ANY or (path == "$default" and not method) else method
        if method not in _METHODS:
            place.fail("Method", f"method {method!r} is none of API Gateway's")
        if kind == "Api":
            _refuse_validation(place, raw)
        return method, path


def implicit_apis(source: Source, functions: Mapping[str, Function]) -> set[str]:
    """The ids of SAM's implicit APIs that events use, by naming no other or by naming them."""
    used = set()
    for _, _, events in raw_events(source, functions):
        for event in events.values():
            kind = str(event.get("Type")) if isinstance(event, dict) else ""
            if kind not in TIMEOUT_MS_MAX:
                continue
            name, implicit = _API_OF[kind]
            properties = event.get("Properties")
            named = properties.get(name) if isinstance(properties, dict) else None
            if named in (None, implicit, {"Ref": implicit}):
                used.add(implicit)
    return used


def _refuse_validation(place: Place, raw: LineDict) -> None:
    """Requests are not validated before they reach a function."""
    model = raw.get("RequestModel")
    if isinstance(model, dict) and model.get("ValidateBody") not in (None, False):
        with place.source.leaving_out():
            place.unsupported("RequestModel", "bodies are not validated here")


def _authorizer(
    place: Place, raw: LineDict, declared: DeclaredApi
) -> tuple[str | None, tuple[str, ...]]:
    """The authorizer of a route and its scopes; the route's own before the API's default."""
    auth = place.mapping("Auth", raw.get("Auth"))
    inner, known = place.inside("Auth", auth), declared.authorizers
    if auth.get("ApiKeyRequired") not in (None, False):
        with place.source.leaving_out():
            inner.unsupported("ApiKeyRequired", "API keys are not checked here")
    inner.only(auth, _AUTH_KNOWN | {"ApiKeyRequired"})
    own = inner.value("Authorizer", auth)
    name = known.default if own is None else inner.text("Authorizer", own)
    if name == NONE and NONE not in known.kept:
        return None, ()
    if name is None or name in known.left_out:
        return None, ()
    if name == IAM and name not in known.kept:
        with place.source.leaving_out():
            inner.unsupported("Authorizer", "signatures of AWS are not checked here", OPEN_HINT)
        return None, ()
    if name not in known.kept:
        inner.fail("Authorizer", f"{name!r} is no authorizer of {declared.api.id}")
    scopes = inner.texts("AuthorizationScopes", inner.value("AuthorizationScopes", auth))
    return name, scopes or getattr(known.kept[name], "scopes", ())
