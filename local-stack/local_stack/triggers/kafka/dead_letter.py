"""What is written to an on-failure topic for a record that was given up. Pure.

Shape: Lambda developer guide, "Using a Kafka topic as an on-failure destination": one message a
record, with the key of the record, metadata about the failure, and the event that held the record.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local_stack.model import VERSION, function_arn
from local_stack.triggers.kafka.event import build_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local_stack.triggers.kafka.event import Record
    from local_stack.triggers.kafka.retry import Piece


def dead_letter(
    piece: Piece,
    record: Record,
    *,
    function: str,
    bootstrap_servers: Sequence[str],
    source_arn: str | None,
    now: datetime,
    with_payload: bool = True,
) -> bytes:
    """The message for `record` of the given-up `piece`.

    Without its payload it still tells where the record is: for one that no broker takes twice.
    """
    assert piece.given_up is not None
    payload = build_event([record], bootstrap_servers, source_arn)
    info: dict[str, Any] = {"batchSize": 1}
    if source_arn is not None:
        info["eventSourceArn"] = source_arn
    info |= {
        "bootstrapServers": ",".join(bootstrap_servers),
        "payloadSize": len(payload),
        "recordInfo": {
            "offset": str(record.offset),
            "timestamp": _time(datetime.fromtimestamp(max(0, record.timestamp) / 1000, tz=UTC)),
        },
    }
    message: dict[str, Any] = {
        "requestContext": {
            "requestId": piece.response.request_id if piece.response else "",
            "functionArn": f"{function_arn(function)}:{VERSION}",
            "condition": piece.given_up.value,
            "approximateInvokeCount": piece.invocations,
        },
        "responseContext": _response_context(piece),
        "version": "1.0",
        "timestamp": _time(now),
        "KafkaBatchInfo": info,
    }
    if with_payload:
        message["payload"] = json.loads(payload)
    return json.dumps(message, separators=(",", ":")).encode()


def _response_context(piece: Piece) -> dict[str, Any] | None:
    """None when the function never saw the record."""
    if piece.response is None:
        return None
    context: dict[str, Any] = {"statusCode": 200, "executedVersion": VERSION}
    if piece.response.function_error is not None:
        context["functionError"] = piece.response.function_error
    return context


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
