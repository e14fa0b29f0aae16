"""The only door to execution environments: every trigger invokes functions through here."""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from typing import TYPE_CHECKING

from local_stack import clock
from local_stack.environments.account import Account
from local_stack.environments.invocation import Invocation, Outcome
from local_stack.environments.pool import Pool, Starter
from local_stack.errors import FunctionNotFound
from local_stack.model import function_arn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local_stack.invoke.faults import Faults
    from local_stack.model import Function
    from local_stack.settings import Limits
    from local_stack.telemetry.metrics import Metrics

_LOGGER = logging.getLogger(__name__)
REAP_SECONDS = 5.0
# An init may take 10 s. A host that waits longer for one would be as good as down.
WARM_WAIT_S = 12.0


class Invoker:
    """Finds the pool of a function and runs an invocation on one of its environments."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        starter: Starter,
        limits: Limits,
        metrics: Metrics,
        *,
        faults: Faults | None = None,
    ) -> None:
        self.account = Account(limits.account_concurrency, limits.environments_max)
        self._faults = faults
        self._loop = asyncio.get_running_loop()
        self.pools = {
            name: Pool(function, starter, limits, self.account, metrics)
            for name, function in functions.items()
        }
        self._reaper: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start provisioned environments, and reaping idle ones."""
        for pool in self.pools.values():
            pool.provision()
        self._reaper = self._loop.call_later(REAP_SECONDS, self._reap)

    async def warm(self) -> None:
        """Wait until provisioned environments are ready, or have failed; not for ever."""
        try:
            async with asyncio.timeout(WARM_WAIT_S):
                for pool in self.pools.values():
                    await pool.warm()
        except TimeoutError:
            _LOGGER.warning("provisioned environments are still starting after %s s", WARM_WAIT_S)

    def renew(self, names: Iterable[str]) -> None:
        """The code of these functions has changed: run it from the next invocation on."""
        for name in names:
            self.pools[name].renew()

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
        qualifier: str = "",
        tenant_id: str = "",
        wait_s: float | None = None,
    ) -> Outcome:
        """Run `payload` on function `name` and return how it ended; the caller has checked it.

        `wait_s` is how long the caller waits for an environment when the limit is reached; None
        means not at all. Raises `FunctionNotFound`, `Throttled`, `RuntimeFailed`.
        """
        pool = self.pool(name)
        request_id = request_id or str(uuid.uuid4())
        if self._faults is not None and (
            outcome := await self._faults.before(
                name, request_id=request_id, timeout_s=pool.function.timeout_s
            )
        ):
            return outcome
        invocation = Invocation(
            request_id=request_id,
            payload=payload,
            done=self._loop.create_future(),
            trace_id=trace_id or new_trace_id(),
            client_context=client_context,
            want_tail=want_tail,
            qualifier=qualifier,
            tenant_id=tenant_id,
        )
        give_up = None
        if wait_s is not None:
            give_up = self._loop.call_later(wait_s, pool.give_up, invocation)
        try:
            pool.submit(invocation, may_wait=wait_s is not None)
            return await invocation.done
        except asyncio.CancelledError:
            pool.abandon(invocation)
            raise
        finally:
            if give_up is not None:
                give_up.cancel()

    def _reap(self) -> None:
        for pool in self.pools.values():
            pool.reap()
        self._reaper = self._loop.call_later(REAP_SECONDS, self._reap)


def new_trace_id() -> str:
    """An X-Ray trace header for an invocation that came without one, not sampled."""
    return f"Root=1-{clock.epoch_ms() // 1000:08x}-{secrets.token_hex(12)};Sampled=0"
