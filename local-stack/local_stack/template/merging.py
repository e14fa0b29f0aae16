"""SAM's `Globals`: what holds for every function or API unless it says otherwise.

Rules: SAM specification, "Globals section" — maps merge, lists add (globals first), scalars and
intrinsics of the resource win; `IgnoreGlobals` of a resource keeps some of them, or all, away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local_stack.template.source import LineDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local_stack.template.source import Source

_REPLACED = frozenset(["Architectures"])  # lists that do not add up
_SECTIONS = frozenset(
    [
        "Api",
        "CapacityProvider",
        "Function",
        "HttpApi",
        "LayerVersion",
        "MicroVMImage",
        "NetworkConnector",
        "SimpleTable",
        "StateMachine",
        "WebSocketApi",
    ]
)


def check_globals(source: Source) -> None:
    """Raise `TemplateError` for a section of `Globals` that SAM does not know."""
    given = source.document.get("Globals") or {}
    for name in given:
        if name not in _SECTIONS:
            source.fail(given, f"Globals.{name}", f"known are {', '.join(sorted(_SECTIONS))}")


def merged_properties(source: Source, kind: str, logical_id: str, resource: LineDict) -> LineDict:
    """A resource's own properties over what `Globals` says of its `kind`; nothing is resolved."""
    defaults = source.globals(kind)
    ignored = resource.get("IgnoreGlobals")
    if ignored == "*":
        defaults = LineDict()
    elif ignored is not None:
        if not isinstance(ignored, list):
            source.fail(resource, f"Resources.{logical_id}.IgnoreGlobals", "is a list, or '*'")
        kept = LineDict(defaults, line=defaults.line)
        for name in ignored:
            kept.pop(str(name), None)
        defaults = kept
    return with_defaults(defaults, source.properties(logical_id, resource))


def with_defaults(defaults: Mapping[str, Any], own: LineDict) -> LineDict:
    """`own` over `defaults`, by SAM's rules."""
    merged = LineDict(own, line=own.line)
    for key, value in defaults.items():
        mine = merged.get(key)
        if mine is None:
            merged[key] = value
        elif _is_map(value) and _is_map(mine):
            merged[key] = with_defaults(value, mine)
        elif isinstance(value, list) and isinstance(mine, list) and key not in _REPLACED:
            merged[key] = [*value, *mine]
        else:
            continue
        merged.key_lines.setdefault(key, getattr(defaults, "key_lines", {}).get(key, 0))
    return merged


def _is_map(value: Any) -> bool:
    """A mapping, and no intrinsic: those are values as a whole."""
    if not isinstance(value, LineDict):
        return False
    is_intrinsic = len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref", "Condition"))
    return not is_intrinsic
