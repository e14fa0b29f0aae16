"""How many bets, and for how much, by hour or day: read from the aggregates in ClickHouse.

Periods are UTC. Nothing here scans bets: an hour is one row of `bets_hourly`, or a few before they
are merged.
"""

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Literal, NamedTuple

from pydantic import PlainValidator, WithJsonSchema

from shared import clickhouse, clock
from shared.betting.model import CENT, Answer, Money
from shared.errors import ValidationFailed

PERIODS_MAX = 1_000
DAYS_DEFAULT = 7
YEAR_MIN, YEAR_MAX = 2000, 2100  # ClickHouse's DateTime ends in 2106
QUERY_TIMEOUT_S = 5.0

GroupBy = Literal["hour", "day"]
_STEP = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
_TOO_MANY_PERIODS = f"must not be more than {PERIODS_MAX} periods before endDate"
_TABLE = {"hour": "bets_hourly", "day": "bets_daily"}
_BETS_BY_PERIOD = """
SELECT toUnixTimestamp(period), sum(bet_count), sum(total_amount)
FROM {table:Identifier}
WHERE period BETWEEN toDateTime({first:UInt32}, 'UTC') AND toDateTime({last:UInt32}, 'UTC')
GROUP BY period
ORDER BY period
"""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class Bound(NamedTuple):
    """One end of the time asked for. A date means its whole day."""

    at: datetime
    is_day: bool

    def text(self) -> str:
        """As it was asked: a date, or a moment in UTC."""
        if self.is_day:
            return self.at.date().isoformat()
        return self.at.isoformat().replace("+00:00", "Z")


def _bound(value: object) -> Bound:
    text = str(value)[:40]
    is_day = _DATE.fullmatch(text) is not None
    try:
        if is_day:
            at = datetime.combine(date.fromisoformat(text), time(), UTC)
        else:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be an ISO 8601 date or date and time") from None
    if not YEAR_MIN <= at.year < YEAR_MAX:
        msg = f"must lie between {YEAR_MIN} and {YEAR_MAX}"
        raise ValueError(msg)
    return Bound(at, is_day)


PeriodBound = Annotated[
    Bound,
    PlainValidator(_bound),
    WithJsonSchema({"type": "string", "description": "ISO 8601 date or date and time, UTC"}),
]


class PeriodBets(Answer):
    """The bets of one hour (named by its first moment) or day (named by its date)."""

    period: str
    bet_count: int
    total_amount: Money
    avg_amount: Money


class Span(Answer):
    """The time that the answer covers, both ends included."""

    start_date: str
    end_date: str


class BetAnalytics(Answer):
    """Bets by period, oldest first; periods without bets are left out."""

    analytics: list[PeriodBets]
    group_by: GroupBy
    period: Span


def get_bet_analytics(
    group_by: GroupBy, start: Bound | None = None, end: Bound | None = None
) -> BetAnalytics:
    """Bets from `start` to `end`, both included, the last seven days if not said otherwise.

    Raises `ValidationFailed` for a span that is negative or has more than `PERIODS_MAX` periods,
    and `ClickHouseUnavailable`.
    """
    end = end or Bound(_floor(clock.now(), "day"), is_day=True)
    start = start or Bound(_floor(end.at, "day") - timedelta(days=DAYS_DEFAULT - 1), is_day=True)
    first = _floor(start.at, group_by)
    last = _floor(end.at + timedelta(days=1) - _STEP[group_by] if end.is_day else end.at, group_by)
    if first > last:
        raise _fault("must not be after endDate")
    if (last - first) // _STEP[group_by] + 1 > PERIODS_MAX:
        raise _fault(_TOO_MANY_PERIODS)
    parameters = {
        "table": _TABLE[group_by],
        "first": int(first.timestamp()),
        "last": int(last.timestamp()),
    }
    rows = clickhouse.query(_BETS_BY_PERIOD, parameters, timeout_s=QUERY_TIMEOUT_S)
    return BetAnalytics(
        analytics=[_period(group_by, *row) for row in rows],
        group_by=group_by,
        period=Span(start_date=start.text(), end_date=end.text()),
    )


def _floor(at: datetime, group_by: GroupBy) -> datetime:
    """The first moment of the period that `at` lies in."""
    hour = at.hour if group_by == "hour" else 0
    return at.replace(hour=hour, minute=0, second=0, microsecond=0)


def _fault(message: str) -> ValidationFailed:
    return ValidationFailed(errors=[{"pointer": "/startDate", "message": message}])


def _period(group_by: GroupBy, start_s: int, bet_count: int, total: Decimal) -> PeriodBets:
    start = datetime.fromtimestamp(start_s, UTC)
    return PeriodBets(
        period=Bound(start, is_day=group_by == "day").text(),
        bet_count=bet_count,
        total_amount=total.quantize(CENT),
        avg_amount=(total / bet_count).quantize(CENT, ROUND_HALF_UP),
    )
