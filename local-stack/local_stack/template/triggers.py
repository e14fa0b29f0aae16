"""Reads what makes functions run: SAM events and `AWS::Lambda::EventSourceMapping` resources.

An event type that is not supported is refused, never dropped.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from local_stack.model import KafkaSource, Route, Schedule
from local_stack.template.source import LineDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local_stack.template.source import Source

_MAPPING = "AWS::Lambda::EventSourceMapping"
_FUNCTION = "AWS::Serverless::Function"
_HTTP_API = "AWS::Serverless::HttpApi"
_WINDOW = "MaximumBatchingWindowInSeconds"
_EVENTS = ("HttpApi", "Schedule", "SelfManagedKafka")
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "ANY"})
BATCH_SIZE_MAX = 10_000
WINDOW_S_MAX = 300
GROUP_ID_LENGTH_MAX = 200
_ROUTE_HONOURED = frozenset({"Path", "Method", "PayloadFormatVersion"})
_SCHEDULE_HONOURED = frozenset({"Description", "Enabled", "Input", "Name", "Schedule", "State"})
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
_MAPPING_HONOURED = frozenset(
    [
        "BatchSize",
        "Enabled",
        "FunctionName",
        "FunctionResponseTypes",
        _WINDOW,
        "SelfManagedEventSource",
        "SelfManagedKafkaEventSourceConfig",
        "StartingPosition",
        "Topics",
        "SourceAccessConfigurations",
        "Tags",
    ]
)
_SAM_KAFKA_HONOURED = frozenset(
    [
        "BatchSize",
        "ConsumerGroupId",
        "Enabled",
        "KafkaBootstrapServers",
        "StartingPosition",
        "Topics",
        "SourceAccessConfigurations",
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
        properties = _resolved(source, event, path, without="ApiId")
        _refuse_unknown(source, event, path, properties, _ROUTE_HONOURED)
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
        _refuse_unknown(source, raw, path, raw, _HTTP_API_KNOWN)
        stage = source.resolve(raw.get("StageName", "$default"), path)
        if stage != "$default":
            source.fail(raw, f"{path}.StageName", f"{stage!r}: only $default runs here")


def read_schedules(source: Source, names: Mapping[str, str]) -> Iterator[Schedule]:
    """Every `Schedule` event; `names` maps logical ids of functions to their names."""
    for logical_id, path, event, properties in _events(source, "Schedule"):
        _refuse_unknown(source, event, path, properties, _SCHEDULE_HONOURED)
        raw_input = properties.get("Input")
        if raw_input is not None:
            _check_json(source, event, path, raw_input)
        yield Schedule(
            name=str(properties.get("Name", path.split(".")[1] + path.rsplit(".", 1)[1])),
            function=names[logical_id],
            expression=str(properties.get("Schedule", "")),
            enabled=_enabled(properties) and properties.get("State") != "DISABLED",
            input_json=raw_input,
        )


def read_kafka_sources(source: Source, names: Mapping[str, str]) -> Iterator[KafkaSource]:
    """Every Kafka mapping, from SAM events and from plain resources."""
    for logical_id, path, event, properties in _events(source, "SelfManagedKafka"):
        _refuse_unknown(source, event, path, properties, _SAM_KAFKA_HONOURED)
        name = path.split(".")[1] + path.rsplit(".", 1)[1]
        servers = properties.get("KafkaBootstrapServers")
        group = properties.get("ConsumerGroupId")
        yield _kafka_source(
            source, event, path, properties, name, names[logical_id], servers, group
        )
    for logical_id, resource in source.resources(_MAPPING):
        path = f"Resources.{logical_id}.Properties"
        properties = source.resolved_properties(logical_id, resource)
        _refuse_unknown(source, resource, path, properties, _MAPPING_HONOURED)
        function = _function_name(source, resource, path, properties, names)
        servers = _inside(
            properties, "SelfManagedEventSource", "Endpoints", "KafkaBootstrapServers"
        )
        group = _inside(properties, "SelfManagedKafkaEventSourceConfig", "ConsumerGroupId")
        yield _kafka_source(
            source, resource, path, properties, logical_id, function, servers, group
        )


def _kafka_source(
    source: Source,
    at: LineDict,
    path: str,
    properties: Mapping[str, Any],
    name: str,
    function: str,
    servers: Any,
    group: Any,
) -> KafkaSource:
    topics = properties.get("Topics")
    if not isinstance(topics, list) or len(topics) != 1:
        source.fail(at, f"{path}.Topics", "a Kafka mapping has exactly one topic")
    if not isinstance(servers, list) or not servers:
        source.fail(at, path, "KafkaBootstrapServers is a list of host:port")
    batch_size = _whole(source, at, f"{path}.BatchSize", properties.get("BatchSize", 100))
    if not 1 <= batch_size <= BATCH_SIZE_MAX:
        source.fail(at, f"{path}.BatchSize", f"is from 1 to {BATCH_SIZE_MAX}")
    window, window_path = properties.get(_WINDOW), f"{path}.{_WINDOW}"
    window_s = 0.5 if window is None else float(_whole(source, at, window_path, window))
    if window_s > WINDOW_S_MAX:
        source.fail(at, window_path, f"is at most {WINDOW_S_MAX}")
    response_types = properties.get("FunctionResponseTypes") or []
    if response_types not in ([], ["ReportBatchItemFailures"]):
        source.fail(at, f"{path}.FunctionResponseTypes", "only ReportBatchItemFailures is known")
    group_id = str(group or f"{function}-{topics[0]}")
    if len(group_id) > GROUP_ID_LENGTH_MAX:
        source.fail(at, path, f"ConsumerGroupId has {GROUP_ID_LENGTH_MAX} characters at most")
    if properties.get("SourceAccessConfigurations"):
        source.fail(at, f"{path}.SourceAccessConfigurations", "not supported here yet")
    return KafkaSource(
        name=name,
        function=function,
        topic=str(topics[0]),
        bootstrap_servers=tuple(str(server) for server in servers),
        group_id=group_id,
        starting_position=_position(source, at, path, properties.get("StartingPosition")),
        batch_size=batch_size,
        window_s=window_s,
        report_batch_item_failures="ReportBatchItemFailures" in response_types,
        enabled=_enabled(properties),
    )


def _events(source: Source, kind: str) -> Iterator[tuple[str, str, LineDict, Mapping[str, Any]]]:
    for logical_id, resource in source.resources(_FUNCTION):
        events = source.properties(logical_id, resource).get("Events") or {}
        for name, event in events.items():
            if event.get("Type") == kind:
                path = f"Resources.{logical_id}.Events.{name}"
                yield logical_id, path, event, _resolved(source, event, path)


def _resolved(
    source: Source, event: LineDict, path: str, without: str | None = None
) -> Mapping[str, Any]:
    raw = event.get("Properties") or {}
    if not isinstance(raw, dict):
        source.fail(event, f"{path}.Properties", "is a mapping")
    kept = {key: value for key, value in raw.items() if key != without}
    resolved: Mapping[str, Any] = source.resolve(kept, path)
    if not isinstance(resolved, dict):
        source.fail(event, f"{path}.Properties", "is a mapping")
    return resolved


def _inside(properties: Mapping[str, Any], *names: str) -> Any:
    """What is at this place, or None: the reader of the value says what it has to be."""
    found: Any = properties
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _function_name(
    source: Source,
    at: LineDict,
    path: str,
    properties: Mapping[str, Any],
    names: Mapping[str, str],
) -> str:
    given = str(properties.get("FunctionName", ""))
    name = given.rsplit(":", 1)[-1] if given.startswith("arn:") else given
    if name not in names.values():
        source.fail(at, f"{path}.FunctionName", f"{given!r} is no function of this template")
    return name


def _position(
    source: Source, at: LineDict, path: str, value: Any
) -> Literal["TRIM_HORIZON", "LATEST"]:
    if value not in ("LATEST", "TRIM_HORIZON", None):
        source.fail(at, f"{path}.StartingPosition", f"{value!r} is neither TRIM_HORIZON nor LATEST")
    return "LATEST" if value == "LATEST" else "TRIM_HORIZON"


def _refuse_unknown(
    source: Source, at: LineDict, path: str, properties: Mapping[str, Any], known: frozenset[str]
) -> None:
    for key in sorted(set(map(str, properties)) - known):
        source.fail(at, f"{path}.{key}", "this runtime cannot honour it")


def _enabled(properties: Mapping[str, Any]) -> bool:
    return str(properties.get("Enabled", True)).lower() != "false"


def _whole(source: Source, at: LineDict, path: str, value: Any) -> int:
    text = str(value)
    if not text.isdecimal():
        source.fail(at, path, f"{value!r} is not a whole number")
    return int(text)


def _check_json(source: Source, at: LineDict, path: str, text: Any) -> None:
    try:
        json.loads(text)
    except (TypeError, ValueError):
        source.fail(at, f"{path}.Input", "is a JSON text")


def _known_events() -> str:
    return "supported are " + ", ".join(_EVENTS) + " and AWS::Lambda::EventSourceMapping"
