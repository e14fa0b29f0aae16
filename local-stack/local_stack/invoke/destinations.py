"""Where the record of a settled asynchronous event goes: another function, or a Kafka topic.

A function is a destination as on AWS: it is invoked asynchronously with the record. A topic is
Kafka's counterpart of AWS's queues and topics; the record's key is the request id.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from local_stack.errors import LocalStackError, RuntimeFailed
from local_stack.model import Destination, function_arn

if TYPE_CHECKING:
    from local_stack.invoke.async_policy import Event, Settled

RECORD_BYTES_MAX = 1024 * 1024  # what an asynchronous invocation takes, and most brokers by default
_FUNCTION = function_arn("")
_TOPIC = "kafka://"


class Topics(Protocol):
    """What is needed of `kafka_writer.TopicWriter`."""

    async def send(self, topic: str, value: bytes, *, key: bytes | None = None) -> None:
        """Write one record; raises `RuntimeFailed` when it was not acknowledged in time."""

    async def close(self) -> None:
        """Let go of the connection."""


class Undeliverable(LocalStackError):
    """A record that no further attempt can deliver."""


def destination_of(arn: str) -> Destination:
    """The destination that `Destination.arn` was made from."""
    if arn.startswith(_TOPIC):
        return Destination("kafka", arn.removeprefix(_TOPIC))
    assert arn.startswith(_FUNCTION), arn
    return Destination("function", arn.removeprefix(_FUNCTION))


async def send_to_topic(topics: Topics | None, topic: str, record: bytes, event: Event) -> None:
    """Write the record of `event`. Raises `Undeliverable`, or `RuntimeFailed` to try again."""
    if topics is None:
        raise RuntimeFailed("no brokers are known: set kafka_bootstrap_servers")
    check_size(record)
    await topics.send(topic, record, key=event.request_id.encode())


def check_size(record: bytes) -> None:
    """Raise `Undeliverable` for a record that is too large: request and response are in it."""
    if len(record) > RECORD_BYTES_MAX:
        msg = f"the record of {len(record)} bytes is over the limit of {RECORD_BYTES_MAX}"
        raise Undeliverable(msg)


def record(
    event: Event, payload: bytes, settled: Settled, executed_version: str, now_s: float
) -> bytes:
    """What a destination is sent (Developer Guide, "Capturing records of asynchronous invocations").

    `event` is the event before its last attempt. Without an outcome there is no response: the
    function has not seen the event, or what it answered earlier was not kept.
    """
    outcome = settled.outcome
    at = datetime.fromtimestamp(now_s, tz=UTC)
    document: dict[str, object] = {
        "version": "1.0",
        "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": event.arn,
            "condition": settled.condition.value,
            "approximateInvokeCount": event.invoke_count + (outcome is not None),
        },
        "requestPayload": json.loads(payload),
    }
    if outcome is not None:
        response: dict[str, object] = {"statusCode": 200, "executedVersion": executed_version}
        if outcome.function_error is not None:
            response["functionError"] = outcome.function_error
        document["responseContext"] = response
        document["responsePayload"] = _json_or_text(outcome.payload)
    return json.dumps(document).encode()


def _json_or_text(payload: bytes) -> object:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")
