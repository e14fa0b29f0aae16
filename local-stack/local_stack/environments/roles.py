"""Who an environment has to do with: its processes, the runtime inside them, and its pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from local_stack.environments.environment import Environment
    from local_stack.environments.freeze import Freezer
    from local_stack.environments.invocation import Invocation
    from local_stack.environments.memory import MemoryMeter
    from local_stack.environments.worker import Zygote


class Process(NamedTuple):
    """What an environment runs in, and what measures and stops it, if anything does."""

    pid: int
    zygote: Zygote
    meter: MemoryMeter | None = None
    freezer: Freezer | None = None


class Waiting(Protocol):
    """The connection on which the runtime waits in `/next`."""

    def deliver(self, environment: Environment, invocation: Invocation) -> None:
        """Answer `/next` with this invocation."""


class Owner(Protocol):
    """Who hears what becomes of the environment: its pool."""

    def on_ready(self, environment: Environment) -> None:
        """It can take an invocation: it is READY, or COLD and starts when one comes."""

    def on_gone(self, environment: Environment, init_error: bytes | None) -> None:
        """It is no more; `init_error` is set if a provisioned one never became ready."""
