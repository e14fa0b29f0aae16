"""The door to the engine: so many at a time, so many in the queue, and the rest is told so."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from local_stack.services.clickhouse.errors import ClickHouseError, Code

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from local_stack.services.clickhouse.limits import Limits


class Admission:
    """Counts the requests inside; the first to come is the first to enter."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places = asyncio.Semaphore(limits.running)
        self._waiting = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place, once one is free. Raises `ClickHouseError` when that takes too long."""
        if self._places.locked() and self._waiting >= self._limits.waiting:
            raise self._refusal()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.wait_s):
                await self._places.acquire()
        except TimeoutError:
            raise self._refusal() from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    def _refusal(self) -> ClickHouseError:
        msg = f"Too many simultaneous queries. Maximum: {self._limits.running}"
        return ClickHouseError(Code.TOO_MANY_SIMULTANEOUS_QUERIES, msg)
