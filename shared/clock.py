"""Time, in one place, so that tests can move it.

Wall time may jump; monotonic time may stand still while an execution environment is frozen. Use
wall time to tell how long something rested, monotonic time to measure work inside one invocation.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock(Protocol):
    """Where the time comes from."""

    def wall_s(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some moment; never goes back."""
        ...


class SystemClock:
    """The computer's own clock."""

    def wall_s(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic_s(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.perf_counter()


class InvocationContext(Protocol):
    """The one thing we need from Lambda's context object."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation."""
        ...


_clock: Clock = SystemClock()


def wall_s() -> float:
    """Seconds since the epoch."""
    return _clock.wall_s()


def monotonic_s() -> float:
    """Seconds since some moment; never goes back."""
    return _clock.monotonic_s()


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.fromtimestamp(_clock.wall_s(), UTC)


@contextmanager
def use(clock: Clock) -> Iterator[None]:
    """Take the time from `clock` inside the block; for tests."""
    global _clock  # noqa: PLW0603 - the one switch, and only tests turn it
    previous, _clock = _clock, clock
    try:
        yield
    finally:
        _clock = previous


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of monotonic time by which work has to be done."""

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The moment `seconds` from now."""
        return cls(monotonic_s() + seconds)

    @classmethod
    def of(cls, context: InvocationContext, *, margin_s: float) -> Deadline:
        """`margin_s` before Lambda ends this invocation, so that results can still be recorded."""
        return cls.after(context.get_remaining_time_in_millis() / 1000 - margin_s)

    def remaining_s(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at_s - monotonic_s())

    def passed(self) -> bool:
        """Whether the moment is over."""
        return monotonic_s() >= self.at_s
