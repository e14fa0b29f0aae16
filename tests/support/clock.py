"""A clock that stands still until a test moves it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class FakeClock:
    """Wall and monotonic time, which a frozen environment sees drift apart."""

    wall: float = 1_795_521_600.0
    monotonic: float = 1_000.0

    def wall_s(self) -> float:
        return self.wall

    def monotonic_s(self) -> float:
        return self.monotonic

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.wall += seconds
        self.monotonic += seconds

    def freeze(self, seconds: float) -> None:
        """The environment is frozen: the world moves on, its own clock does not."""
        self.wall += seconds
