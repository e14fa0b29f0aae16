"""The fields of EventBridge's cron expressions. Pure.

Wildcards as the user guides of EventBridge and EventBridge Scheduler list them: `, - * /` in every
field, `? L W` in the day of the month, `? L #` in the day of the week. Sunday is 1.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_NEAREST = re.compile(r"(\d{1,2})W")
_LAST = re.compile(r"([0-9A-Z]+)L")
_NTH = re.compile(r"([0-9A-Z]+)#(\d)")
_SATURDAY, _SUNDAY = 5, 6  # of `date.weekday`


class BadField(ValueError):
    """No field of a cron expression; the text says what is wrong with it."""


@dataclass(frozen=True)
class Days:
    """Days of the month."""

    numbers: frozenset[int] = frozenset()
    last: bool = False  # L
    last_weekday: bool = False  # LW
    nearest: frozenset[int] = frozenset()  # 15W: the weekday nearest to the 15th, in its month

    @lru_cache(maxsize=64)  # noqa: B019 - a handful of schedules, for as long as the process
    def of_month(self, year: int, month: int) -> frozenset[int]:
        """Which days of a month they are."""
        length = calendar.monthrange(year, month)[1]
        found = {number for number in self.numbers if number <= length}
        if self.last:
            found.add(length)
        if self.last_weekday:
            found.add(_nearest_weekday(year, month, length, length))
        found |= {
            _nearest_weekday(year, month, number, length)
            for number in self.nearest
            if number <= length
        }
        return frozenset(found)


@dataclass(frozen=True)
class Weekdays:
    """Days of the week; 1 is Sunday."""

    numbers: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()  # 6L: the last Friday of the month
    nth: tuple[int, int] | None = None  # 3#2: the second Tuesday

    @lru_cache(maxsize=64)  # noqa: B019 - a handful of schedules, for as long as the process
    def of_month(self, year: int, month: int) -> frozenset[int]:
        """Which days of a month they are."""
        length = calendar.monthrange(year, month)[1]
        first = date(year, month, 1).isoweekday() % 7 + 1
        found: set[int] = set()
        for day in range(1, length + 1):
            weekday = (first + day - 2) % 7 + 1
            is_nth = self.nth == (weekday, (day + 6) // 7)
            is_last = weekday in self.last and day + 7 > length
            if weekday in self.numbers or is_nth or is_last:
                found.add(day)
        return frozenset(found)


def read_values(text: str, low: int, high: int, names: Sequence[str] = ()) -> frozenset[int]:
    """The values of a field of `, - * /`. Raises `BadField`."""
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _step(step_text, part) if slash else 1
        start_text, dash, end_text = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = _value(start_text, low, high, names)
            end = _value(end_text, low, high, names) if dash else start
            end = high if slash and not dash else end
        if start > end:  # over midnight, or over the end of the week or the year: 20-2, FRI-MON
            end += high - low + 1
        found.update(
            (value - low) % (high - low + 1) + low for value in range(start, end + 1, step)
        )
    return frozenset(found)


def read_days(text: str) -> Days:
    """The day of the month, but for `?`. Raises `BadField`."""
    numbers: set[int] = set()
    nearest: set[int] = set()
    last = last_weekday = False
    for part in text.split(","):
        if part == "L":
            last = True
        elif part == "LW":
            last_weekday = True
        elif match := _NEAREST.fullmatch(part):
            nearest.add(_value(match[1], 1, 31))
        else:
            numbers |= read_values(part, 1, 31)
    return Days(frozenset(numbers), last, last_weekday, frozenset(nearest))


def read_weekdays(text: str) -> Weekdays:
    """The day of the week, but for `?`. Raises `BadField`."""
    if match := _NTH.fullmatch(text):
        return Weekdays(nth=(_value(match[1], 1, 7, _DAYS), _value(match[2], 1, 5)))
    if "#" in text:
        msg = f"{text!r}: with # there is one expression in the field, such as 3#2"
        raise BadField(msg)
    if "/" in text:
        msg = f"{text!r}: the day of the week knows no /"
        raise BadField(msg)
    numbers: set[int] = set()
    last: set[int] = set()
    for part in text.split(","):
        if part == "L":
            numbers.add(7)  # the last day of the week
        elif match := _LAST.fullmatch(part):
            last.add(_value(match[1], 1, 7, _DAYS))
        else:
            numbers |= read_values(part, 1, 7, _DAYS)
    return Weekdays(frozenset(numbers), frozenset(last))


def _value(text: str, low: int, high: int, names: Sequence[str] = ()) -> int:
    if text.upper() in names:
        return names.index(text.upper()) + 1
    if not text.isdecimal() or not text.isascii() or not low <= int(text) <= high:
        known = f" or {names[0]} to {names[-1]}" if names else ""
        msg = f"{text!r} is not a number from {low} to {high}{known}"
        raise BadField(msg)
    return int(text)


def _step(text: str, part: str) -> int:
    if not text.isdecimal() or not text.isascii() or int(text) == 0:
        msg = f"{part!r}: a step is 1 or more"
        raise BadField(msg)
    return int(text)


def _nearest_weekday(year: int, month: int, day: int, length: int) -> int:
    weekday = date(year, month, day).weekday()
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == _SUNDAY:
        return day + 1 if day < length else day - 2
    return day
