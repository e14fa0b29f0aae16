"""When a schedule fires: `rate`, `cron` and `at` expressions. Pure: the time is a parameter.

EventBridge user guide, "Setting a schedule pattern for scheduled rules", and EventBridge Scheduler
user guide, "Schedule types". Rates of seconds and milliseconds are an extension of this runtime.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from local_stack.template.cron_fields import (
    BadField,
    Days,
    Weekdays,
    read_days,
    read_values,
    read_weekdays,
)

if TYPE_CHECKING:
    from datetime import tzinfo

RATE_SECONDS_MIN = 0.05  # a faster schedule is a loop, not a schedule
_UNITS = {
    "millisecond": 0.001,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
}
_RATE = re.compile(r"rate\((\d{1,9}) ([a-z]+?)(s?)\)")
_CRON = re.compile(r"cron\((.*)\)")
_AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
YEAR_MIN, YEAR_MAX = 1970, 2199
Kind = Literal["rule", "scheduler"]


class BadExpression(ValueError):
    """No schedule of EventBridge; the text says why, `hint` what would be one."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Rate:
    """Fires every `seconds`, counted from when the schedule was started."""

    seconds: float

    def next_after(self, previous: float, now: float) -> float:
        """The next due time after one at `previous`; ticks that were missed are skipped."""
        due = previous + self.seconds
        if due > now:
            return due
        missed = int((now - previous) // self.seconds)
        return previous + (missed + 1) * self.seconds


@dataclass(frozen=True, slots=True)
class Cron:
    """Fires at the minutes that its six fields name, by the clock of a time zone."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: Days | None  # None: `?`
    months: frozenset[int]
    weekdays: Weekdays | None
    years: frozenset[int]

    def next_after(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The first tick after `moment`, in UTC; None when there is none any more.

        When clocks go forward, a tick that falls into the gap is skipped; when they go back, an
        hour that comes twice counts once (Scheduler user guide, "Daylight savings time").
        """
        local = moment.astimezone(zone)
        # A day earlier: what is the past there may be the future of a clock that went back.
        day = local.date() - timedelta(days=1)
        while day.year <= YEAR_MAX:
            if day.year not in self.years:
                day = date(day.year + 1, 1, 1)
            elif day.month not in self.months:
                day = _next_month(day)
            elif not self._is_on(day):
                day += timedelta(days=1)
            else:
                found = self._first_of(day, moment, zone)
                if found is not None:
                    return found
                day += timedelta(days=1)
        return None

    def _is_on(self, day: date) -> bool:
        if self.days is not None:
            return day.day in self.days.of_month(day.year, day.month)
        assert self.weekdays is not None
        return day.day in self.weekdays.of_month(day.year, day.month)

    def _first_of(self, day: date, moment: datetime, zone: tzinfo) -> datetime | None:
        for hour in sorted(self.hours):
            for minute in sorted(self.minutes):
                wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                tick = wall.astimezone(UTC)
                exists = tick.astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None)
                if exists and tick > moment:
                    return tick
        return None


@dataclass(frozen=True, slots=True)
class At:
    """Fires once."""

    local: datetime  # without a zone

    def moment(self, zone: tzinfo) -> datetime:
        """When, in UTC."""
        return self.local.replace(tzinfo=zone).astimezone(UTC)


Expression = Rate | Cron | At


def parse(text: str, kind: Kind = "rule") -> Expression:
    """Read a schedule expression of a rule or of EventBridge Scheduler. Raises `BadExpression`."""
    if match := _RATE.fullmatch(text):
        return _rate(text, int(match[1]), match[2], match[3], kind)
    if match := _CRON.fullmatch(text):
        return _cron(text, match[1], kind)
    if match := _AT.fullmatch(text):
        if kind == "rule":
            msg = f"schedule {text!r}: rules know rate and cron only"
            raise BadExpression(msg, "at(…) is an expression of ScheduleV2")
        try:
            return At(datetime.fromisoformat(match[1]))
        except ValueError as error:
            msg = f"schedule {text!r} is no time: {error}"
            raise BadExpression(msg) from error
    msg = f"schedule {text!r} is no schedule"
    raise BadExpression(msg, "rate(1 minute), cron(0 12 * * ? *), at(2026-01-31T12:00:00)")


def _rate(text: str, value: int, unit: str, plural: str, kind: Kind) -> Rate:
    if unit not in _UNITS:
        msg = f"schedule {text!r}: {unit + plural!r} is no unit"
        raise BadExpression(msg, "minutes, hours, days; here also seconds and milliseconds")
    if value == 0:
        msg = f"schedule {text!r}: a rate is 1 or more"
        raise BadExpression(msg)
    if kind == "rule" and (value == 1) == bool(plural):
        msg = f"schedule {text!r}: singular for 1, plural for more"
        raise BadExpression(msg, "rate(1 minute), rate(2 minutes)")
    seconds = value * _UNITS[unit]
    if seconds < RATE_SECONDS_MIN:
        msg = f"schedule {text!r} is faster than {RATE_SECONDS_MIN * 1000:.0f} ms"
        raise BadExpression(msg)
    return Rate(seconds)


def _cron(text: str, inner: str, kind: Kind) -> Cron:
    fields = inner.split()
    if kind == "scheduler" and len(fields) == 5:
        fields.append("*")  # the year is optional there
    if len(fields) != 6:
        msg = f"schedule {text!r}: minutes, hours, day of month, month, day of week and year"
        raise BadExpression(msg, "cron(0 12 * * ? *)")
    minutes, hours, days, months, weekdays, years = fields
    if (days == "?") == (weekdays == "?"):
        msg = f"schedule {text!r}: one of day of month and day of week is ?, the other is not"
        raise BadExpression(msg, "cron(0 12 * * ? *), cron(0 12 ? * MON-FRI *)")
    try:
        return Cron(
            minutes=read_values(minutes, 0, 59),
            hours=read_values(hours, 0, 23),
            days=None if days == "?" else read_days(days),
            months=read_values(months, 1, 12, _MONTHS),
            weekdays=None if weekdays == "?" else read_weekdays(weekdays),
            years=read_values(years, YEAR_MIN, YEAR_MAX),
        )
    except BadField as error:
        msg = f"schedule {text!r}: {error}"
        raise BadExpression(msg) from error


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
