"""Which asynchronous event is started next: lines that take turns, each with its own places. Pure.

An event waits for its time, and then in the line of its function, or of its destination. Lines
take turns, so none waits for the end of another, and no line has more places than it can use.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUNNING_MAX = 100  # of all lines together
LINE_RUNNING_MAX = 50


class Lines:
    """Numbers of events, and when and in which line each is due."""

    def __init__(self, places: Callable[[str], int]) -> None:
        """`places` says how many of a line may run at once."""
        self._places = places
        self._timed: list[tuple[float, int, str]] = []
        self._due: dict[str, deque[int]] = {}  # in the order in which lines take turns
        self._running: Counter[str] = Counter()
        self.running = 0

    def add(self, line: str, event_id: int, due_s: float) -> None:
        """Let an event wait until `due_s`."""
        heapq.heappush(self._timed, (due_s, event_id, line))

    @property
    def next_due_s(self) -> float | None:
        """When the next of those that wait for their time is due."""
        return self._timed[0][0] if self._timed else None

    def take(self, now_s: float) -> Iterator[tuple[str, int]]:
        """Line and number of each event to be started now; `done` gives its place back."""
        while self._timed and self._timed[0][0] <= now_s:
            _, event_id, line = heapq.heappop(self._timed)
            self._due.setdefault(line, deque()).append(event_id)
        passed = 0  # lines in a row that had no place
        while self.running < RUNNING_MAX and passed < len(self._due):
            name = next(iter(self._due))
            line_of_events = self._due.pop(name)
            started = None
            if self._running[name] < min(LINE_RUNNING_MAX, self._places(name)):
                started = line_of_events.popleft()
            if line_of_events:
                self._due[name] = line_of_events
            if started is None:
                passed += 1
                continue
            passed = 0
            self._running[name] += 1
            self.running += 1
            yield name, started

    def clear(self) -> list[int]:
        """Forget those that wait; their numbers. What runs still has its place."""
        waiting = [event_id for _, event_id, _ in self._timed]
        waiting += [event_id for line in self._due.values() for event_id in line]
        self._timed.clear()
        self._due.clear()
        return waiting

    def done(self, line: str) -> None:
        """An event of `line` runs no more."""
        self.running -= 1
        self._running[line] -= 1
        assert self._running[line] >= 0, f"more events of {line} have ended than were started"
        if not self._running[line]:
            del self._running[line]
