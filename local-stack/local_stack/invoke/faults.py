"""Faults that a test asks for: the next invocations of a function fail without reaching it.

Only a host with the setting `test_control` has any; everywhere else `Invoker` has no `Faults` and
asks nothing. A fault is answered as Lambda itself would answer it, so callers cannot tell.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from local_stack.environments.invocation import Outcome, timeout_payload
from local_stack.errors import InvalidParameter, Throttled

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["throttle", "error", "timeout"]
KINDS: tuple[Kind, ...] = ("throttle", "error", "timeout")
TIMES_MAX = 100_000
FAULTS_MAX = 1_000  # that wait for invocations, a function
THROTTLE_REASON = "ReservedFunctionConcurrentInvocationLimitExceeded"
ERROR_TYPE = "InjectedError"
ERROR_MESSAGE = "A test asked for this error."


@dataclass(slots=True)
class Fault:
    """What happens to the next `times` invocations of a function."""

    kind: Kind
    times: int = 1
    error_type: str = ERROR_TYPE
    message: str = ERROR_MESSAGE

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            msg = f"fault {self.kind!r} is none of {', '.join(KINDS)}"
            raise InvalidParameter(msg)
        if not 1 <= self.times <= TIMES_MAX:
            msg = f"a fault happens 1 to {TIMES_MAX} times, not {self.times}"
            raise InvalidParameter(msg)


class Faults:
    """The faults that wait, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Fault]] = {}

    def add(self, function: str, fault: Fault) -> None:
        """Let the next invocations of `function` fail. Raises `InvalidParameter` past the limit."""
        faults = self._waiting.setdefault(function, deque())
        if len(faults) >= FAULTS_MAX:
            msg = f"{FAULTS_MAX} faults wait for {function} already"
            raise InvalidParameter(msg)
        faults.append(fault)

    def clear(self) -> None:
        """Forget all that were not used."""
        self._waiting.clear()

    def remaining(self) -> Mapping[str, int]:
        """How many invocations of each function are still going to fail."""
        return {
            name: sum(fault.times for fault in faults) for name, faults in self._waiting.items()
        }

    async def before(self, function: str, *, request_id: str, timeout_s: float) -> Outcome | None:
        """How this invocation of `function` ends, or None when it shall run.

        Raises `Throttled` for a throttle. A timeout is answered at once: nobody's test should
        wait for it.
        """
        faults = self._waiting.get(function)
        if not faults:
            return None
        fault = faults[0]
        fault.times -= 1
        if fault.times == 0:
            faults.popleft()
            if not faults:
                del self._waiting[function]
        if fault.kind == "throttle":
            raise Throttled(THROTTLE_REASON)
        if fault.kind == "timeout":
            payload = timeout_payload(request_id, timeout_s)
        else:
            payload = _raised(request_id, fault)
        return Outcome(request_id, payload, function_error="Unhandled")


def _raised(request_id: str, fault: Fault) -> bytes:
    """What the runtime client makes of an exception, without a stack."""
    return json.dumps(
        {
            "errorMessage": fault.message,
            "errorType": fault.error_type,
            "requestId": request_id,
            "stackTrace": [],
        }
    ).encode()
