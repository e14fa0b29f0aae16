"""What the readers of triggers share: SAM events, and checks with file and line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local_stack.template.source import LineDict, Source

_FUNCTION = "AWS::Serverless::Function"


def sam_events(source: Source, kind: str) -> Iterator[tuple[str, str, LineDict, Mapping[str, Any]]]:
    """Logical id of the function, path, raw event and resolved properties of each event of `kind`."""
    for logical_id, resource in source.resources(_FUNCTION):
        events = source.properties(logical_id, resource).get("Events") or {}
        for name, event in events.items():
            if event.get("Type") == kind:
                path = f"Resources.{logical_id}.Events.{name}"
                yield logical_id, path, event, resolved_event(source, event, path)


def resolved_event(
    source: Source, event: LineDict, path: str, without: str | None = None
) -> Mapping[str, Any]:
    """An event's properties with intrinsics resolved, all but the property `without`."""
    raw = event.get("Properties") or {}
    if not isinstance(raw, dict):
        source.fail(event, f"{path}.Properties", "is a mapping")
    kept = {key: value for key, value in raw.items() if key != without}
    resolved: Mapping[str, Any] = source.resolve(kept, path)
    if not isinstance(resolved, dict):
        source.fail(event, f"{path}.Properties", "is a mapping")
    return resolved


def inside(properties: Mapping[str, Any], *names: str) -> Any:
    """What is at this place, or None: the reader of the value says what it has to be."""
    found: Any = properties
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def refuse_unknown(
    source: Source, at: LineDict, path: str, properties: Mapping[str, Any], known: frozenset[str]
) -> None:
    """Raise `TemplateError` for the first property that is not among `known`."""
    for key in sorted(set(map(str, properties)) - known):
        source.fail(at, f"{path}.{key}", "this runtime cannot honour it")


def is_enabled(properties: Mapping[str, Any]) -> bool:
    """Whether `Enabled` is absent or true."""
    return str(properties.get("Enabled", True)).lower() != "false"


def whole_number(source: Source, at: LineDict, path: str, value: Any) -> int:
    """`value` as an int of 0 or more. Raises `TemplateError`."""
    text = str(value)
    if not text.isdecimal():
        source.fail(at, path, f"{value!r} is not a whole number")
    return int(text)


def check_json(source: Source, at: LineDict, path: str, text: Any) -> None:
    """Raise `TemplateError` unless `text` is a JSON text."""
    try:
        json.loads(text)
    except (TypeError, ValueError):
        source.fail(at, f"{path}.Input", "is a JSON text")
