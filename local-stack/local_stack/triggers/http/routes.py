"""Which function answers a request: HTTP API's order, without a socket.

Exact paths first, then paths with variables (the more literal segments, the better), then greedy
`{proxy+}`, then `$default` (API Gateway developer guide, "Routes for HTTP APIs").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local_stack.model import Function, Route


@dataclass(frozen=True, slots=True)
class Match:
    """The function and route that a request goes to, and its path variables."""

    function: Function
    route: Route
    path_parameters: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class _Pattern:
    segments: tuple[str, ...]
    route: Route
    function: Function

    @property
    def rank(self) -> tuple[tuple[int, ...], bool]:
        """Lower is tried first: literal before variable before greedy, segment by segment.

        Of equal paths the one that names the method comes before `ANY`.
        """
        kinds = (2 if s.endswith("+}") else 1 if s.startswith("{") else 0 for s in self.segments)
        return tuple(kinds), self.route.method == "ANY"


class Router:
    """Matches requests to routes. Raises nothing: no match is None."""

    def __init__(self, functions: Iterable[Function]) -> None:
        self._exact: dict[tuple[str, str], Match] = {}
        self._patterns: list[_Pattern] = []
        self._default: Match | None = None
        for function in functions:
            for route in function.routes:
                self._add(function, route)
        self._patterns.sort(key=lambda pattern: pattern.rank)

    def match(self, method: str, path: str) -> Match | None:
        """The route for `method` and the raw (still encoded) `path`."""
        found = self._exact.get((method, path)) or self._exact.get(("ANY", path))
        if found is not None:
            return found
        segments = path.split("/")
        for pattern in self._patterns:
            if pattern.route.method not in (method, "ANY"):
                continue
            parameters = _variables(pattern.segments, segments)
            if parameters is not None:
                return Match(pattern.function, pattern.route, parameters)
        return self._default

    def _add(self, function: Function, route: Route) -> None:
        if route.path == "$default":
            self._default = Match(function, route, None)
        elif "{" not in route.path:
            self._exact[route.method, route.path] = Match(function, route, None)
        else:
            self._patterns.append(_Pattern(tuple(route.path.split("/")), route, function))


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
        values[name] = unquote(segment)
    return values
