"""One pool with a starter that starts no process, and callers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from local_stack.environments.account import Account
from local_stack.environments.pool import Pool
from local_stack.settings import Limits
from local_stack.telemetry.metrics import Metrics
from tests.fakes.environments import FakeStarter, make_invocation
from tests.support.functions import a_function

if TYPE_CHECKING:
    from local_stack.environments.invocation import Invocation, Outcome
    from local_stack.environments.state import State
    from tests.support.virtual_time import VirtualTimeLoop

WAIT_S = 0.005  # limits.scale_out_wait_ms


class World:
    """One pool, its starter, and callers."""

    def __init__(
        self,
        loop: VirtualTimeLoop,
        *,
        account: Account | None = None,
        limits: Limits | None = None,
        **function: Any,
    ) -> None:
        self.loop = loop
        self.metrics = Metrics()
        self.starter = FakeStarter(self.metrics)
        self.limits = limits or Limits(scale_out_wait_ms=WAIT_S * 1000, http_waiters=3)
        self.account = account or Account(
            self.limits.account_concurrency, self.limits.environments_max
        )
        self.pool: Pool = loop.run(self._make(function))
        self.calls: list[Invocation] = []

    async def _make(self, function: dict[str, Any]) -> Pool:
        return Pool(a_function(**function), self.starter, self.limits, self.account, self.metrics)

    def call(self, *, may_wait: bool = True) -> Invocation:
        """A caller comes; what can happen at once, happens."""
        invocation = make_invocation(self.loop, f"call-{len(self.calls)}")
        self.pool.submit(invocation, may_wait=may_wait)
        self.calls.append(invocation)
        self.loop.settle()
        return invocation

    def started(self, index: int = -1) -> Any:
        """An environment has imported its handler."""
        self.starter.runtimes[index].next()
        self.loop.settle()
        return self.starter.runtimes[index]

    def warm(self, count: int) -> None:
        """Have `count` idle environments."""
        calls = [self.call() for _ in range(count)]
        while len(self.starter.runtimes) < count:
            self.loop.advance(WAIT_S)
        for runtime in self.starter.runtimes:
            runtime.next()
        for runtime in self.starter.runtimes:
            runtime.finish()
        assert all(call.done.done() for call in calls)
        self.calls.clear()

    def served(self) -> list[str]:
        return [call.request_id for call in self.calls if call.done.done()]

    def counted(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"function": "Hello"})

    @property
    def states(self) -> list[State]:
        return [runtime.environment.state for runtime in self.starter.runtimes]


def error_of(outcome: Outcome) -> Any:
    """The payload of an invocation that ended in a function error."""
    assert outcome.function_error == "Unhandled"
    return json.loads(outcome.payload)
