"""A parsed template with its resolver: what the readers of functions and triggers work on.

A reader raises `TemplateError` for what is wrong on AWS too, and `NotHonoured` for what is right
but does not run here. Only the latter may be left out, by `Source.leaving_out`, and only when the
person said `--skip-unsupported`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from local_stack.errors import TemplateError
from local_stack.model import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local_stack.template.intrinsics import Resolver

SKIP_HINT = "--skip-unsupported leaves it out"


class LineDict(dict[str, Any]):
    """A mapping that remembers the line it started on, and the line of each key (from 1)."""

    def __init__(self, *args: Any, line: int = 0) -> None:
        super().__init__(*args)
        self.line = line
        self.key_lines: dict[str, int] = dict(getattr(args[0], "key_lines", ())) if args else {}


class NotHonoured(TemplateError):
    """The template says something that AWS would do and this runtime cannot."""

    def __init__(self, message: str, *, where: str = "", path: str = "", hint: str = "") -> None:
        super().__init__(message, where=where, path=path, hint=hint)
        self.entry = Unsupported(where, path, message)


@dataclass(frozen=True, slots=True)
class Source:
    """A template document, its path and its resolver, and what its readers leave out."""

    path: Path
    document: LineDict
    resolver: Resolver
    skip_unsupported: bool = False
    skipped: list[Unsupported] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)  # logical ids of resources

    def resources(self, kind: str) -> Iterator[tuple[str, LineDict]]:
        """Logical id and raw resource of every resource of type `kind` whose condition holds."""
        for logical_id, resource in self.all_resources():
            if resource.get("Type") == kind and logical_id not in self.left_out:
                yield logical_id, resource

    def all_resources(self) -> Iterator[tuple[str, LineDict]]:
        """Every resource whose condition holds."""
        for logical_id, resource in self.document["Resources"].items():
            condition = resource.get("Condition")
            if condition is None or self.resolver.condition(condition):
                yield logical_id, resource

    def leaving_out(self, logical_id: str | None = None) -> LeavingOut:
        """What cannot be honoured inside is left out, if the person wants that; else it is raised.

        `logical_id` names the resource that is left out as a whole.
        """
        return LeavingOut(self, logical_id)

    def is_left_out(self, physical_name: str) -> bool:
        """Whether this is the name of a resource that is left out."""
        refs = (self.resolve_or({"Ref": logical_id}, "", None) for logical_id in self.left_out)
        return physical_name in refs

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

    def resolve_or(self, value: Any, path: str, default: Any) -> Any:
        """The same, or `default` when it cannot be known: for what changes nothing that runs."""
        try:
            return self.resolve(value, path)
        except NotHonoured:
            return default

    def fail(self, at: Any, path: str, message: str, hint: str = "") -> NoReturn:
        """Raise a `TemplateError` that points at `at` (a `LineDict`, or anything)."""
        raise TemplateError(message, where=self.where(at, path), path=path, hint=hint)

    def unsupported(self, at: Any, path: str, message: str, hint: str = SKIP_HINT) -> NoReturn:
        """Raise `NotHonoured`: right on AWS, but it does not run here."""
        raise NotHonoured(message, where=self.where(at, path), path=path, hint=hint)

    def warn(self, at: Any, path: str, message: str) -> None:
        """Something the person should know, though everything runs."""
        self.warnings.append(f"{self.where(at, path)}: {path}: {message}")

    def where(self, at: Any, path: str) -> str:
        """`file:line` of `at`; of its key that ends `path`, if it has one."""
        keys = getattr(at, "key_lines", {})
        line = keys.get(path.rsplit(".", 1)[-1]) or getattr(at, "line", 0)
        return f"{self.path.name}:{line}" if line else self.path.name


@dataclass(frozen=True, slots=True)
class LeavingOut:
    """A context that swallows `NotHonoured`, and lists it, when the source skips such things."""

    source: Source
    logical_id: str | None

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: object
    ) -> bool:
        if not isinstance(error, NotHonoured) or not self.source.skip_unsupported:
            return False
        if error.entry not in self.source.skipped:
            self.source.skipped.append(error.entry)
        if self.logical_id is not None:
            self.source.left_out.add(self.logical_id)
        return True
