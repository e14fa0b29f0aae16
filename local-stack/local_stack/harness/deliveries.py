"""What a test hands to an event source mapping, and what the mapping would make of the answer. Pure.

The event is the one that the Kafka source builds, the answer is read as the source reads it, and
what follows is planned as the source plans it; only Kafka itself is missing.
"""

from __future__ import annotations

import base64
import binascii
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from local_stack.errors import InvalidParameter
from local_stack.triggers.kafka.event import Record
from local_stack.triggers.kafka.filters import read_filters
from local_stack.triggers.kafka.retry import Condition, Outcome, Piece, Policy, is_expired, plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local_stack.model import KafkaSource

RECORDS_MAX = 10_000  # BatchSize's own limit


def read_records(items: object, topic: str, now_ms: int) -> list[Record]:
    """The records of a request, in its order; key and value are base64, both may be absent.

    Records without `offset` follow the one before them in their partition. Raises
    `InvalidParameter`, which names the record.
    """
    if not isinstance(items, list) or not 1 <= len(items) <= RECORDS_MAX:
        msg = f"records: a list of 1 to {RECORDS_MAX} records is needed"
        raise InvalidParameter(msg)
    next_offsets: dict[int, int] = {}
    records = []
    for index, item in enumerate(items):
        try:
            partition = int(item.get("partition", 0))
            offset = int(item.get("offset", next_offsets.get(partition, 0)))
            record = Record(
                topic=topic,
                partition=partition,
                offset=offset,
                timestamp=int(item.get("timestamp", now_ms)),
                timestamp_type=0,
                key=_bytes(item.get("key")),
                value=_bytes(item.get("value")),
                headers=tuple((str(k), _bytes(v) or b"") for k, v in item.get("headers") or ()),
            )
        except (AttributeError, TypeError, ValueError) as error:
            msg = f"records[{index}]: {error}"
            raise InvalidParameter(msg) from error
        next_offsets[partition] = offset + 1
        records.append(record)
    return records


class Run:
    """One batch on its way through a mapping: filtered, invoked, tried again, given up."""

    def __init__(self, source: KafkaSource, records: Sequence[Record]) -> None:
        """Raises `InvalidParameter` for more records than the mapping's batches have."""
        passes = read_filters(source.filters)
        sent = [record for record in records if passes is None or passes(record)]
        if len(sent) > source.batch_size:
            msg = f"{len(sent)} records are more than the BatchSize {source.batch_size} of {source.name}: deliver several batches"
            raise InvalidParameter(msg)
        self._source = source
        self._policy = Policy.of(source)
        self._records = records
        self._sent = set(map(_place, sent))
        self._dead: set[tuple[int, int]] = set()
        by_partition: dict[int, list[Record]] = {}
        for record in sent:
            by_partition.setdefault(record.partition, []).append(record)
        pieces = tuple(Piece(number, tuple(group)) for number, group in by_partition.items())
        # Together at first; what is tried again goes out piece by piece, as the source has it.
        self._waiting: deque[tuple[Piece, ...]] = deque([pieces] if pieces else [])
        self._in_flight: tuple[Piece, ...] = ()
        self.buried: list[Piece] = []  # in the order in which they were given up

    def next_batch(self, now_ms: int) -> list[Record]:
        """What goes out now; nothing when all is settled. Records that are too old are buried."""
        while self._waiting:
            live = [self._without_the_old(piece, now_ms) for piece in self._waiting.popleft()]
            self._in_flight = tuple(piece for piece in live if piece.records)
            if self._in_flight:
                return [record for piece in self._in_flight for record in piece.records]
        return []

    def settle(self, outcome: Outcome) -> None:
        """What follows from how the invocation with the last batch ended."""
        again: list[tuple[Piece, ...]] = []
        for piece in self._in_flight:
            planned = plan(piece, outcome, self._policy)
            if planned.dead is not None:
                self._bury(planned.dead)
            again += [(left,) for left in planned.left]
        self._waiting.extendleft(reversed(again))
        self._in_flight = ()

    def partitions(self) -> dict[str, dict[str, Any]]:
        """By `topic-partition`: offsets that are done, come again, are dead, were filtered out.

        `checkpoint` is the next offset that is read.
        """
        again = {_place(r) for pieces in self._waiting for piece in pieces for r in piece.records}
        shown: dict[str, dict[str, Any]] = {}
        for record in sorted(self._records, key=_place):
            place = _place(record)
            partition = shown.setdefault(
                f"{record.topic}-{record.partition}",
                {"checkpoint": None, "done": [], "again": [], "dead": [], "filtered": []},
            )
            kind = "done" if place in self._sent else "filtered"
            kind = "dead" if place in self._dead else kind
            partition["again" if place in again else kind].append(record.offset)
            if not partition["again"]:
                partition["checkpoint"] = record.offset + 1
            elif len(partition["again"]) == 1 and place in again:
                partition["checkpoint"] = record.offset
        return shown

    def _without_the_old(self, piece: Piece, now_ms: int) -> Piece:
        old = tuple(r for r in piece.records if is_expired(r, self._policy, now_ms))
        if not old:
            return piece
        self._bury(replace(piece, records=old, given_up=Condition.AGE))
        kept = tuple(r for r in piece.records if not is_expired(r, self._policy, now_ms))
        return replace(piece, records=kept)

    def _bury(self, piece: Piece) -> None:
        self.buried.append(piece)
        self._dead |= {_place(record) for record in piece.records}


def _place(record: Record) -> tuple[int, int]:
    return record.partition, record.offset


def _bytes(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        msg = f"{text!r} is not base64"
        raise ValueError(msg) from error
