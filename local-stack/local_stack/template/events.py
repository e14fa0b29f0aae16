"""Which events of functions run here; who reads them is http.py, schedules.py and kafka.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_stack.template.references import FUNCTION
from local_stack.template.source import LineDict

if TYPE_CHECKING:
    from local_stack.template.source import Source

SUPPORTED = ("HttpApi", "Api", "Schedule", "ScheduleV2", "SelfManagedKafka", "MSK")
# SAM specification, EventSource: the kinds that it knows, and that do not run here.
_OTHERS = frozenset(
    [
        "AlexaSkill",
        "CloudWatchEvent",
        "CloudWatchLogs",
        "Cognito",
        "DocumentDB",
        "DynamoDB",
        "EventBridgeRule",
        "IoTRule",
        "Kinesis",
        "MQ",
        "S3",
        "SNS",
        "SQS",
    ]
)


def check_event_kinds(source: Source) -> None:
    """Every event of every function runs here; others are refused, or left out."""
    known = f"supported are {', '.join(SUPPORTED)} and AWS::Lambda::EventSourceMapping"
    for logical_id, resource in source.resources(FUNCTION):
        properties = source.properties(logical_id, resource)
        events, path = properties.get("Events"), f"Resources.{logical_id}.Properties.Events"
        if events is not None and not isinstance(events, LineDict):
            source.fail(properties, path, "is a mapping")
        for name, event in (events or {}).items():
            where = f"{path}.{name}"
            if not isinstance(event, LineDict):
                source.fail(events, where, "is a mapping")
            kind, message = event.get("Type"), f"event type {event.get('Type')!r}"
            if kind in SUPPORTED:
                continue
            if str(kind) not in _OTHERS:
                source.fail(event, where, f"{message} is none of SAM's", known)
            with source.leaving_out():
                source.unsupported(event, where, f"{message} does not run here", known)
