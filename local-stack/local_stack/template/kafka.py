"""Reads Kafka mappings: `SelfManagedKafka` events and `AWS::Lambda::EventSourceMapping`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from local_stack.model import KafkaSource
from local_stack.template.events import inside, is_enabled, refuse_unknown, sam_events, whole_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local_stack.template.source import LineDict, Source

_MAPPING = "AWS::Lambda::EventSourceMapping"
_WINDOW = "MaximumBatchingWindowInSeconds"
BATCH_SIZE_MAX = 10_000
WINDOW_S_MAX = 300
GROUP_ID_LENGTH_MAX = 200
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


def read_kafka_sources(source: Source, names: Mapping[str, str]) -> Iterator[KafkaSource]:
    """Every Kafka mapping, from SAM events and from plain resources."""
    for logical_id, path, event, properties in sam_events(source, "SelfManagedKafka"):
        refuse_unknown(source, event, path, properties, _SAM_KAFKA_HONOURED)
        name = path.split(".")[1] + path.rsplit(".", 1)[1]
        servers = properties.get("KafkaBootstrapServers")
        group = properties.get("ConsumerGroupId")
        yield _kafka_source(
            source, event, path, properties, name, names[logical_id], servers, group
        )
    for logical_id, resource in source.resources(_MAPPING):
        path = f"Resources.{logical_id}.Properties"
        properties = source.resolved_properties(logical_id, resource)
        refuse_unknown(source, resource, path, properties, _MAPPING_HONOURED)
        function = _function_name(source, resource, path, properties, names)
        servers = inside(properties, "SelfManagedEventSource", "Endpoints", "KafkaBootstrapServers")
        group = inside(properties, "SelfManagedKafkaEventSourceConfig", "ConsumerGroupId")
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
    batch_size = whole_number(source, at, f"{path}.BatchSize", properties.get("BatchSize", 100))
    if not 1 <= batch_size <= BATCH_SIZE_MAX:
        source.fail(at, f"{path}.BatchSize", f"is from 1 to {BATCH_SIZE_MAX}")
    window, window_path = properties.get(_WINDOW), f"{path}.{_WINDOW}"
    window_s = 0.5 if window is None else float(whole_number(source, at, window_path, window))
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
        enabled=is_enabled(properties),
    )


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
