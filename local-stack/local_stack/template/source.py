"""A parsed template with its resolver: what the readers of functions and triggers work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from local_stack.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local_stack.template.intrinsics import Resolver


class LineDict(dict[str, Any]):
    """A mapping that remembers the line it started on (from 1)."""

    def __init__(self, *args: Any, line: int = 0) -> None:
        super().__init__(*args)
        self.line = line


@dataclass(frozen=True, slots=True)
class Source:
    """A template document, its path and its resolver."""

    path: Path
    document: LineDict
    resolver: Resolver

    def resources(self, kind: str) -> Iterator[tuple[str, LineDict]]:
        """Logical id and raw resource of every resource of type `kind` whose condition holds."""
        for logical_id, resource in self.document["Resources"].items():
            if not isinstance(resource, LineDict) or resource.get("Type") != kind:
                continue
            condition = resource.get("Condition")
            if condition is None or self.resolver.condition(condition):
                yield logical_id, resource

    def properties(self, logical_id: str, resource: LineDict) -> LineDict:
        """The resource's own properties, unresolved."""
        properties = resource.get("Properties", LineDict(line=resource.line))
        if not isinstance(properties, LineDict):
            self.fail(resource, f"Resources.{logical_id}.Properties", "not a mapping")
        return properties

    def resolved_properties(self, logical_id: str, resource: LineDict) -> LineDict:
        """The resource's own properties with every intrinsic resolved."""
        path = f"Resources.{logical_id}.Properties"
        properties = self.resolve(self.properties(logical_id, resource), path)
        if not isinstance(properties, LineDict):
            self.fail(resource, path, "not a mapping")
        return properties

    def globals(self, kind: str) -> LineDict:
        """What `Globals` says for `kind` (`Function`, `HttpApi`, …)."""
        found: LineDict = (self.document.get("Globals") or {}).get(kind) or LineDict()
        return found

    def resolve(self, value: Any, path: str) -> Any:
        """`value` with every intrinsic resolved; `path` is for messages."""
        return self.resolver.resolve(value, path)

    def fail(self, at: Any, path: str, message: str, hint: str = "") -> NoReturn:
        """Raise a `TemplateError` that points at `at` (a `LineDict`, or anything)."""
        line = getattr(at, "line", 0)
        where = f"{self.path.name}:{line}" if line else self.path.name
        raise TemplateError(message, where=where, path=path, hint=hint)
