"""The event that a Kafka event source mapping hands to a function. Pure.

Shape: Lambda developer guide, "Using Lambda with self-managed Apache Kafka" and "… with Amazon
MSK". A record without key or value has no such field (a tombstone arrives without `value`), header
values are arrays of byte numbers, `bootstrapServers` is one comma-separated text.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TIMESTAMP_TYPES = {0: "CREATE_TIME", 1: "LOG_APPEND_TIME"}


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record, as the client library gives it."""

    topic: str
    partition: int
    offset: int
    timestamp: int  # ms since the epoch
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """About how many bytes the record takes in an event: base64 and its field names."""
        size = 4 * (len(self.key or b"") + len(self.value or b"")) // 3 + 200
        return size + sum(len(name) + 4 * len(value) + 8 for name, value in self.headers)


def build_event(
    records: Iterable[Record], bootstrap_servers: Sequence[str], source_arn: str | None = None
) -> bytes:
    """The payload for one batch; records keep their order within each partition.

    With `source_arn`, the ARN of an MSK cluster, it is the event of Amazon MSK.
    """
    by_partition: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        by_partition.setdefault(f"{record.topic}-{record.partition}", []).append(_item(record))
    event: dict[str, Any] = {
        "eventSource": "SelfManagedKafka" if source_arn is None else "aws:kafka"
    }
    if source_arn is not None:
        event["eventSourceArn"] = source_arn
    event |= {"bootstrapServers": ",".join(bootstrap_servers), "records": by_partition}
    return json.dumps(event, separators=(",", ":")).encode()


def timestamp_type(record: Record) -> str:
    """The record's kind of time, as the event names it."""
    return _TIMESTAMP_TYPES.get(record.timestamp_type, "NO_TIMESTAMP_TYPE")


def _item(record: Record) -> dict[str, Any]:
    item: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "timestampType": timestamp_type(record),
    }
    if record.key is not None:
        item["key"] = base64.b64encode(record.key).decode("ascii")
    if record.value is not None:
        item["value"] = base64.b64encode(record.value).decode("ascii")
    item["headers"] = [{name: list(value)} for name, value in record.headers]
    return item
