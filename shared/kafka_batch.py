"""A Kafka function: records in, each decoded, processed together, and never a good one lost.

A record that can never be decoded is *poison*: it goes to the dead-letter topic with the reason and
counts as done (ADR 0008 says why it is not reported in `batchItemFailures`). When processing
fails, the error leaves, and Lambda brings the whole batch again. Never mix the two.

The event's shape: https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NotRequired, TypedDict, TypeVar

from shared import kafka
from shared.betting.events import DEAD_LETTER_TOPIC, REQUEST_ID_HEADER
from shared.clock import Deadline
from shared.errors import PoisonRecord
from shared.observability import begin_invocation, count, end_invocation, logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from aws_lambda_powertools.utilities.typing import LambdaContext

T = TypeVar("T")

# Time left after processing for the dead letters and the answer.
DEADLINE_MARGIN_S = 5.0
REQUEST_IDS_LOGGED_MAX = 5


class KafkaRecord(TypedDict):
    """One record of the event. A tombstone has no value, a record without key no key."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestampType: str
    key: NotRequired[str | None]
    value: NotRequired[str | None]
    headers: NotRequired[list[dict[str, list[int]]] | None]


class KafkaEvent(TypedDict):
    """What a Kafka event source mapping invokes with."""

    eventSource: str
    bootstrapServers: str
    records: dict[str, list[KafkaRecord]]


class BatchResponse(TypedDict):
    """The answer: nothing failed. What fails is raised."""

    batchItemFailures: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Decoded(Generic[T]):
    values: list[T]
    skipped: list[KafkaRecord]
    poison: list[tuple[KafkaRecord, PoisonRecord]]


def kafka_handler(
    process: Callable[[Sequence[T], Deadline], None], *, decode: Callable[[bytes | None], T | None]
) -> Callable[[KafkaEvent, LambdaContext], BatchResponse]:
    """The Lambda handler of a Kafka function.

    `decode` gets a record's value and returns what it says, None for what is not for this reader,
    or raises `PoisonRecord`. `process` gets all of a batch, in order per partition, and a deadline;
    it has to be idempotent, because whatever it raises brings the whole batch again.
    """

    def handler(event: KafkaEvent, context: LambdaContext) -> BatchResponse:
        begin_invocation(context.aws_request_id)
        try:
            batches = event["records"]
            deadline = Deadline.of(context, margin_s=DEADLINE_MARGIN_S)
            decoded = _decode_all(batches.values(), decode)
            _log_batch(batches, decoded)
            process(decoded.values, deadline)
            # Last, so that a batch that comes again does not fill the dead letters with twins.
            _bury(decoded.poison)
            return {"batchItemFailures": []}
        finally:
            end_invocation()

    return handler


def _decode_all(
    batches: Iterable[list[KafkaRecord]], decode: Callable[[bytes | None], T | None]
) -> _Decoded[T]:
    """Decode every record of every partition.

    By hand, 2.5 µs a record: Powertools' KafkaEvent costs hardly more (2.8 µs), but its import
    69 ms of a cold start, and it raises KeyError for a tombstone (measured, 3.37).
    """
    decoded: _Decoded[T] = _Decoded([], [], [])
    for records in batches:
        for record in records:
            try:
                value = decode(_bytes(record.get("value")))
            except PoisonRecord as error:
                decoded.poison.append((record, error))
            else:
                if value is None:
                    decoded.skipped.append(record)
                else:
                    decoded.values.append(value)
    return decoded


def _bury(poison: Sequence[tuple[KafkaRecord, PoisonRecord]]) -> None:
    """Publish what nobody can read, as it came, with the reason and where it was."""
    if not poison:
        return
    count("PoisonRecords", len(poison))
    for start, end in _fitting_slices([record for record, _ in poison]):
        published = kafka.publish([_dead_letter(*each) for each in poison[start:end]])
        if published.error is not None:
            raise published.error


def _fitting_slices(records: Sequence[KafkaRecord]) -> Iterable[tuple[int, int]]:
    """Slices of `records` that one publish may carry. base64 is longer than what it encodes."""
    start, size = 0, 0
    for index, record in enumerate(records):
        record_size = len(record.get("value") or "") + len(record.get("key") or "") + 1_000
        if index > start and size + record_size > kafka.PUBLISH_BYTES_MAX:
            yield start, index
            start, size = index, 0
        size += record_size
    yield start, len(records)


def _dead_letter(record: KafkaRecord, error: PoisonRecord) -> kafka.Record:
    origin = {
        "reason": error.message,
        "topic": record["topic"],
        "partition": str(record["partition"]),
        "offset": str(record["offset"]),
    }
    logger().error("poison record", extra=origin)
    headers = [(name, value.encode()) for name, value in origin.items()]
    headers += [
        (name, bytes(value))
        for header in record.get("headers") or ()
        for name, value in header.items()
        if name not in origin
    ]
    key = _bytes(record.get("key"))
    return kafka.Record(DEAD_LETTER_TOPIC, key, _bytes(record.get("value")) or b"", headers)


def _log_batch(batches: dict[str, list[KafkaRecord]], decoded: _Decoded[T]) -> None:
    """One line a batch: what came from where, and some of the requests that caused it."""
    spans = {
        partition: [records[0]["offset"], records[-1]["offset"]]
        for partition, records in batches.items()
        if records
    }
    requests: dict[str, None] = {}
    for records in batches.values():
        for record in records[:REQUEST_IDS_LOGGED_MAX]:
            requests[_request_id(record)] = None
    logger().info(
        "records received",
        extra={
            "offsets": spans,
            "count": len(decoded.values),
            "skipped": len(decoded.skipped),
            "poison": len(decoded.poison),
            "request_ids": list(requests)[:REQUEST_IDS_LOGGED_MAX],
        },
    )
    for record in decoded.skipped[:REQUEST_IDS_LOGGED_MAX]:
        logger().info(
            "record skipped",
            extra={
                "topic": record["topic"],
                "partition": record["partition"],
                "offset": record["offset"],
            },
        )


def _request_id(record: KafkaRecord) -> str:
    for header in record.get("headers") or ():
        if REQUEST_ID_HEADER in header:
            return bytes(header[REQUEST_ID_HEADER]).decode("utf-8", "replace")
    return ""


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
