"""The only door to execution environments: every trigger invokes functions through here."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from typing import TYPE_CHECKING

from local_stack import clock
from local_stack.environments.invocation import Invocation, Outcome
from local_stack.environments.pool import AccountLimit, Pool, Starter
from local_stack.errors import FunctionNotFound, Throttled
from local_stack.model import function_arn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local_stack.model import Function
    from local_stack.settings import Limits
    from local_stack.telemetry.metrics import Metrics

REAP_SECONDS = 5.0


class Invoker:
    """Finds the pool of a function and runs an invocation on one of its environments."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        starter: Starter,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self._limits = limits
        self._account = AccountLimit(limits.account_concurrency)
        self._loop = asyncio.get_running_loop()
        self.pools = {
            name: Pool(function, starter, limits, self._account, metrics)
            for name, function in functions.items()
        }
        self._reaper: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start provisioned environments, and reaping idle ones."""
        for pool in self.pools.values():
            pool.provision()
        self._reaper = self._loop.call_later(REAP_SECONDS, self._reap)

    async def close(self) -> None:
        """End every environment."""
        if self._reaper is not None:
            self._reaper.cancel()
        await asyncio.gather(*(pool.close() for pool in self.pools.values()))

    def pool(self, name: str) -> Pool:
        """The pool of function `name`. Raises `FunctionNotFound` in Lambda's words."""
        pool = self.pools.get(name)
        if pool is None:
            arn = function_arn(name)
            msg = f"Function not found: {arn}:$LATEST"
            raise FunctionNotFound(msg)
        return pool

    async def invoke(
        self,
        name: str,
        payload: bytes,
        *,
        request_id: str = "",
        trace_id: str = "",
        client_context: str | None = None,
        want_tail: bool = False,
        wait_s: float | None = None,
    ) -> Outcome:
        """Run `payload` on function `name` and return how it ended; the caller has checked it.

        `wait_s` is how long the caller waits for an environment when the limit is reached; None
        means not at all. Raises `FunctionNotFound`, `Throttled`, `RuntimeFailed`.
        """
        pool = self.pool(name)
        invocation = Invocation(
            request_id=request_id or str(uuid.uuid4()),
            payload=payload,
            done=self._loop.create_future(),
            trace_id=trace_id or new_trace_id(),
            client_context=client_context,
            want_tail=want_tail,
        )
        give_up = None
        if wait_s is not None:
            give_up = self._loop.call_later(wait_s, self._give_up, pool, invocation)
        try:
            pool.submit(invocation, may_wait=wait_s is not None)
            return await invocation.done
        except asyncio.CancelledError:
            pool.abandon(invocation)
            raise
        finally:
            if give_up is not None:
                give_up.cancel()

    @staticmethod
    def _give_up(pool: Pool, invocation: Invocation) -> None:
        if pool.abandon(invocation) and not invocation.done.done():
            invocation.done.set_exception(Throttled("ConcurrentInvocationLimitExceeded"))

    def _reap(self) -> None:
        for pool in self.pools.values():
            pool.reap()
        self._reaper = self._loop.call_later(REAP_SECONDS, self._reap)


def new_trace_id() -> str:
    """An X-Ray trace header for an invocation that came without one, not sampled."""
    return f"Root=1-{clock.epoch_ms() // 1000:08x}-{secrets.token_hex(12)};Sampled=0"
