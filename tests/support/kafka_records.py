"""Kafka records for tests of what happens to them."""

from __future__ import annotations

from typing import Any

from local_stack.triggers.kafka.event import Record

TOPIC = "orders"


def a_record(partition: int = 0, offset: int = 0, **fields: Any) -> Record:
    """A small record; `fields` replace what it is made of."""
    values: dict[str, Any] = {
        "topic": TOPIC,
        "partition": partition,
        "offset": offset,
        "timestamp": 1_545_084_650_987,
        "timestamp_type": 0,
        "key": None,
        "value": b"v",
        "headers": [],
        **fields,
    }
    return Record(**values)
