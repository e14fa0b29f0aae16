"""Invocations that wait for an environment, in the order in which they came."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack import clock

if TYPE_CHECKING:
    from local_stack.environments.invocation import Invocation


@dataclass(slots=True, eq=False)
class Waiter:
    """One of them, and since when."""

    invocation: Invocation
    since: float


class Waiters(deque[Waiter]):
    """The queue of one function. Who put an invocation in bounds how many there are."""

    def put(self, invocation: Invocation) -> None:
        """Let it wait behind all others."""
        self.append(Waiter(invocation, clock.monotonic()))

    def take(self) -> Invocation | None:
        """The one that waited longest and whose caller still wants to know; None if there is none."""
        while self:
            invocation = self.popleft().invocation
            if not invocation.done.done():
                return invocation
        return None

    def forget(self, invocation: Invocation) -> bool:
        """Take it out, wherever it is; False if it does not wait here."""
        place = self.place(invocation)
        if place is not None:
            del self[place]
        return place is not None

    def place(self, invocation: Invocation) -> int | None:
        """How many come before it; None if it does not wait here."""
        found = (place for place, each in enumerate(self) if each.invocation is invocation)
        return next(found, None)

    def refuse(self, error: Exception) -> None:
        """Answer the one that waited longest with `error`."""
        invocation = self.take()
        if invocation is not None:
            invocation.done.set_exception(error)

    @property
    def longest_ms(self) -> float:
        """How long the first has waited."""
        return (clock.monotonic() - self[0].since) * 1000 if self else 0.0
