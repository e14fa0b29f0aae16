"""SAM events of the functions of a template, each with its place in the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.template.place import Place
from local_stack.template.references import FUNCTION
from local_stack.template.source import LineDict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_stack.template.source import Source


@dataclass(frozen=True, slots=True)
class SamEvent:
    """One event of a function, not yet resolved."""

    function_id: str  # logical id of the function
    name: str  # of the event
    kind: str
    source: Source
    raw: LineDict

    @property
    def path(self) -> str:
        """Where it is in the template."""
        return f"Resources.{self.function_id}.Events.{self.name}"

    def properties(self) -> tuple[Place, LineDict]:
        """Its properties with intrinsics resolved, and where they stand."""
        raw = self.raw.get("Properties")
        raw = LineDict(line=self.raw.line) if raw is None else raw
        if not isinstance(raw, LineDict):
            self.source.fail(self.raw, f"{self.path}.Properties", "is a mapping")
        resolved = self.source.resolve(raw, self.path)
        if not isinstance(resolved, LineDict):
            self.source.fail(self.raw, f"{self.path}.Properties", "is a mapping")
        return Place(self.source, resolved if resolved.line else self.raw, self.path), resolved


def events_of(source: Source, *kinds: str) -> Iterator[SamEvent]:
    """Every event of one of these types, in the template's order."""
    for logical_id, resource in source.resources(FUNCTION):
        events = source.properties(logical_id, resource).get("Events")
        for name, event in events.items() if isinstance(events, dict) else ():
            if isinstance(event, LineDict) and event.get("Type") in kinds:
                yield SamEvent(logical_id, name, str(event["Type"]), source, event)
