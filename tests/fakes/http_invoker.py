"""An invoker for the gateway: functions answer what a test says, and what they saw is kept."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from local_stack.environments.invocation import Outcome


@dataclass
class FakeInvoker:
    """`answers` by function: a result, an error to raise, or a function of the event."""

    answers: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[str, Any]] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)  # whose answers are function errors
    hanging: set[str] = field(default_factory=set)

    async def invoke(self, name: str, payload: bytes, **options: Any) -> Outcome:
        """Answer at once, unless the function hangs."""
        event = json.loads(payload)
        self.events.append((name, event))
        if name in self.hanging:
            await asyncio.get_running_loop().create_future()
        answer = self.answers.get(name)
        if isinstance(answer, Exception):
            raise answer
        result = answer(event) if callable(answer) else answer
        error = "Unhandled" if name in self.failing else None
        return Outcome("the-id", json.dumps(result).encode(), error)

    def asked(self, name: str) -> list[Any]:
        """The events of function `name`."""
        return [event for function, event in self.events if function == name]
