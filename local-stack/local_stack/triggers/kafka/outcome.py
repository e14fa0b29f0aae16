"""What a function said of a batch: which offset of each partition is done. Pure.

Partial batch response: the lowest failed offset of a partition becomes its checkpoint; an empty
list or nothing means that all went well; an identifier that is empty or names no record of the
batch means that the whole batch failed (Lambda developer guide, "Partial batch responses").
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local_stack.triggers.kafka.event import Record


def failed_offsets(payload: bytes, batch: Sequence[Record]) -> Mapping[int, int] | None:
    """Partition → lowest failed offset; empty when all is done, None when the whole batch failed."""
    try:
        result = json.loads(payload)
    except ValueError:
        return None
    failures = result.get("batchItemFailures") if isinstance(result, dict) else None
    if not failures:
        return {}
    if not isinstance(failures, list):
        return None
    known = {(f"{record.topic}-{record.partition}", record.offset): record for record in batch}
    lowest: dict[int, int] = {}
    for failure in failures:
        record = known.get(_identifier(failure))
        if record is None:
            return None
        offset = lowest.get(record.partition, record.offset)
        lowest[record.partition] = min(offset, record.offset)
    return lowest


def _identifier(failure: Any) -> tuple[str, int]:
    """Partition and offset of one reported failure; what names no record when it is malformed.

    Powertools says `partition`; earlier versions of the guide's page said `topic-partition`.
    """
    try:
        identifier = failure["itemIdentifier"]
        partition = identifier.get("partition", identifier.get("topic-partition"))
        offset = identifier["offset"]
    except (AttributeError, KeyError, TypeError):
        return "", -1
    is_whole = isinstance(offset, int) and not isinstance(offset, bool)
    return (partition, offset) if isinstance(partition, str) and is_whole else ("", -1)
