"""What a template comes to on this machine, line by line: `local-stack doctor` shows it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.model import JwtAuthorizer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local_stack.model import Api, Function, Route, Template, Unsupported

_VARIABLE = ".Environment.Variables."


@dataclass(frozen=True, slots=True)
class Line:
    """One thing of the template: its kind, and what is to be said of it."""

    kind: str  # Function, Route, URL, Schedule, Kafka source, Ignored, Warning, Unresolved, Unsupported
    text: str
    runs: bool = True  # False: it does not run here


def explain(template: Template) -> Iterator[Line]:
    """Everything that runs, then what is ignored, then what does not run, with file and line.

    Read the template with `skip_unsupported` to see all that does not run, not just the first.
    """
    folder = template.path.parent
    for function in template.functions.values():
        yield Line("Function", _function(function, folder))
        for route in function.routes:
            yield Line("Route", _route(function, route, template.apis.get(route.api)))
        if function.url is not None:
            host = f"{function.name.lower()}.lambda-url.localhost"
            yield Line("URL", f"Host {host} → {function.name}, {function.url.auth_type}")
    for schedule in template.schedules:
        off = "" if schedule.enabled else ", disabled"
        said = f"{schedule.expression} → {schedule.function} ({schedule.name}{off})"
        yield Line("Schedule", said)
    for source in template.kafka_sources:
        off = "" if source.enabled else ", disabled"
        said = f"{source.topic} → {source.function} ({source.name}, group {source.group_id}{off})"
        yield Line("Kafka source", said)
    yield from (Line("Ignored", text) for text in _by_type(template.ignored))
    yield from (Line("Warning", text) for text in template.warnings)
    for item in template.skipped:
        kind = "Unresolved" if _VARIABLE in item.path else "Unsupported"
        yield Line(kind, _said(item), runs=False)


def remarks(template: Template) -> Iterator[str]:
    """What somebody who starts it should know: warnings, and what was left out."""
    for line in explain(template):
        if line.kind == "Warning" or not line.runs:
            yield line.text


def summary(template: Template) -> str:
    """One line: how much of what."""
    routes = sum(len(function.routes) for function in template.functions.values())
    counts = [
        (len(template.functions), "function"),
        (routes, "route"),
        (sum(f.url is not None for f in template.functions.values()), "function URL"),
        (len(template.schedules), "schedule"),
        (len(template.kafka_sources), "Kafka source"),
    ]
    always = ("function", "schedule", "Kafka source")
    shown = [(count, what) for count, what in counts if count or what in always]
    said = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in shown)
    return f"{template.path.name}: {said}"


def _function(function: Function, folder: Path) -> str:
    code = function.code_dir
    place = code.relative_to(folder) if code.is_relative_to(folder) else code
    parts = [
        f"{function.name}: {function.handler} in {place}",
        function.runtime,
        f"{function.timeout_s:g} s",
        f"{function.memory_mb} MB",
    ]
    if function.reserved_concurrency is not None:
        parts.append(f"at most {function.reserved_concurrency} at once")
    if function.provisioned_concurrency:
        parts.append(f"{function.provisioned_concurrency} kept warm")
    if function.layer_paths:
        parts.append(f"layers {len(function.layer_paths)}")
    if function.variables:
        parts.append(f"variables {len(function.variables)}")
    return ", ".join(parts)


def _route(function: Function, route: Route, api: Api | None) -> str:
    stage = "" if api is None or api.stage == "$default" else f", stage {api.stage}"
    guard = ""
    if api is not None and route.authorizer is not None:
        authorizer = api.authorizers[route.authorizer]
        kind = "JWT" if isinstance(authorizer, JwtAuthorizer) else f"asks {authorizer.function}"
        guard = f", authorizer {authorizer.name} ({kind})"
    return f"{route.key} → {function.name} ({route.api}{stage}{guard})"


def _by_type(ignored: tuple[str, ...]) -> Iterator[str]:
    """`AWS::SNS::Topic: A, B`, one for each type."""
    names: dict[str, list[str]] = defaultdict(list)
    for item in ignored:
        logical_id, _, kind = item.partition(" (")
        names[kind.rstrip(")")].append(logical_id)
    yield from (f"{kind}: {', '.join(ids)}" for kind, ids in sorted(names.items()))


def _said(item: Unsupported) -> str:
    remedy = " (--env-vars can give it a value)" if _VARIABLE in item.path else ""
    return f"{item.where}: {item.path}: {item.message}{remedy}"
