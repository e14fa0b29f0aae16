"""One environment without a process, and everybody around it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from local_stack.environments.state import State
from local_stack.telemetry.metrics import Metrics
from tests.fakes.environments import (
    NO_SUCH_PID,
    FakeRuntime,
    FakeZygote,
    make_environment,
    make_invocation,
)
from tests.support.functions import a_function

if TYPE_CHECKING:
    from local_stack.environments.environment import Environment
    from local_stack.environments.invocation import Invocation, Outcome
    from tests.support.virtual_time import VirtualTimeLoop


class Listener:
    """An owner that only listens."""

    def __init__(self) -> None:
        self.ready = 0
        self.gone: list[bytes | None] = []

    def on_ready(self, environment: Environment) -> None:
        self.ready += 1

    def on_gone(self, environment: Environment, init_error: bytes | None) -> None:
        self.gone.append(init_error)


class EnvironmentWorld:
    """One environment; `options` are the constructor's, beside those of its function."""

    def __init__(
        self, loop: VirtualTimeLoop, *, function: dict[str, Any] | None = None, **options: Any
    ) -> None:
        self.loop = loop
        self.owner = Listener()
        self.zygote = FakeZygote()
        self.metrics = Metrics()
        self.function = a_function(**{"timeout_s": 3.0, "memory_mb": 256, **(function or {})})
        self.runtime: FakeRuntime = loop.run(self._make(options))
        self.environment = self.runtime.environment

    async def _make(self, options: dict[str, Any]) -> FakeRuntime:
        return await make_environment(
            self.function, self.owner, self.metrics, self.zygote, NO_SUCH_PID, **options
        )

    def state(self) -> State:
        return self.environment.state

    @property
    def log(self) -> str:
        """What the platform said, without INIT_START."""
        first, _, rest = self.runtime.log.text.decode().partition("\n")
        assert first.startswith(("INIT_START ", '{"time":'))
        return rest

    def busy(self, request_id: str = "one", *, want_tail: bool = False) -> Invocation:
        """Bring it to BUSY, and return the invocation that it runs."""
        if self.state() is State.STARTING:
            self.runtime.next()
        return self.call(request_id, want_tail=want_tail)

    def call(self, request_id: str = "one", *, want_tail: bool = False) -> Invocation:
        """Hand over an invocation, to it as it is."""
        invocation = make_invocation(self.loop, request_id, want_tail=want_tail)
        self.environment.invoke(invocation)
        self.loop.settle()
        return invocation

    def cold(self) -> None:
        """Bring it to COLD: it crashed during its first invocation."""
        self.busy("crash")
        self.runtime.exit(-9)
        assert self.state() is State.COLD

    def error_of(self, outcome: Outcome) -> Any:
        assert outcome.function_error == "Unhandled"
        return json.loads(outcome.payload)

    def counted(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"function": "Hello"})
