"""The bets that ClickHouse has: to be compared with PostgreSQL's, and mended where they differ.

The aggregates are mended by adding what they lack: a difference between table and aggregate is read
in one query, so what the sink adds meanwhile is not in it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from shared import clickhouse
from shared.betting.books import Digest, Span
from shared.betting.events import BET_EVENTS_TOPIC, TOPIC_PARTITIONS
from shared.clickhouse import Column

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal
    from uuid import UUID

QUERY_TIMEOUT_S = 10.0
MUTATION_TIMEOUT_S = 15.0
# How far the sink has come is told by what it stored this recently.
PROGRESS_S = 10

_SPAN = (
    "occurred_at >= fromUnixTimestamp64Micro({start:Int64}, 'UTC')"
    " AND occurred_at < fromUnixTimestamp64Micro({end:Int64}, 'UTC')"
    " AND event_type = 'bet.placed'"
)

_DIGEST = f"""
SELECT count(), sum(amount),
    sum(toUInt64(reinterpretAsUInt32(reverse(unhex(right(toString(bet_id), 8))))))
FROM bet_events WHERE {_SPAN}
"""  # noqa: S608 - a constant of ours

_IDS = f"""
SELECT bet_id, groupArray(insert_token) FROM (
    SELECT bet_id, insert_token FROM bet_events WHERE {_SPAN} ORDER BY inserted_at, insert_token
) GROUP BY bet_id
"""  # noqa: S608 - a constant of ours

# Each partition is stored in its own order: the slowest of those that move says how far all came.
_PROGRESS = """
SELECT count(), toUnixTimestamp64Micro(min(newest)) FROM (
    SELECT max(occurred_at) AS newest FROM bet_events
    WHERE occurred_at > now64(6, 'UTC') - INTERVAL {span_s:UInt32} SECOND
        AND inserted_at > now64(3, 'UTC') - INTERVAL {recent_s:UInt32} SECOND
    GROUP BY kafkaMurmurHash(toString(user_id)) % {partitions:UInt32}
)
"""

_DIFFERENCES = """
SELECT toUnixTimestamp(period), sum(bets), sum(stakes) FROM (
    SELECT {start_of}(occurred_at) AS period, toInt64(count()) AS bets,
        toDecimal128(sum(amount), 2) AS stakes
    FROM bet_events WHERE event_type = 'bet.placed'
        AND occurred_at >= toDateTime({{start:UInt32}}, 'UTC')
        AND occurred_at < toDateTime({{end:UInt32}}, 'UTC')
    GROUP BY period
    UNION ALL
    SELECT period, -toInt64(sum(bet_count)), -toDecimal128(sum(total_amount), 2)
    FROM {table} WHERE period >= toDateTime({{start:UInt32}}, 'UTC')
        AND period < toDateTime({{end:UInt32}}, 'UTC')
    GROUP BY period
) GROUP BY period HAVING sum(bets) != 0 OR sum(stakes) != 0 ORDER BY period
"""


class Aggregate(NamedTuple):
    """A table of sums by period."""

    table: str
    start_of: str
    seconds: int


AGGREGATES = (
    Aggregate("bets_hourly", "toStartOfHour", 3_600),
    Aggregate("bets_daily", "toStartOfDay", 86_400),
)


class Difference(NamedTuple):
    """What an aggregate lacks in a period (negative: what it has too much of)."""

    period_s: int
    bets: int
    stakes: Decimal


def digest(span: Span) -> Digest:
    """Count, stakes and id sum of the bets in `span`; a bet that is there twice counts twice."""
    bets, stakes, tails = clickhouse.query(_DIGEST, _moments(span), timeout_s=QUERY_TIMEOUT_S)[0]
    return Digest(bets, stakes, tails)


def insert_tokens(span: Span) -> dict[UUID, list[UUID]]:
    """Each bet in `span`, with the tokens of the inserts it came with, the first one first."""
    rows = clickhouse.query(_IDS, _moments(span), timeout_s=QUERY_TIMEOUT_S)
    return {bet_id: list(tokens) for bet_id, tokens in rows}


def sink_progress(span_s: int) -> datetime | None:
    """Up to which moment the sink has come; None if it stored nothing lately, so waits for nothing.

    Bets older than `span_s` that are stored now do not count: they were announced again.
    """
    parameters = {
        "span_s": span_s,
        "recent_s": PROGRESS_S,
        "partitions": TOPIC_PARTITIONS[BET_EVENTS_TOPIC],
    }
    partitions, newest_us = clickhouse.query(_PROGRESS, parameters, timeout_s=QUERY_TIMEOUT_S)[0]
    return datetime.fromtimestamp(newest_us / 1e6, UTC) if partitions else None


def remove(span: Span, doubles: Sequence[tuple[UUID, UUID]]) -> None:
    """Take out rows of bets (`bet_id`, `insert_token`) that are there a second time."""
    pairs = ", ".join(f"(toUUID('{bet_id}'), toUUID('{token}'))" for bet_id, token in doubles)
    start, end = _moments(span).values()
    _mutate(
        "ALTER TABLE bet_events DELETE"
        f" WHERE occurred_at >= fromUnixTimestamp64Micro({start}, 'UTC')"
        f" AND occurred_at < fromUnixTimestamp64Micro({end}, 'UTC')"
        f" AND (bet_id, insert_token) IN ({pairs})"
    )


def differences(aggregate: Aggregate, span: Span) -> list[Difference]:
    """Where `aggregate` and the table disagree, in the periods that `span` touches."""
    seconds = aggregate.seconds
    start = int(span.start.timestamp()) // seconds * seconds
    end = (int(span.end.timestamp()) // seconds + 1) * seconds
    rows = clickhouse.query(
        _DIFFERENCES.format(start_of=aggregate.start_of, table=aggregate.table),
        {"start": start, "end": end},
        timeout_s=QUERY_TIMEOUT_S,
    )
    return [Difference(*row) for row in rows]


def mend(aggregate: Aggregate, difference: Difference) -> None:
    """Make `aggregate` agree with the table in one period.

    Sums cannot be lowered (a count is never negative), so a period that has too much is emptied
    first, and then lacks all of it.
    """
    if difference.bets < 0 or difference.stakes < 0:
        _mutate(
            f"ALTER TABLE {aggregate.table} DELETE"
            f" WHERE period = toDateTime({difference.period_s}, 'UTC')"
        )
        period = datetime.fromtimestamp(difference.period_s, UTC)
        lacking = differences(aggregate, _instant(period))
        for rest in lacking:
            if rest.bets > 0:
                _add(aggregate, rest)
        return
    _add(aggregate, difference)


def _add(aggregate: Aggregate, lacking: Difference) -> None:
    clickhouse.insert(
        aggregate.table,
        [
            Column("period", "DateTime('UTC')", [datetime.fromtimestamp(lacking.period_s, UTC)]),
            Column("bet_count", "UInt64", [lacking.bets]),
            Column("total_amount", "Decimal(38, 2)", [lacking.stakes]),
        ],
        timeout_s=QUERY_TIMEOUT_S,
        # The same lack twice is mended twice: an insert like an earlier one is no repetition.
        settings={"insert_deduplicate": 0},
    )


def _instant(moment: datetime) -> Span:
    return Span(moment, moment)


def _moments(span: Span) -> dict[str, int]:
    """Microseconds since the epoch, exactly: a float of seconds would not be."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return {
        name: (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
        for name, delta in (("start", span.start - epoch), ("end", span.end - epoch))
    }


def _mutate(sql: str) -> None:
    clickhouse.command(f"{sql} SETTINGS mutations_sync = 1", timeout_s=MUTATION_TIMEOUT_S)
