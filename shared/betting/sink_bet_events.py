"""Store events of `bet-events` in ClickHouse so that each counts once, however often it comes.

1. Twins inside a batch are dropped here.
2. What the table has already is looked up, in the time span of the batch, and left out.
3. The insert carries a token made of its event ids, so the same insert arriving twice (one that
   outlived its invocation, repeated by the next) is refused by ClickHouse, views included.
4. An insert that died between the table and its views left rows that count nowhere. When a batch
   brings all of such an insert again, it is repeated with its token: the table refuses it, and the
   views take what they lack.

It must never reach PostgreSQL or FastAPI: it has to start fast and to work without them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from shared import clickhouse
from shared.clickhouse import Column
from shared.observability import count

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from shared.betting.events import BetPlacedV1
    from shared.clock import Deadline

TABLE = "bet_events"
LOOKUP_TIMEOUT_S = 5.0
INSERT_TIMEOUT_S = 15.0
# A batch usually spans milliseconds. Ids are sought in the spans between wider gaps, so that one
# old event among new ones does not make ClickHouse read all that lies between them.
SPAN_GAP = timedelta(hours=1)
SPANS_MAX = 32
# Tables remember 10,000 tokens; at 30 inserts a second that is this long. Older rows are settled.
TOKEN_MEMORY_S = 300


@dataclass(frozen=True, slots=True)
class _Stored:
    """A row that the table has: the token of its insert, and whether that is still remembered."""

    insert_token: int
    is_recent: bool


def sink_bet_events(events: Sequence[BetPlacedV1], deadline: Deadline) -> None:
    """Store each event once. Raises `ClickHouseUnavailable`: then the whole batch must come again.

    Takes about 10 µs an event here; what else it takes is ClickHouse's.
    """
    unique = {event.event_id: event for event in events}
    if not unique:
        return
    stored = _look_up(unique.values(), deadline)
    fresh = [event for event_id, event in unique.items() if event_id not in stored]
    if stored:
        _complete([unique[event_id] for event_id in stored], stored, deadline)
    if fresh:
        _insert(fresh, deadline)
    count("EventsStored", len(fresh))
    if len(fresh) < len(events):
        count("EventsRepeated", len(events) - len(fresh))


def _look_up(events: Collection[BetPlacedV1], deadline: Deadline) -> dict[UUID, _Stored]:
    """Which of the events the table has.

    The ids travel as one string, taken apart on the server: 5,000 of them take 23 ms like this,
    42 ms as literals, and 200 ms as a constant array, which is searched from end to end. They are
    UUIDs, so nothing in them can be SQL.
    """
    spans = " OR ".join(
        f"occurred_at BETWEEN {_moment(first)} AND {_moment(last)}"
        for first, last in _spans(events)
    )
    ids = ",".join([str(event.event_id) for event in events])
    rows = clickhouse.query(
        "SELECT event_id, insert_token,"  # noqa: S608 - numbers and UUIDs only
        f" inserted_at > now64(3, 'UTC') - INTERVAL {TOKEN_MEMORY_S} SECOND"
        f" FROM {TABLE} WHERE ({spans})"
        f" AND event_id IN (SELECT toUUID(arrayJoin(splitByChar(',', '{ids}'))))",
        timeout_s=min(LOOKUP_TIMEOUT_S, deadline.remaining_s()),
        settings={"max_query_size": len(ids) + 10_000},
    )
    return {event_id: _Stored(token, bool(is_recent)) for event_id, token, is_recent in rows}


def _complete(
    events: Sequence[BetPlacedV1], stored: Mapping[UUID, _Stored], deadline: Deadline
) -> None:
    """Repeat inserts that this batch holds all of, in case their views were not reached."""
    by_token: dict[int, list[BetPlacedV1]] = {}
    for event in events:
        row = stored[event.event_id]
        if row.is_recent:
            by_token.setdefault(row.insert_token, []).append(event)
    for token, inserted in by_token.items():
        if _insert_token(_deduplication_token(inserted)) == token:
            _insert(inserted, deadline)


def _spans(events: Collection[BetPlacedV1]) -> list[tuple[int, int]]:
    """The time spans (microseconds since the epoch) that the events lie in, oldest first."""
    moments = sorted(round(event.occurred_at.timestamp() * 1_000_000) for event in events)
    gap = SPAN_GAP // timedelta(microseconds=1)
    # A float of seconds is exact to a microsecond or so: look a millisecond further on both sides.
    margin = 1_000
    first = moments[0]
    spans: list[tuple[int, int]] = []
    for previous, moment in pairwise(moments):
        if moment - previous > gap:
            spans.append((first - margin, previous + margin))
            first = moment
    spans.append((first - margin, moments[-1] + margin))
    if len(spans) > SPANS_MAX:
        return [(spans[0][0], spans[-1][1])]
    return spans


def _moment(microseconds: int) -> str:
    return f"fromUnixTimestamp64Micro({microseconds}, 'UTC')"


def _deduplication_token(events: Sequence[BetPlacedV1]) -> str:
    """The same for the same events, in whatever order they come."""
    ids = sorted(event.event_id.bytes for event in events)
    return hashlib.sha256(b"".join(ids)).hexdigest()


def _insert_token(deduplication_token: str) -> int:
    return int(deduplication_token[:16], 16)


def _insert(events: Sequence[BetPlacedV1], deadline: Deadline) -> None:
    token = _deduplication_token(events)
    clickhouse.insert(
        TABLE,
        [
            Column("event_id", "UUID", [event.event_id for event in events]),
            Column("event_type", "LowCardinality(String)", [event.event_type for event in events]),
            Column("occurred_at", "DateTime64(6, 'UTC')", [event.occurred_at for event in events]),
            Column("bet_id", "UUID", [event.bet_id for event in events]),
            Column("user_id", "UUID", [event.user_id for event in events]),
            Column("game_id", "UUID", [event.game_id for event in events]),
            Column("amount", "Decimal(18, 2)", [event.amount for event in events]),
            Column("bet_type", "LowCardinality(String)", [event.bet_type for event in events]),
            Column("bet_value", "Nullable(String)", [event.bet_value for event in events]),
            Column("odds", "Decimal(9, 2)", [event.odds for event in events]),
            Column("potential_win", "Decimal(18, 2)", [event.potential_win for event in events]),
            Column("transaction_id", "UUID", [event.transaction_id for event in events]),
            Column("new_balance", "Decimal(18, 2)", [event.new_balance for event in events]),
            Column("insert_token", "UInt64", [_insert_token(token)] * len(events)),
        ],
        timeout_s=min(INSERT_TIMEOUT_S, deadline.remaining_s()),
        settings={
            "insert_deduplication_token": token,
            "deduplicate_blocks_in_dependent_materialized_views": 1,
            # Whatever months a batch holds, refusing it for their number would help nobody.
            "max_partitions_per_insert_block": 0,
        },
    )
