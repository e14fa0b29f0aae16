"""Ask several parts at the same time, each with a hard deadline, also when one never answers.

A question that is still unanswered from the last time is not asked again: it counts as late at
once. So a deaf part costs one thread, not one a request, and recovers by itself.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Generic, TypeVar

from shared.errors import OutOfTime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


class SideBySide(Generic[T]):
    """Asks questions by name. Its threads are made by the first `ask`, never at import."""

    def __init__(self, names_max: int) -> None:
        self._names_max = names_max
        self._threads: ThreadPoolExecutor | None = None
        self._running: dict[str, Future[T]] = {}

    def ask(
        self, questions: Mapping[str, Callable[[], T]], timeout_s: float
    ) -> dict[str, T | Exception]:
        """Every answer, or what came instead; `OutOfTime` for what is not there in `timeout_s`."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._names_max, "side-by-side")
        late = {name for name, future in self._running.items() if not future.done()}
        asked = {
            name: self._threads.submit(question)
            for name, question in questions.items()
            if name not in late
        }
        self._running |= asked
        assert len(self._running) <= self._names_max, "a thread for each name"
        wait(asked.values(), timeout_s)
        outcomes: dict[str, T | Exception] = {}
        for name in questions:
            outcome = _outcome(self._running[name])
            outcomes[name] = OutOfTime() if name in late else outcome
        return outcomes

    def close(self) -> None:
        """Let the threads go, after what they were asked: questions need bounds of their own."""
        if self._threads is not None:
            self._threads.shutdown(wait=True)
            self._threads = None
            self._running = {}


def _outcome(future: Future[T]) -> T | Exception:
    if not future.done():
        return OutOfTime()
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001 - who asked decides what it means
        return error
