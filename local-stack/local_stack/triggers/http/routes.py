"""Which route of which API answers a request, without a socket.

Within an API, HTTP API's order: exact paths first, then paths with variables (the more literal
segments, the better), then greedy `{proxy+}`, then `$default` (API Gateway developer guide,
"Routes for HTTP APIs"). All APIs share one port, so a stage other than `$default` answers under
`/{stage}/…` as on AWS and, where no other API claims the address, under the bare path
(docs/adr/0024).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from local_stack.model import Api
from local_stack.triggers.http.call import decoded_path
from local_stack.triggers.http.event import Fixed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local_stack.model import Function, JwtAuthorizer, LambdaAuthorizer, Route

_IMPLICIT_REST = "ServerlessRestApi"
_IMPLICIT_REST_STAGE = "Prod"


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A route with all that is known of it before a request comes."""

    function: Function
    route: Route
    api: Api
    fixed: Fixed
    authorizer: JwtAuthorizer | LambdaAuthorizer | None
    plain: bool  # neither an authorizer nor CORS: the short way


@dataclass(frozen=True, slots=True)
class Match:
    """The target a request goes to, its path variables, and its path inside the API."""

    target: Target
    path: str
    path_parameters: Mapping[str, str] | None

    @property
    def function(self) -> Function:
        """The function that answers."""
        return self.target.function

    @property
    def route(self) -> Route:
        """The route that was matched."""
        return self.target.route


class Router:
    """Matches requests to routes. Raises nothing: no match is None."""

    def __init__(
        self,
        functions: Iterable[Function],
        apis: Mapping[str, Api] | None = None,
        *,
        stage: str = "$default",
    ) -> None:
        """`stage` is that of an API which `apis` does not describe."""
        self.warnings: list[str] = []
        self.apis: dict[str, Api] = {}
        self._by_api: dict[str, _Table] = {}
        self._by_stage: dict[str, _Table] = {}
        self._bare = _Table()
        targets = [
            _target(function, route, self._api(route.api, apis or {}, stage))
            for function in functions
            for route in function.routes
        ]
        for target in targets:
            self._by_api.setdefault(target.api.id.lower(), _Table()).add(target)
            staged = target.api.stage != "$default"
            table = self._by_stage.setdefault(target.api.stage, _Table()) if staged else self._bare
            other = table.add(target)
            if other is not None:
                self.warnings.append(_conflict(other, target))
        self._add_bare([target for target in targets if target.api.stage != "$default"])

    def match(self, method: str, path: str, api_id: str = "") -> Match | None:
        """The route for `method` and the raw (still encoded) `path`.

        `api_id`, in lower case, is the API that the `Host` named, if it did.
        """
        if api_id:
            return self._of_api(api_id, method, path)
        if self._by_stage:
            stage, rest = _split_stage(path)
            table = self._by_stage.get(stage)
            if table is not None and (found := table.match(method, rest)) is not None:
                return found
        return self._bare.match(method, path)

    def nearest(self, path: str, api_id: str = "") -> Api | None:
        """The API that a request without a route was meant for: its words are the answer."""
        if api_id:
            return next((api for api in self.apis.values() if api.id.lower() == api_id), None)
        stage, rest = _split_stage(path)
        for table, inside in ((self._by_stage.get(stage), rest), (self._bare, path)):
            if table is not None and (api := table.api_at(inside)) is not None:
                return api
        at_home = [api for api in self.apis.values() if api.stage == stage]
        bare = [api for api in self.apis.values() if api.stage == "$default"]
        return next(iter([*at_home, *bare, *self.apis.values()]), None)

    def methods_at(self, path: str, api: Api) -> list[str]:
        """The methods that routes of `api` name for `path`, as a REST API's preflight lists."""
        stage, rest = _split_stage(path)
        inside = rest if stage == api.stage else path
        return self._by_api[api.id.lower()].methods_at(inside)

    def _of_api(self, api_id: str, method: str, path: str) -> Match | None:
        table = self._by_api.get(api_id)
        if table is None:
            return None
        stage, rest = _split_stage(path)
        if table.stage == stage and (found := table.match(method, rest)) is not None:
            return found
        return table.match(method, path)

    def _api(self, api_id: str, given: Mapping[str, Api], stage: str) -> Api:
        api = self.apis.get(api_id) or given.get(api_id)
        if api is None:
            rest = api_id == _IMPLICIT_REST
            api = Api(api_id, "rest", _IMPLICIT_REST_STAGE) if rest else Api(api_id, stage=stage)
        self.apis[api_id] = api
        return api

    def _add_bare(self, staged: list[Target]) -> None:
        """Bare paths of named stages: those that no API has as its own, and only one would like."""
        claims: dict[tuple[str, str], set[str]] = {}
        for target in staged:
            claims.setdefault(_shape(target.route), set()).add(target.api.id)
        own = self._bare.shapes
        for target in staged:
            shape = _shape(target.route)
            if shape not in own and len(claims[shape]) == 1:
                self._bare.add(target)


class _Table:
    """The routes that share an address space."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Match]] = {}
        self._patterns: list[_Pattern] = []
        self._default: Target | None = None
        self._targets: dict[tuple[str, str], Target] = {}
        self._has_rest = False
        self.stage = ""

    @property
    def shapes(self) -> frozenset[tuple[str, str]]:
        """What is taken, names of variables aside."""
        return frozenset(self._targets)

    def add(self, target: Target) -> Target | None:
        """Take the route in; a target that has its place already is returned, and stays."""
        shape = _shape(target.route)
        if shape in self._targets:
            other = self._targets[shape]
            return other if other.api.id != target.api.id else None
        self._targets[shape] = target
        self._has_rest = self._has_rest or target.api.kind == "rest"
        self.stage = target.api.stage
        route = target.route
        if route.path == "$default":
            self._default = target
        elif "{" not in route.path:
            self._exact.setdefault(route.path, {})[route.method] = Match(target, route.path, None)
        else:
            self._patterns.append(_Pattern(tuple(route.path.split("/")), target))
            self._patterns.sort(key=lambda pattern: pattern.rank)
        return None

    def match(self, method: str, path: str) -> Match | None:
        found = self._exact.get(path)
        if found is not None:
            match = found.get(method) or found.get("ANY")
            if match is not None:
                return match
        if self._patterns:
            segments = path.split("/")
            # A slash at the end is nothing to a REST API.
            bare = path.rstrip("/").split("/") if self._has_rest else segments
            for pattern in self._patterns:
                if pattern.target.route.method not in (method, "ANY"):
                    continue
                rest = pattern.target.api.kind == "rest"
                parameters = _variables(pattern.segments, bare if rest else segments)
                if parameters is not None:
                    shown = parameters if rest else _decoded(parameters)
                    return Match(pattern.target, path, shown)
        if self._has_rest and path.endswith("/") and path != "/":
            match = self.match(method, path.rstrip("/") or "/")
            if match is not None and match.target.api.kind == "rest":
                return replace(match, path=path)
        return None if self._default is None else Match(self._default, path, None)

    def methods_at(self, path: str) -> list[str]:
        segments = path.split("/")
        methods = set(self._exact.get(path, ()))
        methods |= {
            pattern.target.route.method
            for pattern in self._patterns
            if _variables(pattern.segments, segments) is not None
        }
        return sorted(methods)

    def api_at(self, path: str) -> Api | None:
        """The API that has the path, for whatever method."""
        for method in self.methods_at(path):
            if (match := self.match(method, path)) is not None:
                return match.target.api
        return self._default.api if self._default is not None else None


@dataclass(frozen=True, slots=True)
class _Pattern:
    segments: tuple[str, ...]
    target: Target

    @property
    def rank(self) -> tuple[tuple[int, ...], bool]:
        """Lower is tried first: literal before variable before greedy, segment by segment.

        Of equal paths the one that names the method comes before `ANY`.
        """
        kinds = (2 if s.endswith("+}") else 1 if s.startswith("{") else 0 for s in self.segments)
        return tuple(kinds), self.target.route.method == "ANY"


def _target(function: Function, route: Route, api: Api) -> Target:
    authorizer = api.authorizers.get(route.authorizer) if route.authorizer else None
    return Target(
        function=function,
        route=route,
        api=api,
        fixed=Fixed.of(api.id.lower(), route.key, api.stage, api.stage_variables),
        authorizer=authorizer,
        plain=authorizer is None and not _has_cors(route, api),
    )


def _has_cors(route: Route, api: Api) -> bool:
    """Whether the gateway has a say in CORS: of REST APIs, where ANY would hide SAM's OPTIONS."""
    return api.cors is not None and (api.kind == "http" or route.method == "ANY")


def _shape(route: Route) -> tuple[str, str]:
    """What makes two routes the same address: the method, and the path without names."""
    if route.path == "$default":
        return "ANY", "$default"
    segments = (
        "{+}" if s.endswith("+}") else "{}" if s.startswith("{") else s
        for s in route.path.split("/")
    )
    return route.method, "/".join(segments)


def _split_stage(path: str) -> tuple[str, str]:
    """`/prod/items` → `prod` and `/items`."""
    stage, slash, rest = path[1:].partition("/")
    return stage, slash + rest or "/"


def _conflict(first: Target, second: Target) -> str:
    address = "" if first.api.stage == "$default" else f"/{first.api.stage} "
    host = f"{second.api.id.lower()}.execute-api.localhost"
    return (
        f"{address}{second.route.key} is a route of {first.api.id} and of {second.api.id}: "
        f"the first answers; {second.api.id} answers requests with `Host: {host}`"
    )


def _variables(pattern: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    """The path variables if `segments` fit `pattern`, else None."""
    greedy = pattern[-1].endswith("+}")
    if len(segments) < len(pattern) or (len(segments) > len(pattern) and not greedy):
        return None
    values: dict[str, str] = {}
    for index, part in enumerate(pattern):
        segment = segments[index]
        if part.endswith("+}"):
            segment, name = "/".join(segments[index:]), part[1:-2]
        elif part.startswith("{"):
            name = part[1:-1]
        elif part == segment:
            continue
        else:
            return None
        if not segment:
            return None
        values[name] = segment
    return values


def _decoded(variables: dict[str, str]) -> dict[str, str]:
    """As HTTP APIs show them; REST APIs leave them encoded (recorded by LocalStack from AWS)."""
    return {name: unquote(v) if "%" in v else v for name, v in variables.items()}


def shown_path(match: Match) -> str:
    """The path as the event shows it.

    HTTP APIs keep the stage and decode; REST APIs show the path inside the stage as it was sent.
    """
    api = match.target.api
    if api.kind == "rest":
        return match.path
    path = decoded_path(match.path) if "%" in match.path else match.path
    return path if api.stage == "$default" else f"/{api.stage}{path}"
