"""Reads Kafka mappings: `SelfManagedKafka` and `MSK` events, `AWS::Lambda::EventSourceMapping`.

Ranges: CreateEventSourceMapping in botocore's service model. Queue mode and schema registries do
not run here and are refused by name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from local_stack.model import KafkaSource
from local_stack.template.event_places import events_of
from local_stack.template.kafka_settings import (
    read_access,
    read_failure_destination,
    read_filters,
    read_pollers,
    read_position,
    refuse_queue_mode,
    whole_number,
)
from local_stack.template.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local_stack.template.source import LineDict, Source

_MAPPING = "AWS::Lambda::EventSourceMapping"
_MSK_ARN = "arn:aws:kafka:"
_WINDOW = "MaximumBatchingWindowInSeconds"
BATCH_SIZE_MAX = 10_000
WINDOW_S_MAX = 300
GROUP_ID_LENGTH_MAX = 200
RETRIES_MAX = 10_000
AGE_S_MIN, AGE_S_MAX = 60, 604_800
_COMMON = frozenset(
    [
        "BatchSize",
        "BisectBatchOnFunctionError",
        "DestinationConfig",
        "Enabled",
        "FilterCriteria",
        "FunctionResponseTypes",
        _WINDOW,
        "MaximumRecordAgeInSeconds",
        "MaximumRetryAttempts",
        "ProvisionedPollerConfig",
        "SourceAccessConfigurations",
        "StartingPosition",
        "StartingPositionTimestamp",
        "Topics",
        # What changes nothing for a function on one machine.
        "KMSKeyArn",
        "KmsKeyArn",
        "LoggingConfig",
        "MetricsConfig",
        "Tags",
    ]
)
_PROVISIONED_ONLY = (
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
)
_OF_SAM: Mapping[str, frozenset[str]] = {
    "SelfManagedKafka": _COMMON | {"ConsumerGroupId", "KafkaBootstrapServers"},
    "MSK": _COMMON | {"ConsumerGroupId", "Stream"},
}
_OF_RESOURCE = _COMMON | {
    "AmazonManagedKafkaEventSourceConfig",
    "EventSourceArn",
    "FunctionName",
    "SelfManagedEventSource",
    "SelfManagedKafkaEventSourceConfig",
}


def read_kafka_sources(source: Source, names: Mapping[str, str]) -> Iterator[KafkaSource]:
    """Every Kafka mapping; `names` maps logical ids of functions to their names."""
    for event in events_of(source, *_OF_SAM):
        with source.leaving_out():
            place, properties = event.properties()
            refuse_queue_mode(place, properties)
            place.only(properties, _OF_SAM[event.kind])
            start = KafkaSource(
                name=f"{event.function_id}{event.name}",
                function=names[event.function_id],
                topic=_topic(place, properties),
                bootstrap_servers=(),
                group_id=place.text("ConsumerGroupId", properties.get("ConsumerGroupId")),
            )
            if event.kind == "MSK":
                start = _of_msk(place, start, "Stream", properties.get("Stream"))
            else:
                start = _with_servers(place, start, properties.get("KafkaBootstrapServers"))
            yield _rest(place, properties, start)
    for logical_id, resource in source.resources(_MAPPING):
        with source.leaving_out():
            yield _resource(source, logical_id, resource, names)


def _resource(
    source: Source, logical_id: str, resource: LineDict, names: Mapping[str, str]
) -> KafkaSource:
    properties = source.resolved_properties(logical_id, resource)
    at = properties if properties.line else resource
    place = Place(source, at, f"Resources.{logical_id}.Properties")
    arn = properties.get("EventSourceArn")
    if arn is not None and not str(arn).startswith(_MSK_ARN):
        place.unsupported("EventSourceArn", f"{arn!r}: only Kafka mappings run here")
    is_msk = arn is not None
    config_name = "AmazonManaged" if is_msk else "SelfManaged"
    config_name += "KafkaEventSourceConfig"
    config = place.mapping(config_name, properties.get(config_name))
    config_place = place.inside(config_name, config)
    refuse_queue_mode(config_place, config)
    config_place.only(config, frozenset({"ConsumerGroupId", "ConsumptionMode"}))
    place.only(properties, _OF_RESOURCE)
    start = KafkaSource(
        name=logical_id,
        function=_function_name(place, properties, names),
        topic=_topic(place, properties),
        bootstrap_servers=(),
        group_id=config_place.text("ConsumerGroupId", config.get("ConsumerGroupId")),
    )
    if is_msk:
        start = _of_msk(place, start, "EventSourceArn", arn)
    else:
        cluster = properties.get("SelfManagedEventSource")
        endpoints = cluster.get("Endpoints") if isinstance(cluster, dict) else None
        servers = endpoints.get("KafkaBootstrapServers") if isinstance(endpoints, dict) else None
        start = _with_servers(place, start, servers)
    return _rest(place, properties, start)


def _rest(place: Place, properties: Mapping[str, Any], start: KafkaSource) -> KafkaSource:
    """`start` with everything that all three ways of writing a mapping have in common."""
    window = properties.get(_WINDOW)
    response_types = properties.get("FunctionResponseTypes") or []
    if response_types not in ([], ["ReportBatchItemFailures"]):
        place.fail("FunctionResponseTypes", "only ReportBatchItemFailures is known")
    group_id = start.group_id or f"{start.function}-{start.topic}"
    if len(group_id) > GROUP_ID_LENGTH_MAX:
        place.fail("ConsumerGroupId", f"has {GROUP_ID_LENGTH_MAX} characters at most")
    position, timestamp_s = read_position(place, properties)
    pollers_min, pollers_max = read_pollers(place, properties)
    age_s_max = _number(place, properties, "MaximumRecordAgeInSeconds", -1, AGE_S_MAX, -1)
    if age_s_max != -1 and age_s_max < AGE_S_MIN:
        place.fail("MaximumRecordAgeInSeconds", f"is -1 or from {AGE_S_MIN} to {AGE_S_MAX}")
    bisect = properties.get("BisectBatchOnFunctionError")
    _warn_of_aws(place, properties)
    return replace(
        start,
        group_id=group_id,
        starting_position=position,
        starting_timestamp_s=timestamp_s,
        batch_size=_number(place, properties, "BatchSize", 1, BATCH_SIZE_MAX, 100),
        window_s=0.5
        if window is None
        else float(whole_number(place, _WINDOW, window, 0, WINDOW_S_MAX)),
        report_batch_item_failures=bool(response_types),
        retries_max=_number(place, properties, "MaximumRetryAttempts", -1, RETRIES_MAX, -1),
        record_age_s_max=age_s_max,
        bisect_on_error=place.boolean("BisectBatchOnFunctionError", _switch(bisect)),
        on_failure=read_failure_destination(place, properties, start.topic),
        filters=read_filters(place, properties),
        pollers_min=pollers_min,
        pollers_max=pollers_max,
        access=read_access(place, properties),
        enabled=place.boolean("Enabled", _switch(properties.get("Enabled")), default=True),
    )


def _warn_of_aws(place: Place, properties: Mapping[str, Any]) -> None:
    """What works here without provisioned mode, and not on AWS."""
    if properties.get("ProvisionedPollerConfig"):
        return
    for name in _PROVISIONED_ONLY:
        if properties.get(name):
            message = "AWS takes it in provisioned mode only: add ProvisionedPollerConfig"
            place.source.warn(place.at, f"{place.path}.{name}", message)


def _number(
    place: Place, properties: Mapping[str, Any], name: str, low: int, high: int, default: int
) -> int:
    value = properties.get(name)
    return default if value is None else whole_number(place, name, value, low, high)


def _switch(value: Any) -> Any:
    """`True`, `TRUE` and the like, as YAML and CloudFormation have them, are `true`."""
    return value.lower() if isinstance(value, str) else value


def _of_msk(place: Place, start: KafkaSource, what: str, arn: Any) -> KafkaSource:
    if not str(arn or "").startswith(_MSK_ARN):
        place.fail(what, f"is the ARN of an MSK cluster, {_MSK_ARN}…")
    return replace(start, kind="msk", source_arn=str(arn))


def _with_servers(place: Place, start: KafkaSource, servers: Any) -> KafkaSource:
    if not isinstance(servers, list) or not servers:
        place.fail("", "KafkaBootstrapServers is a list of host:port")
    return replace(start, bootstrap_servers=tuple(str(server) for server in servers))


def _topic(place: Place, properties: Mapping[str, Any]) -> str:
    topics = properties.get("Topics")
    if not isinstance(topics, list) or len(topics) != 1:
        place.fail("Topics", "a Kafka mapping has exactly one topic")
    return str(topics[0])


def _function_name(place: Place, properties: Mapping[str, Any], names: Mapping[str, str]) -> str:
    given = str(properties.get("FunctionName", ""))
    # A name, an ARN, or either with an alias or version behind it.
    parts = given.removeprefix("arn:").split(":")
    name = parts[5] if given.startswith("arn:") and len(parts) > 5 else parts[0]
    if place.source.is_left_out(name):
        place.unsupported("FunctionName", f"{name} is left out itself")
    if name not in names.values():
        place.fail("FunctionName", f"{given!r} is no function of this template")
    return name
