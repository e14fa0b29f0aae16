"""One execution environment: one process, one Runtime API port, at most one invocation.

All of it happens on one event loop, so there are no locks; every change of state goes through
`_move`, which refuses what `state.ALLOWED` does not list.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Protocol

from local_stack import clock
from local_stack.environments.invocation import (
    Invocation,
    Outcome,
    exit_payload,
    timeout_payload,
    too_large_payload,
)
from local_stack.environments.state import ALLOWED, State
from local_stack.errors import IllegalTransition, ProtocolViolation
from local_stack.telemetry import logs

if TYPE_CHECKING:
    from local_stack.environments.worker import Zygote
    from local_stack.model import Function
    from local_stack.telemetry.logs import EnvironmentLog
    from local_stack.telemetry.metrics import Metrics

INIT_TIMEOUT_S = 10.0  # "Init ≤ 10 s": Lambda runtime environment life cycle
STOP_GRACE_S = 2.0  # Lambda's Shutdown phase with extensions
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
UNHANDLED = "Unhandled"


class Waiting(Protocol):
    """The connection on which the runtime waits in `/next`."""

    def deliver(self, environment: Environment, invocation: Invocation) -> None:
        """Answer `/next` with this invocation."""


class Owner(Protocol):
    """Who hears what becomes of the environment: its pool."""

    def on_ready(self, environment: Environment) -> None:
        """It can take an invocation."""

    def on_gone(self, environment: Environment, init_error: bytes | None) -> None:
        """Its process has ended; `init_error` is set if it never became ready."""


class Environment:
    """See the module. Made by `factory.EnvironmentFactory`, owned by a pool."""

    def __init__(
        self, function: Function, owner: Owner, log: EnvironmentLog, metrics: Metrics
    ) -> None:
        self.function = function
        self.state = State.STARTING
        self.pid = 0
        self.port = 0
        self.idle_since = clock.monotonic()
        self.invocation_count = 0
        self._owner = owner
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._zygote: Zygote | None = None
        self._server: asyncio.Server | None = None
        self._waiting: Waiting | None = None
        self._invocation: Invocation | None = None
        self._answered = False
        self._timer: asyncio.TimerHandle | None = None
        self._init_started = clock.monotonic()
        self._init_ms: float | None = None
        self._init_error: bytes | None = None
        self._memory_fd = -1
        self._memory_used_mb = 0
        self._errors = metrics.errors.labels(function.name)
        self._invocations = metrics.invocations.labels(function.name)
        self._duration = metrics.duration.labels(function.name)
        self._cold_starts = metrics.cold_starts.labels(function.name)

    def started(self, pid: int, zygote: Zygote, server: asyncio.Server) -> None:
        """The fork exists: watch that it becomes ready in time."""
        self.pid = pid
        self._zygote = zygote
        self._server = server
        if self.state is State.STOPPED:  # it ended while the news of its start was on the way
            server.close()
            return
        self._memory_fd = _open_statm(pid)
        if self.state is State.STARTING:
            self._timer = self._loop.call_later(INIT_TIMEOUT_S, self._on_init_timeout)

    # --- the pool's side -------------------------------------------------------------------

    @property
    def occupied(self) -> bool:
        """Whether it runs an invocation that is not answered yet."""
        return self.state is State.BUSY and not self._answered

    def invoke(self, invocation: Invocation) -> None:
        """Hand over an invocation; its `done` gets the outcome. Only when READY."""
        self._move(State.BUSY)
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        self._invocation = invocation
        self._answered = False
        self.invocation_count += 1
        self._invocations.inc()
        if invocation.want_tail:
            self._log.start_tail()
        self._log.line(logs.start_line(invocation.request_id))
        invocation.started = clock.monotonic()
        invocation.deadline_ms = clock.epoch_ms() + int(self.function.timeout_s * 1000)
        self._timer = self._loop.call_later(self.function.timeout_s, self._on_timeout)
        waiting.deliver(self, invocation)

    def stop(self) -> None:
        """End the process: TERM, and KILL after a grace. `Owner.on_gone` follows."""
        if self.state in (State.STOPPING, State.STOPPED, State.FAILED):
            return
        self._move(State.STOPPING)
        self._cancel_timer()
        self._fail(exit_payload(self._request_id(), -signal.SIGTERM))
        self._kill(signal.SIGTERM)
        self._timer = self._loop.call_later(STOP_GRACE_S, self._kill, signal.SIGKILL)

    # --- the Runtime API's side ------------------------------------------------------------

    def next_requested(self, waiting: Waiting) -> None:
        """`GET /next`: ready for work. Raises `ProtocolViolation` while an answer is owed."""
        if self.state is State.STARTING:
            self._cancel_timer()
            self._init_ms = (clock.monotonic() - self._init_started) * 1000
            self._cold_starts.inc()
        elif self.state is State.BUSY and self._answered:
            self._cancel_timer()
        else:
            msg = f"/next while {self.state}"
            raise ProtocolViolation(msg)
        self._invocation = None
        self._waiting = waiting
        self._move(State.READY)
        self.idle_since = clock.monotonic()
        self._owner.on_ready(self)

    def responded(self, request_id: str, payload: bytes) -> None:
        """`POST /{id}/response`. Raises `ProtocolViolation` for another request's id."""
        invocation = self._take(request_id)
        self._finish(invocation, payload, None, "")

    def response_too_large(self, request_id: str) -> None:
        """`POST /{id}/response` with more than 6 MB."""
        invocation = self._take(request_id)
        self._finish(invocation, too_large_payload(), UNHANDLED, "")

    def errored(self, request_id: str, payload: bytes) -> None:
        """`POST /{id}/error`: the handler raised."""
        invocation = self._take(request_id)
        self._finish(invocation, payload, UNHANDLED, "")

    def init_failed(self, payload: bytes) -> None:
        """`POST /init/error`: the handler could not be loaded; the process will end."""
        if self.state is not State.STARTING:
            msg = f"/init/error while {self.state}"
            raise ProtocolViolation(msg)
        self._init_error = payload
        self._cancel_timer()
        self._move(State.FAILED)

    # --- what happens by itself ------------------------------------------------------------

    def on_exit(self, status: int) -> None:
        """The process ended with `status` (negative: by that signal)."""
        self._cancel_timer()
        if self.state is State.STARTING:
            self._init_error = exit_payload("", status)
        self._fail(exit_payload(self._request_id(), status))
        if self.state is State.BUSY:
            self._move(State.FAILED)
        self._move(State.STOPPED)
        self._log.close()
        if self._server is not None:
            self._server.close()
        if self._memory_fd >= 0:
            os.close(self._memory_fd)
            self._memory_fd = -1
        self._owner.on_gone(self, self._init_error)

    def _on_init_timeout(self) -> None:
        self._log.line(
            f"INIT_REPORT Init Duration: {INIT_TIMEOUT_S * 1000:.2f} ms\t"
            "Phase: init\tStatus: timeout\n".encode()
        )
        self._init_error = timeout_payload("", INIT_TIMEOUT_S)
        self._move(State.FAILED)
        self._kill(signal.SIGKILL)

    def _on_timeout(self) -> None:
        invocation = self._invocation
        self._move(State.FAILED)
        if invocation is not None and not self._answered:
            request_id, limit = invocation.request_id, self.function.timeout_s
            payload = timeout_payload(request_id, limit)
            self._finish(invocation, payload, UNHANDLED, "Status: timeout")
        self._kill(signal.SIGKILL)

    def _take(self, request_id: str) -> Invocation:
        invocation = self._invocation
        if invocation is None or invocation.request_id != request_id or self._answered:
            msg = f"no invocation {request_id} is running here"
            raise ProtocolViolation(msg)
        return invocation

    def _fail(self, payload: bytes) -> None:
        if self._invocation is not None and not self._answered:
            status = "Status: error\tError Type: Runtime.ExitError"
            self._finish(self._invocation, payload, UNHANDLED, status)

    def _finish(
        self, invocation: Invocation, payload: bytes, function_error: str | None, status: str
    ) -> None:
        self._answered = True
        seconds = clock.monotonic() - invocation.started
        self._duration.observe(seconds)
        if function_error is not None:
            self._errors.inc()
        self._log.drain()
        self._log.line(
            logs.end_lines(
                invocation.request_id,
                duration_ms=seconds * 1000,
                memory_mb=self.function.memory_mb,
                memory_used_mb=self._memory_used(),
                init_ms=self._init_ms if self.invocation_count == 1 else None,
                status=status,
            )
        )
        if not invocation.done.done():
            tail = self._log.take_tail() if invocation.want_tail else b""
            invocation.done.set_result(
                Outcome(invocation.request_id, payload, function_error, tail, seconds * 1000)
            )

    def _memory_used(self) -> int:
        """Most anonymous memory seen, in MB; pages that only the zygote wrote are among it."""
        if self._memory_fd >= 0:
            try:
                fields = os.pread(self._memory_fd, 128, 0).split()
                used = (int(fields[1]) - int(fields[2])) * _PAGE_KB // 1024
                self._memory_used_mb = max(self._memory_used_mb, used)
            except (OSError, IndexError):
                pass  # it has just ended: the last reading stands
        return self._memory_used_mb

    def _kill(self, sent_signal: signal.Signals) -> None:
        if self._zygote is not None and self.pid:
            self._zygote.kill(self.pid, sent_signal)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _request_id(self) -> str:
        return self._invocation.request_id if self._invocation else ""

    def _move(self, to: State) -> None:
        if to not in ALLOWED[self.state]:
            msg = f"{self.function.name} environment {self.pid}: {self.state} → {to}"
            raise IllegalTransition(msg)
        self.state = to


def _open_statm(pid: int) -> int:
    try:
        return os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
