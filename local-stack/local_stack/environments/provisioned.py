"""Provisioned concurrency of one function: environments that are warm before anybody calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from local_stack.environments.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_stack.environments.environment import Environment

RETRY_S_MAX = 30.0
_DOUBLINGS_MAX = 5  # 1, 2, 4, 8, 16 s and then the most


class Provisioned:
    """Which environments are provisioned, how many are missing, and when that is tried again.

    `start` begins to start one and returns True, or False if the limits do not allow it. `wanted`
    is what the template asks for.
    """

    def __init__(self, wanted: int, start: Callable[[], bool]) -> None:
        self.wanted = wanted
        self.forks = 0  # that are being made
        self._environments: set[Environment] = set()
        self._start = start
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._settled = asyncio.Event()
        self._settled.set()

    def __contains__(self, environment: Environment) -> bool:
        return environment in self._environments

    def add(self, environment: Environment) -> None:
        """It has been forked."""
        self._environments.add(environment)

    def discard(self, environment: Environment) -> None:
        """It is gone, or does not count any more."""
        self._environments.discard(environment)

    def clear(self) -> None:
        """None of those that are there counts any more."""
        self._environments.clear()

    def top_up(self) -> None:
        """Start what is missing, as far as the limits allow."""
        self._cancel_retry()
        while len(self._environments) + self.forks < self.wanted and self._start():
            self._settled.clear()

    def top_up_later(self, failures: int) -> None:
        """Start what is missing soon, or after a while if the last `failures` inits failed."""
        if self.wanted and self._retry is None:
            delay_s = 2.0 ** min(failures - 1, _DOUBLINGS_MAX) if failures else 0.0
            self._retry = self._loop.call_later(min(RETRY_S_MAX, delay_s), self.top_up)

    def is_starting(self) -> bool:
        """Whether any is on its way; while so, the pool has to `look` at each that is ready."""
        return self.forks > 0 or any(e.state is State.STARTING for e in self._environments)

    def look(self) -> None:
        """Note whether all that were started have become ready, or failed to."""
        if not self.is_starting():
            self._settled.set()

    async def settled(self) -> None:
        """Wait until what was started is ready, or has failed."""
        await self._settled.wait()

    def close(self) -> None:
        """Start none any more."""
        self.wanted = 0
        self._cancel_retry()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
