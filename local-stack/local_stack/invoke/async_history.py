"""The asynchronous events that are over, as far as a host remembers them: for tests and people."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local_stack.invoke.async_policy import Event

ENDED_MAX = 1000


@dataclass(frozen=True, slots=True)
class Ended:
    """One event that is over."""

    request_id: str
    function: str
    condition: str  # of the record; or `function-gone`
    invoke_count: int
    destination: str  # an ARN, or nothing
    ended_s: float
    delivered: bool | None = None  # None: there is no destination, or not yet


class History:
    """The last of them, the oldest first."""

    def __init__(self) -> None:
        self._ended: deque[Ended] = deque(maxlen=ENDED_MAX)

    def add(self, event: Event, condition: str, invoke_count: int, now_s: float) -> None:
        """Remember that `event` is over."""
        self._ended.append(
            Ended(
                event.request_id,
                event.function,
                condition,
                invoke_count,
                event.destination,
                now_s,
            )
        )

    def mark(self, request_id: str, *, delivered: bool) -> None:
        """Remember what became of the record of an event."""
        for index in range(len(self._ended) - 1, -1, -1):
            if self._ended[index].request_id == request_id:
                self._ended[index] = replace(self._ended[index], delivered=delivered)
                return

    def clear(self) -> None:
        """Forget them."""
        self._ended.clear()

    def all(self) -> list[Ended]:
        """Everything that is remembered."""
        return list(self._ended)
