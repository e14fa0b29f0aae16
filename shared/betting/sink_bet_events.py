"""Store events of `bet-events` in ClickHouse so that each counts once, however often it comes.

1. Twins inside a batch are dropped here.
2. What the table has already is looked up, in the time span of the batch, and left out.
3. The insert carries a token made of its event ids, so the same insert arriving twice (one that
   outlived its invocation, repeated by the next) is refused by ClickHouse, views included.
4. An insert that died between the table and its views left rows that no aggregate counts. When
   such rows come again, their whole insert is repeated with its token: the table refuses it, and
   the views take what they lack.

It must never reach PostgreSQL or FastAPI: it has to start fast and to work without them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from uuid import UUID

from shared import clickhouse
from shared.clickhouse import Column
from shared.observability import count, logger

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from shared.betting.events import BetPlacedV1
    from shared.clock import Deadline

TABLE = "bet_events"
LOOKUP_TIMEOUT_S = 5.0
INSERT_TIMEOUT_S = 15.0
# A batch usually spans milliseconds. Ids are sought in the spans between wider gaps, so that one
# old event among new ones does not make ClickHouse read all that lies between them.
SPAN_GAP = timedelta(hours=1)
SPANS_MAX = 32
# Tables remember 100,000 tokens, which is this long at 27 inserts a second. Older rows are settled.
TOKEN_MEMORY_S = 3_600
# How many inserts one batch completes, and how far around its events theirs are sought.
COMPLETED_MAX = 64
COMPLETED_SPAN = timedelta(days=1)

COLUMNS = {
    "event_id": "UUID",
    "event_type": "LowCardinality(String)",
    "occurred_at": "DateTime64(6, 'UTC')",
    "bet_id": "UUID",
    "user_id": "UUID",
    "game_id": "UUID",
    "amount": "Decimal(18, 2)",
    "bet_type": "LowCardinality(String)",
    "bet_value": "Nullable(String)",
    "odds": "Decimal(9, 2)",
    "potential_win": "Decimal(18, 2)",
    "transaction_id": "UUID",
    "new_balance": "Decimal(18, 2)",
    "insert_token": "UUID",
}

# Whether the aggregates count every row of some hours, and of their days.
_AGREES = """
SELECT
    (SELECT count() FROM bet_events WHERE event_type = 'bet.placed'
        AND occurred_at >= toDateTime({hour:UInt32}, 'UTC')
        AND occurred_at < toDateTime({last_hour:UInt32}, 'UTC') + INTERVAL 1 HOUR)
    = (SELECT sum(bet_count) FROM bets_hourly
        WHERE period BETWEEN toDateTime({hour:UInt32}, 'UTC')
        AND toDateTime({last_hour:UInt32}, 'UTC'))
    AND (SELECT sum(bet_count) FROM bets_hourly
        WHERE toStartOfDay(period) BETWEEN toDateTime({day:UInt32}, 'UTC')
        AND toDateTime({last_day:UInt32}, 'UTC'))
    = (SELECT sum(bet_count) FROM bets_daily
        WHERE period BETWEEN toDateTime({day:UInt32}, 'UTC')
        AND toDateTime({last_day:UInt32}, 'UTC'))
"""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A row that the table has: the token of its insert, and whether that is still remembered."""

    event_id: UUID
    occurred_at_us: int
    insert_token: UUID
    is_recent: bool


def sink_bet_events(events: Sequence[BetPlacedV1], deadline: Deadline) -> None:
    """Store each event once. Raises `ClickHouseUnavailable`: then the whole batch must come again.

    Takes about 15 µs an event here; what else it takes is ClickHouse's.
    """
    unique = {event.event_id: event for event in events}
    if not unique:
        return
    stored = _look_up(unique.values(), deadline)
    if stored:
        _complete([row for row in stored if row.is_recent], deadline)
    known = {row.event_id for row in stored}
    fresh = [event for event_id, event in unique.items() if event_id not in known]
    if fresh:
        token = _token([event.event_id for event in fresh])
        columns = [[getattr(event, name) for event in fresh] for name in list(COLUMNS)[:-1]]
        _insert([*columns, [token] * len(fresh)], token, deadline)
    count("EventsStored", len(fresh))
    if len(fresh) < len(events):
        count("EventsRepeated", len(events) - len(fresh))


def _look_up(events: Collection[BetPlacedV1], deadline: Deadline) -> list[_Stored]:
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
        "SELECT event_id, toUnixTimestamp64Micro(occurred_at), insert_token,"  # noqa: S608 - numbers and UUIDs
        f" inserted_at > now64(3, 'UTC') - INTERVAL {TOKEN_MEMORY_S} SECOND"
        f" FROM {TABLE} WHERE ({spans})"
        f" AND event_id IN (SELECT toUUID(arrayJoin(splitByChar(',', '{ids}'))))",
        timeout_s=min(LOOKUP_TIMEOUT_S, deadline.remaining_s()),
        settings={"max_query_size": len(ids) + 10_000},
    )
    return [_Stored(*row) for row in rows]


def _complete(rows: Sequence[_Stored], deadline: Deadline) -> None:
    """Repeat the inserts that these rows came with, if the aggregates miss something.

    An insert is repeated only when all of its rows are found, which its token proves. What is left
    then is for ReconcileBets.
    """
    if not rows:
        return
    first, last = (pick(row.occurred_at_us for row in rows) for pick in (min, max))
    if _aggregates_agree(first // 1_000_000, last // 1_000_000, deadline):
        return
    margin = COMPLETED_SPAN // timedelta(microseconds=1)
    # Moments travel as numbers: a datetime would lose its time zone on the way.
    columns = ", ".join(COLUMNS).replace("occurred_at", "toUnixTimestamp64Micro(occurred_at)")
    tokens = dict.fromkeys(row.insert_token for row in rows)
    for token in list(tokens)[:COMPLETED_MAX]:
        inserted = clickhouse.query(
            f"SELECT {columns} FROM {TABLE}"  # noqa: S608 - names and numbers of ours
            f" WHERE occurred_at BETWEEN {_moment(first - margin)} AND {_moment(last + margin)}"
            " AND insert_token = {token:UUID}",
            {"token": token},
            timeout_s=min(LOOKUP_TIMEOUT_S, deadline.remaining_s()),
        )
        is_whole = _token([row[0] for row in inserted]) == token
        logger().warning(
            "insert repeated" if is_whole else "insert cannot be repeated",
            extra={"token": str(token), "rows": len(inserted)},
        )
        if is_whole:
            _insert(list(zip(*inserted, strict=True)), token, deadline)


def _aggregates_agree(first_s: int, last_s: int, deadline: Deadline) -> bool:
    hour_s, day_s = 3_600, 86_400
    rows = clickhouse.query(
        _AGREES,
        {
            "hour": first_s // hour_s * hour_s,
            "last_hour": last_s // hour_s * hour_s,
            "day": first_s // day_s * day_s,
            "last_day": last_s // day_s * day_s,
        },
        timeout_s=min(LOOKUP_TIMEOUT_S, deadline.remaining_s()),
    )
    return bool(rows[0][0])


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


def _token(event_ids: Iterable[UUID]) -> UUID:
    """The same for the same events, in whatever order they come."""
    ids = sorted(event_id.bytes for event_id in event_ids)
    return UUID(bytes=hashlib.sha256(b"".join(ids)).digest()[:16])


def _insert(columns: Sequence[Sequence[object]], token: UUID, deadline: Deadline) -> None:
    clickhouse.insert(
        TABLE,
        [
            Column(name, type_, values)
            for (name, type_), values in zip(COLUMNS.items(), columns, strict=True)
        ],
        timeout_s=min(INSERT_TIMEOUT_S, deadline.remaining_s()),
        settings={
            "insert_deduplication_token": str(token),
            "deduplicate_blocks_in_dependent_materialized_views": 1,
            # Whatever months a batch holds, refusing it for their number would help nobody.
            "max_partitions_per_insert_block": 0,
        },
    )
