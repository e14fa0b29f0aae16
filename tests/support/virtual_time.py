"""An event loop whose time a test moves, and the runtime's clock with it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from typing_extensions import override

from local_stack import clock

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    import pytest

T = TypeVar("T")
START = 1_000.0
EPOCH_MS = 1_795_521_600_000
TURNS_MAX = 1000


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Time stands still until `advance`; timers then fire in their order, each at its time."""

    def __init__(self) -> None:
        super().__init__()
        self._now = START

    @override
    def time(self) -> float:
        return self._now

    def settle(self) -> None:
        """Run what is due now, and what follows from it."""

        for _ in range(TURNS_MAX):
            self.call_soon(self.stop)
            self.run_forever()
            if not self._ready:  # type: ignore[attr-defined]
                return
        msg = "callbacks schedule callbacks without an end"
        raise AssertionError(msg)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        end = self._now + seconds
        self.settle()
        while (due := self._next_timer()) is not None and due <= end:
            self._now = max(self._now, due)
            self.settle()
        self._now = end
        self.settle()

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        """Run a coroutine that needs no time to pass."""
        return self.run_until_complete(coroutine)

    def _next_timer(self) -> float | None:
        times = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        return min(times, default=None)


@contextmanager
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualTimeLoop]:
    """A loop of one's own; `local_stack.clock` shows its time."""
    loop = VirtualTimeLoop()
    monkeypatch.setattr(clock, "monotonic", loop.time)
    monkeypatch.setattr(clock, "epoch_ms", lambda: EPOCH_MS + round((loop.time() - START) * 1000))
    try:
        yield loop
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.settle()
        loop.close()
