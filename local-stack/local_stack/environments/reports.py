"""What is told of one environment: Lambda's own log lines, the counters, and answers to callers.

Which of them, and when, is decided by `environment.py`; how they read by `telemetry/platform_lines.py`.
"""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING

from local_stack.environments.invocation import Outcome, exit_payload
from local_stack.errors import RuntimeFailed
from local_stack.telemetry.platform_lines import platform_lines

if TYPE_CHECKING:
    from local_stack.environments.invocation import Invocation
    from local_stack.model import Function
    from local_stack.telemetry.logs import EnvironmentLog
    from local_stack.telemetry.metrics import Metrics
    from local_stack.telemetry.platform_lines import Phase, Status

UNHANDLED = "Unhandled"
EXIT_ERROR, OUT_OF_MEMORY = "Runtime.ExitError", "Runtime.OutOfMemory"

_LOGGER = logging.getLogger(__name__)


class Reports:
    """See the module; one an environment, whatever processes it has."""

    def __init__(
        self,
        function: Function,
        log: EnvironmentLog,
        metrics: Metrics,
        initialization_type: str,
        log_stream: str,
    ) -> None:
        self.init_ms: float | None = None  # of a cold start that has not been reported yet
        self._name = function.name
        self._log = log
        self._memory_mb = function.memory_mb
        self._lines = platform_lines(
            function, initialization_type=initialization_type, log_stream=log_stream
        )
        self._errors = metrics.errors.labels(function.name)
        self._invocations = metrics.invocations.labels(function.name)
        self._duration = metrics.duration.labels(function.name)
        self._cold_starts = metrics.cold_starts.labels(function.name)

    def init_starts(self) -> None:
        """The first process is about to start."""
        self._log.line(self._lines.init_start())

    def init_is_over(
        self, duration_ms: float, phase: Phase, status: Status, error_type: str = ""
    ) -> None:
        """A process has imported its handler, or never will."""
        if status == "success":
            self._cold_starts.inc()
        self._log.drain()
        self._log.line(self._lines.init_report(duration_ms, phase, status, error_type))

    def invocation_comes(self, invocation: Invocation) -> None:
        """Whether its handler runs at once or not: it is counted, and its log is its own."""
        self._invocations.inc()
        if invocation.want_tail:
            self._log.start_tail()

    def invocation_starts(self, invocation: Invocation) -> None:
        """It is handed to the runtime, or would be."""
        self._log.line(self._lines.start(invocation.request_id))

    def invocation_is_over(
        self,
        invocation: Invocation,
        payload: bytes,
        function_error: str | None,
        *,
        seconds: float,
        memory_used_mb: int,
        status: Status,
        error_type: str,
    ) -> None:
        """Log what it printed and its report, and answer its caller."""
        if error_type == OUT_OF_MEMORY:  # whatever the handler had to say
            payload = exit_payload(invocation.request_id, -signal.SIGKILL)
            function_error, memory_used_mb = UNHANDLED, self._memory_mb
        self._duration.observe(seconds)
        if function_error is not None:
            self._errors.inc()
        init_ms, self.init_ms = self.init_ms, None
        report = self._lines.end(
            invocation.request_id, seconds * 1000, memory_used_mb, init_ms, status, error_type
        )
        tail = b""
        try:
            self._log.drain()
            self._log.line(report)
            tail = self._log.take_tail() if invocation.want_tail else b""
        except Exception:  # an answer must not be lost for a line of its log
            _LOGGER.exception("the log of %s cannot be written", self._name)
        if not invocation.done.done():
            invocation.done.set_result(
                Outcome(invocation.request_id, payload, function_error, tail, seconds * 1000)
            )

    def invocation_is_lost(self, invocation: Invocation | None, error: Exception) -> None:
        """No process could be started for it: that is the runtime's failure, not the function's."""
        if invocation is not None and not invocation.done.done():
            msg = f"cannot start an environment of {self._name}: {error}"
            invocation.done.set_exception(RuntimeFailed(msg))
