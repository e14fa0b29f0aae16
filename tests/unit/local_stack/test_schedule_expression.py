"""rate, cron and at: what is read, and when it fires."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.template.schedule_expression import At, BadExpression, Cron, Kind, Rate, parse

LOS_ANGELES = ZoneInfo("America/Los_Angeles")
NOW = datetime(2026, 3, 9, 7, 5, 2, tzinfo=UTC)  # a Monday


def _cron(text: str) -> Cron:
    cron = parse(f"cron({text})")
    assert isinstance(cron, Cron)
    return cron


def _next(text: str, after: datetime = NOW, count: int = 1, zone: str = "UTC") -> list[str]:
    cron = _cron(text)
    found: list[str] = []
    for _ in range(count):
        tick = cron.next_after(after, ZoneInfo(zone))
        if tick is None:
            return found
        found.append(tick.strftime("%Y-%m-%d %H:%M"))
        after = tick
    return found


# --- rate ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("rate(1 minute)", 60.0),
        ("rate(5 minutes)", 300.0),
        ("rate(1 hour)", 3600.0),
        ("rate(7 days)", 604_800.0),
        ("rate(1 second)", 1.0),
        ("rate(30 seconds)", 30.0),
        ("rate(200 milliseconds)", 0.2),
        ("rate(50 milliseconds)", 0.05),
    ],
)
def test_a_rate_is_read(expression: str, seconds: float) -> None:
    kinds: tuple[Kind, ...] = ("rule", "scheduler")
    for kind in kinds:
        rate = parse(expression, kind)
        assert isinstance(rate, Rate)
        assert rate.seconds == pytest.approx(seconds)


def test_scheduler_takes_singular_and_plural_alike() -> None:
    assert parse("rate(1 days)", "scheduler") == Rate(86_400)
    assert parse("rate(5 minute)", "scheduler") == Rate(300)


@pytest.mark.parametrize(
    ("previous", "now", "due"),
    [(100, 100, 160), (100, 159, 160), (100, 160, 220), (100, 161, 220), (100, 500, 520)],
)
def test_ticks_stay_on_their_grid_and_missed_ones_are_skipped(
    previous: float, now: float, due: float
) -> None:
    assert Rate(60).next_after(previous, now) == due


# --- cron: the examples of the user guides ---------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ticks"),
    [
        ("0 10 * * ? *", ["2026-03-09 10:00", "2026-03-10 10:00"]),
        ("15 12 * * ? *", ["2026-03-09 12:15", "2026-03-10 12:15"]),
        ("0 18 ? * MON-FRI *", ["2026-03-09 18:00", "2026-03-10 18:00"]),
        ("0 8 1 * ? *", ["2026-04-01 08:00", "2026-05-01 08:00"]),
        ("0/15 * * * ? *", ["2026-03-09 07:15", "2026-03-09 07:30"]),
        ("0/10 * ? * MON-FRI *", ["2026-03-09 07:10", "2026-03-09 07:20"]),
        ("0/5 8-17 ? * MON-FRI *", ["2026-03-09 08:00", "2026-03-09 08:05"]),
        ("0/30 20-2 ? * MON-FRI *", ["2026-03-09 20:00", "2026-03-09 20:30"]),
        ("0 20-2/3 ? * FRI-MON *", ["2026-03-09 20:00", "2026-03-09 23:00"]),
        ("0 0 ? * FRI-SUN *", ["2026-03-13 00:00", "2026-03-14 00:00"]),
        ("15 10 ? * 6L 2022-2026", ["2026-03-27 10:15", "2026-04-24 10:15"]),
        ("0 9 ? * 2#1 *", ["2026-04-06 09:00", "2026-05-04 09:00"]),
        ("0 9 ? * TUE#2 *", ["2026-03-10 09:00", "2026-04-14 09:00"]),
        ("0 9 ? * 2#5 *", ["2026-03-30 09:00", "2026-06-29 09:00"]),
        ("0 0 L * ? *", ["2026-03-31 00:00", "2026-04-30 00:00"]),
        ("0 0 LW * ? *", ["2026-03-31 00:00", "2026-04-30 00:00"]),
        ("0 0 15W * ? *", ["2026-03-16 00:00", "2026-04-15 00:00"]),
        ("0 0 1W 8 ? *", ["2026-08-03 00:00", "2027-08-02 00:00"]),
        ("0 0 31W 5 ? *", ["2026-05-29 00:00", "2027-05-31 00:00"]),
        ("0 0 ? * L *", ["2026-03-14 00:00", "2026-03-21 00:00"]),
        ("0 0 ? * SUN *", ["2026-03-15 00:00", "2026-03-22 00:00"]),
        ("1/10 * * * ? *", ["2026-03-09 07:11", "2026-03-09 07:21"]),
        ("5 7 * * ? *", ["2026-03-10 07:05", "2026-03-11 07:05"]),
        ("0 0 29 2 ? *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 12 1,15 JAN,JUL ? *", ["2026-07-01 12:00", "2026-07-15 12:00"]),
        ("0 12 1 1 ? 2027", ["2027-01-01 12:00"]),
        ("0 12 1 1 ? 2025", []),
        ("0 0 31 2 ? *", []),
        ("0 0 31 12 ? 2199", ["2199-12-31 00:00"]),
    ],
)
def test_cron_fires_when_it_says(text: str, ticks: list[str]) -> None:
    assert _next(text, count=2) == ticks


def test_a_range_may_go_over_midnight() -> None:
    """The guide's own example: from 20 to 2 o'clock, on Monday to Friday."""
    assert sorted(_cron("0/30 20-2 ? * MON-FRI *").hours) == [0, 1, 2, 20, 21, 22, 23]
    friday = datetime(2026, 3, 13, 23, 45, tzinfo=UTC)
    assert _next("0/30 20-2 ? * MON-FRI *", friday) == ["2026-03-16 00:00"]


def test_names_may_be_written_in_lower_case() -> None:
    assert _next("0 9 ? jan mon *") == ["2027-01-04 09:00"]


def test_scheduler_may_leave_out_the_year() -> None:
    assert parse("cron(0 9 * * ?)", "scheduler") == _cron("0 9 * * ? *")
    with pytest.raises(BadExpression):
        parse("cron(0 9 * * ?)")


# --- time zones ------------------------------------------------------------------------------


def test_a_time_that_daylight_saving_skips_is_skipped() -> None:
    """30 2 in Los Angeles: clocks went forward from 2 to 3 on 8 March 2026."""
    before = datetime(2026, 3, 7, 12, tzinfo=LOS_ANGELES)

    ticks = _next("30 2 * * ? *", before, 2, "America/Los_Angeles")

    assert ticks == ["2026-03-09 09:30", "2026-03-10 09:30"]


def test_a_time_that_comes_twice_counts_once() -> None:
    """Clocks went back from 2 to 1 on 1 November 2026."""
    before = datetime(2026, 10, 31, 12, tzinfo=LOS_ANGELES)

    ticks = _next("30 1 * * ? *", before, 2, "America/Los_Angeles")

    assert ticks == ["2026-11-01 08:30", "2026-11-02 09:30"]


def test_the_day_is_that_of_the_zone() -> None:
    after = datetime(2026, 3, 9, 22, 0, tzinfo=UTC)  # already the 10th in Auckland

    assert _next("0 9 ? * TUE *", after, 1, "Pacific/Auckland") == ["2026-03-16 20:00"]
    assert _next("30 11 ? * TUE *", after, 1, "Pacific/Auckland") == ["2026-03-09 22:30"]


@given(
    start=st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),  # noqa: DTZ001
    zone=st.sampled_from(["UTC", "America/New_York", "Europe/Madrid", "Australia/Lord_Howe"]),
    text=st.sampled_from(
        ["0 * * * ? *", "30 2 * * ? *", "0/7 1-3 ? * SUN *", "59 23 L * ? *", "15 1 ? * 1#1 *"]
    ),
)
def test_ticks_only_go_forward_and_are_what_the_clock_shows(
    start: datetime, zone: str, text: str
) -> None:
    cron, place, after = _cron(text), ZoneInfo(zone), start.replace(tzinfo=UTC)
    for _ in range(5):
        tick = cron.next_after(after, place)
        assert tick is not None
        assert tick > after
        local = tick.astimezone(place)
        assert local.minute in cron.minutes
        assert local.hour in cron.hours
        assert local.second == local.microsecond == 0
        # Nothing was left out: a minute before, the same tick is still the next one.
        assert cron.next_after(tick - timedelta(minutes=1), place) == tick
        after = tick


# --- at --------------------------------------------------------------------------------------


def test_at_is_one_moment_of_a_zone() -> None:
    at = parse("at(2022-11-20T13:00:00)", "scheduler")

    assert isinstance(at, At)
    assert at.moment(LOS_ANGELES) == datetime(2022, 11, 20, 21, tzinfo=UTC)


# --- refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "kind", "message"),
    [
        ("", "rule", "is no schedule"),
        ("every day", "rule", "is no schedule"),
        (" rate(1 minute)", "rule", "is no schedule"),
        ("rate(minute)", "rule", "is no schedule"),
        ("rate(1  minute)", "rule", "is no schedule"),
        ("rate(1.5 minutes)", "rule", "is no schedule"),
        ("rate(-1 minutes)", "rule", "is no schedule"),
        ("rate(1 fortnight)", "rule", "'fortnight' is no unit"),
        ("rate(0 minutes)", "rule", "a rate is 1 or more"),
        ("rate(0 minutes)", "scheduler", "a rate is 1 or more"),
        ("rate(1 minutes)", "rule", "singular for 1, plural for more"),
        ("rate(2 minute)", "rule", "singular for 1, plural for more"),
        ("rate(49 milliseconds)", "rule", "is faster than 50 ms"),
        ("at(2026-01-01T00:00:00)", "rule", "rules know rate and cron only"),
        ("at(2026-13-01T00:00:00)", "scheduler", "is no time"),
        ("at(2026-01-01)", "scheduler", "is no schedule"),
        ("cron(0 12 * * ?)", "rule", "minutes, hours, day of month"),
        ("cron(0 0 12 * * ? *)", "scheduler", "minutes, hours, day of month"),
        ("cron(0 12 * * * *)", "rule", "one of day of month and day of week is ?"),
        ("cron(0 12 ? * ? *)", "rule", "one of day of month and day of week is ?"),
        ("cron(0 12 1 * MON *)", "rule", "one of day of month and day of week is ?"),
        ("cron(60 12 * * ? *)", "rule", "'60' is not a number from 0 to 59"),
        ("cron(0 24 * * ? *)", "rule", "'24' is not a number from 0 to 23"),
        ("cron(0 0 32 * ? *)", "rule", "'32' is not a number from 1 to 31"),
        ("cron(0 0 0 * ? *)", "rule", "'0' is not a number from 1 to 31"),
        ("cron(0 0 32W * ? *)", "rule", "'32' is not a number from 1 to 31"),
        ("cron(0 0 1 13 ? *)", "rule", "'13' is not a number from 1 to 12 or JAN to DEC"),
        ("cron(0 0 ? * 8 *)", "rule", "'8' is not a number from 1 to 7 or SUN to SAT"),
        ("cron(0 0 ? * 2#6 *)", "rule", "'6' is not a number from 1 to 5"),
        ("cron(0 0 ? * 3#1,6#3 *)", "rule", "with # there is one expression"),
        ("cron(0 0 ? * 2/2 *)", "rule", "knows no /"),
        ("cron(0 0 1 * ? 1969)", "rule", "'1969' is not a number from 1970 to 2199"),
        ("cron(0 0 1 * ? 2200)", "rule", "'2200' is not a number from 1970 to 2199"),
        ("cron(0/0 0 1 * ? *)", "rule", "'0/0': a step is 1 or more"),
        ("cron(5- 0 1 * ? *)", "rule", "'' is not a number"),
        ("cron(, 0 1 * ? *)", "rule", "'' is not a number"),
        ("cron(\u0661 0 1 * ? *)", "rule", "is not a number"),
    ],
)
def test_what_is_no_schedule_is_refused(expression: str, kind: Kind, message: str) -> None:
    with pytest.raises(BadExpression) as caught:
        parse(expression, kind)

    assert message in str(caught.value)
