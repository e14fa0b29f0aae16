"""When a schedule fires. Pure: the time is always a parameter.

`rate(value unit)` as EventBridge has it, plus seconds and milliseconds, which are an extension of
this runtime. Cron expressions are refused by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from local_stack.errors import TemplateError

RATE_SECONDS_MIN = 0.05  # a faster schedule is a loop, not a schedule
_UNITS = {
    "millisecond": 0.001,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
}
_RATE = re.compile(r"rate\((\d+) ([a-z]+?)(s?)\)")


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


def parse(expression: str, where: str) -> Rate:
    """Read a schedule expression; `where` is for the message of the `TemplateError`."""
    match = _RATE.fullmatch(expression)
    if match is None or match[2] not in _UNITS:
        hint = "rate(1 minute), rate(200 milliseconds); cron and at do not run here yet"
        message = f"schedule {expression!r} is not a rate"
        raise TemplateError(message, path=where, hint=hint)
    value = int(match[1])
    if value == 0 or (value == 1) == bool(match[3]):
        message = f"schedule {expression!r}: singular for 1, plural for more"
        raise TemplateError(message, path=where, hint="rate(1 minute), rate(2 minutes)")
    seconds = value * _UNITS[match[2]]
    if seconds < RATE_SECONDS_MIN:
        message = f"schedule {expression!r} is faster than {RATE_SECONDS_MIN * 1000:.0f} ms"
        raise TemplateError(message, path=where)
    return Rate(seconds)
