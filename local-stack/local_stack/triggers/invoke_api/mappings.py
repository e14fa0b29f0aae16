"""Answers of the Lambda API about event source mappings. Pure."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from local_stack.model import ACCOUNT_ID, REGION, function_arn

if TYPE_CHECKING:
    from local_stack.model import KafkaSource

_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:event-source-mapping"


def mapping_uuid(source: KafkaSource) -> str:
    """The mapping's id, made of its name: the same with every start and on every host."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{_ARN}:{source.name}"))


def mapping_answer(source: KafkaSource) -> dict[str, Any]:
    """An EventSourceMappingConfiguration; what signs in to the brokers is not shown."""
    identity = mapping_uuid(source)
    answer: dict[str, Any] = {
        "UUID": identity,
        "EventSourceMappingArn": f"{_ARN}:{identity}",
        "FunctionArn": function_arn(source.function),
        "Topics": [source.topic],
        "StartingPosition": source.starting_position,
        "BatchSize": source.batch_size,
        "MaximumRetryAttempts": source.retries_max,
        "MaximumRecordAgeInSeconds": source.record_age_s_max,
        "BisectBatchOnFunctionError": source.bisect_on_error,
        "FunctionResponseTypes": (
            ["ReportBatchItemFailures"] if source.report_batch_item_failures else []
        ),
        "ProvisionedPollerConfig": {
            "MinimumPollers": source.pollers_min,
            "MaximumPollers": source.pollers_max,
        },
        "State": "Enabled" if source.enabled else "Disabled",
        "StateTransitionReason": "USER_INITIATED",
        "LastModified": 0,
        **_cluster(source),
    }
    if source.window_s == int(source.window_s):  # Kafka's default, half a second, is shown by none
        answer["MaximumBatchingWindowInSeconds"] = int(source.window_s)
    if source.starting_timestamp_s is not None:
        answer["StartingPositionTimestamp"] = source.starting_timestamp_s
    if source.filters:
        answer["FilterCriteria"] = {"Filters": [{"Pattern": text} for text in source.filters]}
    if source.on_failure is not None:
        answer["DestinationConfig"] = {"OnFailure": {"Destination": source.on_failure.arn}}
    return answer


def _cluster(source: KafkaSource) -> dict[str, Any]:
    group = {"ConsumerGroupId": source.group_id}
    if source.kind == "msk":
        return {
            "EventSourceArn": source.source_arn,
            "AmazonManagedKafkaEventSourceConfig": group,
        }
    endpoints = {"KAFKA_BOOTSTRAP_SERVERS": list(source.bootstrap_servers)}
    return {
        "SelfManagedEventSource": {"Endpoints": endpoints},
        "SelfManagedKafkaEventSourceConfig": group,
    }
