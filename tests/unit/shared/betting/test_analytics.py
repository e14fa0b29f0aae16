"""Which time analytics are asked for, and how an answer is told."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from shared import clickhouse, clock
from shared.betting.analytics import PERIODS_MAX, Bound, PeriodBound, get_bet_analytics
from shared.errors import ValidationFailed
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Mapping

BOUND: TypeAdapter[Bound] = TypeAdapter(PeriodBound)


class FakeAnalytics:
    """Answers every query with the same rows, and remembers what it was asked."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.rows = rows
        self.asked: list[Mapping[str, Any]] = []

    def query(self, sql: str, parameters: Mapping[str, Any], *, timeout_s: float) -> Any:
        self.asked.append(parameters)
        return self.rows


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeAnalytics:
    made = FakeAnalytics([])
    monkeypatch.setattr(clickhouse, "query", made.query)
    return made


def bound(text: str) -> Bound:
    return BOUND.validate_python(text)


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("text", "at", "told"),
    [
        ("2026-11-24", "2026-11-24T00:00:00Z", "2026-11-24"),
        ("2026-11-24T13:30:00+01:00", "2026-11-24T12:30:00Z", "2026-11-24T12:30:00Z"),
        ("2026-11-24T12:30", "2026-11-24T12:30:00Z", "2026-11-24T12:30:00Z"),
        ("2026-11-24T12:30:00.5Z", "2026-11-24T12:30:00.5Z", "2026-11-24T12:30:00.500000Z"),
    ],
)
def test_a_bound_is_a_date_or_a_moment_in_utc(text: str, at: str, told: str) -> None:
    assert bound(text).at == datetime.fromisoformat(at)
    assert bound(text).text() == told


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "yesterday",
            "24.11.2026",
            "2026-13-01",
            "2026-02-30",
            "1700000000",
            "2026-11-24T25:00",
        ),
        *("1999-12-31", "2100-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
        *("2026-11-24; DROP TABLE bets", "2026-11-24T00:00:00Z" + " " * 100, "\uff12026-11-24"),
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        bound(text)


def test_without_bounds_it_is_the_last_seven_days(fake: FakeAnalytics) -> None:
    noon = FakeClock(wall=datetime(2026, 11, 24, 12, 30, tzinfo=UTC).timestamp())
    with clock.use(noon):
        answer = get_bet_analytics("hour")
    assert fake.asked == [
        {
            "table": "bets_hourly",
            "first": seconds("2026-11-18T00:00:00Z"),
            "last": seconds("2026-11-24T23:00:00Z"),
        }
    ]
    assert (answer.period.start_date, answer.period.end_date) == ("2026-11-18", "2026-11-24")


def test_a_date_as_end_means_its_whole_day_and_a_moment_its_whole_period(
    fake: FakeAnalytics,
) -> None:
    get_bet_analytics("hour", bound("2026-11-24"), bound("2026-11-24"))
    get_bet_analytics("hour", bound("2026-11-24T10:59:59Z"), bound("2026-11-24T12:00:00Z"))
    get_bet_analytics("day", bound("2026-11-23T10:59:59Z"), bound("2026-11-24T12:00:00Z"))
    assert [(asked["first"], asked["last"]) for asked in fake.asked] == [
        (seconds("2026-11-24T00:00:00Z"), seconds("2026-11-24T23:00:00Z")),
        (seconds("2026-11-24T10:00:00Z"), seconds("2026-11-24T12:00:00Z")),
        (seconds("2026-11-23T00:00:00Z"), seconds("2026-11-24T00:00:00Z")),
    ]


def test_as_many_periods_as_the_bound_are_told_and_one_more_is_refused(fake: FakeAnalytics) -> None:
    last = bound("2026-11-24T12:30:00Z")
    first = datetime.fromtimestamp(last.at.timestamp() - 3600 * (PERIODS_MAX - 1), UTC)
    get_bet_analytics("hour", Bound(first, is_day=False), last)
    with pytest.raises(ValidationFailed) as caught:
        get_bet_analytics("hour", Bound(first.replace(minute=0, hour=first.hour - 1), False), last)
    assert caught.value.details["errors"] == [
        {"pointer": "/startDate", "message": "must not be more than 1000 periods before endDate"}
    ]


def test_a_start_after_the_end_is_refused(fake: FakeAnalytics) -> None:
    with pytest.raises(ValidationFailed):
        get_bet_analytics("hour", bound("2026-11-25"), bound("2026-11-24"))
    assert fake.asked == []


@pytest.mark.parametrize(
    ("group_by", "told"), [("hour", "2026-11-24T12:00:00Z"), ("day", "2026-11-24")]
)
def test_averages_are_rounded_half_up_to_cents(
    fake: FakeAnalytics, group_by: Any, told: str
) -> None:
    fake.rows = [(seconds("2026-11-24T12:00:00Z"), 8, Decimal("100.04"))]
    (period,) = get_bet_analytics(group_by, bound("2026-11-24"), bound("2026-11-24")).analytics
    assert (period.period, period.bet_count) == (told, 8)
    assert str(period.total_amount) == "100.04"
    assert str(period.avg_amount) == "12.51"  # 12.505
