"""One execution environment: one Runtime API port, one process at a time, at most one invocation.

It outlives its process, as on AWS: when init fails or times out, and when a process crashes, times out
or uses too much memory during an invocation, the environment stays without one (COLD), and the next
invocation starts it again inside its own timeout ("suppressed init"). What ends is only the process.

All of it happens on one event loop, so there are no locks; every change of state goes through `_move`,
which refuses what `state.ALLOWED` does not list.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

from local_stack import clock
from local_stack.environments.invocation import (
    exit_payload,
    timeout_payload,
    too_large_payload,
)
from local_stack.environments.reports import EXIT_ERROR, OUT_OF_MEMORY, UNHANDLED, Reports
from local_stack.environments.state import ALLOWED, State
from local_stack.errors import IllegalTransition, ProtocolViolation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from local_stack.environments.freeze import Freezer
    from local_stack.environments.invocation import Invocation
    from local_stack.environments.memory import MemoryMeter
    from local_stack.environments.roles import Owner, Process, Waiting
    from local_stack.environments.worker import Zygote
    from local_stack.model import Function
    from local_stack.telemetry.logs import EnvironmentLog
    from local_stack.telemetry.metrics import Metrics
    from local_stack.telemetry.platform_lines import Phase, Status

_LOGGER = logging.getLogger(__name__)
INIT_TIMEOUT_S = 10.0  # "Init ≤ 10 s": Lambda runtime environment life cycle
PROVISIONED_INIT_S_MIN, PROVISIONED_INIT_S_MAX = 130.0, 900.0
STOP_GRACE_S = 2.0  # Lambda's Shutdown phase with extensions


class Environment:
    """See the module. Made and started by `factory.EnvironmentFactory`, owned by a pool."""

    def __init__(
        self,
        function: Function,
        owner: Owner,
        log: EnvironmentLog,
        metrics: Metrics,
        *,
        initialization_type: str = "on-demand",
        log_stream: str = "",
        time_limits: bool = True,
    ) -> None:
        """Without `time_limits` neither init nor invocations are ended: somebody debugs it."""
        self.function = function
        self.state = State.STARTING
        self.pid = 0  # 0: it has no process, or its number is on the way
        self.port = 0
        self.generation = 0  # how many processes it has had and lost
        self.idle_since = clock.monotonic()
        self.invocation_count = 0
        self._owner = owner
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._provisioned = initialization_type != "on-demand"
        self._reports = Reports(function, log, metrics, initialization_type, log_stream)
        self._meter: MemoryMeter | None = None
        self._freezer: Freezer | None = None
        self._time_limits = time_limits
        self._launch: Callable[[], Awaitable[Process]] | None = None
        self._on_end: Callable[[], None] | None = None
        self._launching: asyncio.Task[None] | None = None
        self._zygote: Zygote | None = None
        self._server: asyncio.Server | None = None
        self._waiting: Waiting | None = None
        self._invocation: Invocation | None = None
        self._answered = False
        self._out_of_memory = False
        self._stop_asked = False
        self._timer: asyncio.TimerHandle | None = None
        self._init_started = clock.monotonic()
        self._init_error: bytes | None = None

    # --- its process -----------------------------------------------------------------------

    async def start(
        self,
        server: asyncio.Server,
        launch: Callable[[], Awaitable[Process]],
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """Start the first process. Raises what `launch` raises; then all is the caller's to close.

        `launch` forks one, and sees to it that `on_exit` hears of its end. It is called again for
        every later process, with a new pipe in the environment's log; `on_end` in the very end.
        """
        self._server, self._launch, self._on_end = server, launch, on_end
        self._reports.init_starts()
        await self._fork()

    async def _fork(self) -> None:
        assert self._launch is not None
        generation = self.generation
        self._init_started = clock.monotonic()
        process = await self._launch()
        if self.generation != generation:  # it ended while the news of its start was on the way
            if process.meter is not None:
                process.meter.close()
            return
        self.pid, self._zygote, self._meter, self._freezer = process
        if self._meter is not None:
            self._meter.begin()
        if self.state is State.STARTING:
            if self._time_limits:
                self._timer = self._loop.call_later(self._init_limit_s, self._on_init_timeout)
        elif self.state is State.READY:
            self._settle_meter()
            if self._freezer is not None:
                self._freezer.freeze()
        elif self.state in (State.FAILED, State.STOPPING):
            self._kill(signal.SIGKILL)

    def on_exit(self, status: int) -> None:
        """Its process has ended with `status` (negative: by that signal)."""
        self._cancel_timer()
        self.generation += 1
        self.pid, self._zygote, self._freezer, self._waiting = 0, None, None, None
        if self._meter is not None:
            self._meter.close()  # it still tells the most that it has seen
        error_type = OUT_OF_MEMORY if self._out_of_memory else EXIT_ERROR
        if self.state in (State.STARTING, State.RESTARTING):
            self._init_failed(self._exit_payload(status), error_type)
        elif self.state is State.BUSY:
            self._fail(self._exit_payload(status), error_type)
            self._move(State.FAILED)
        self._out_of_memory = False
        self._invocation = self._meter = None
        self._log.close()
        if self.state is State.FAILED and not self._provisioned and not self._stop_asked:
            self._reports.init_ms = None
            self._move(State.COLD)
            self.idle_since = clock.monotonic()
            self._owner.on_ready(self)
        else:
            self._end()

    def _end(self) -> None:
        self._move(State.STOPPED)
        if self._server is not None:
            self._server.close()
        if self._on_end is not None:
            self._on_end()
        self._owner.on_gone(self, self._init_error)

    # --- the pool's side -------------------------------------------------------------------

    @property
    def occupied(self) -> bool:
        """Whether it runs an invocation that is not answered yet."""
        return self._invocation is not None and not self._answered

    def invoke(self, invocation: Invocation) -> None:
        """Hand over an invocation; its `done` gets the outcome. Only when READY or COLD."""
        if self.state is State.COLD:
            self._move(State.RESTARTING)
            self._begin(invocation)
            self._log.reopen()
            self._launching = self._loop.create_task(self._relaunch())
            return
        self._move(State.BUSY)
        self._begin(invocation)
        self._reports.invocation_starts(invocation)
        self._deliver(invocation)

    def stop(self) -> None:
        """End it: TERM, and KILL after a grace. `Owner.on_gone` follows, at once if it is COLD."""
        self._stop_asked = True
        if self.state is State.COLD:
            self._end()
        if self.state in (State.STOPPING, State.STOPPED, State.FAILED):
            return
        self._move(State.STOPPING)
        self._cancel_timer()
        self._fail(self._exit_payload(-signal.SIGTERM), EXIT_ERROR)
        self._kill(signal.SIGTERM)
        if self._freezer is not None:
            self._freezer.thaw()
        self._timer = self._loop.call_later(STOP_GRACE_S, self._kill, signal.SIGKILL)

    async def _relaunch(self) -> None:
        try:
            await self._fork()
        except Exception as error:
            _LOGGER.exception("cannot start an environment of %s again", self.function.name)
            self._cancel_timer()
            invocation, self._invocation = self._invocation, None
            self._reports.invocation_is_lost(invocation, error)
            self._log.close()
            if self.state is State.RESTARTING:
                self._move(State.FAILED)
            self._end()

    def _begin(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._answered = False
        self.invocation_count += 1
        self._reports.invocation_comes(invocation)
        invocation.started = clock.monotonic()
        invocation.deadline_ms = clock.epoch_ms() + int(self.function.timeout_s * 1000)
        if self._time_limits:
            self._timer = self._loop.call_later(self.function.timeout_s, self._on_timeout)

    def _deliver(self, invocation: Invocation) -> None:
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        if self._meter is not None:
            self._meter.begin()
        if self._freezer is not None:
            self._freezer.thaw()
        waiting.deliver(self, invocation)

    # --- the Runtime API's side ------------------------------------------------------------

    def next_requested(self, waiting: Waiting) -> None:
        """`GET /next`: ready for work. Raises `ProtocolViolation` while an answer is owed."""
        if self.state is State.BUSY and self._answered:
            self._cancel_timer()
        elif self.state is State.STARTING:
            self._cancel_timer()
            init_ms = self._init_is_over("success")
            self._reports.init_ms = None if self._provisioned else init_ms
            self._settle_meter()
        elif self.state is State.RESTARTING:
            self._restarted(waiting)
            return
        else:
            msg = f"/next while {self.state}"
            raise ProtocolViolation(msg)
        if self._out_of_memory:
            return  # it has been killed, and will not hear an answer
        self._invocation = None
        self._waiting = waiting
        self._move(State.READY)
        self.idle_since = clock.monotonic()
        self._owner.on_ready(self)
        if self._freezer is not None and self._waiting is waiting:  # nobody had work for it
            self._freezer.freeze()

    def responded(self, request_id: str, payload: bytes) -> None:
        """`POST /{id}/response`. Raises `ProtocolViolation` for another request's id."""
        self._finish(self._take(request_id), payload, None)

    def response_too_large(self, request_id: str) -> None:
        """`POST /{id}/response` with more than 6 MB."""
        self._finish(self._take(request_id), too_large_payload(), UNHANDLED)

    def errored(self, request_id: str, payload: bytes) -> None:
        """`POST /{id}/error`: the handler raised."""
        self._finish(self._take(request_id), payload, UNHANDLED)

    def init_failed(self, payload: bytes, error_type: str) -> None:
        """`POST /init/error`: the handler could not be loaded; the process will end."""
        if self.state not in (State.STARTING, State.RESTARTING):
            msg = f"/init/error while {self.state}"
            raise ProtocolViolation(msg)
        self._cancel_timer()
        self._init_failed(payload, error_type)
        self._timer = self._loop.call_later(STOP_GRACE_S, self._kill, signal.SIGKILL)

    def _restarted(self, waiting: Waiting) -> None:
        """Init went well inside an invocation: hand that over."""
        invocation = self._invocation
        assert invocation is not None
        self._settle_meter()
        self._waiting = waiting
        self._init_is_over("success")
        self._move(State.BUSY)
        self._reports.invocation_starts(invocation)
        self._deliver(invocation)

    # --- what happens by itself ------------------------------------------------------------

    @property
    def _init_limit_s(self) -> float:
        """10 s; of a provisioned environment 130 s or the function's timeout, at most 900 s."""
        if not self._provisioned:
            return INIT_TIMEOUT_S
        return min(max(PROVISIONED_INIT_S_MIN, self.function.timeout_s), PROVISIONED_INIT_S_MAX)

    def _on_init_timeout(self) -> None:
        self._init_is_over("timeout")
        if self._provisioned:
            self._init_error = timeout_payload("", self._init_limit_s)
        self._move(State.FAILED)
        self._kill(signal.SIGKILL)

    def _on_timeout(self) -> None:
        invocation = self._invocation
        if invocation is not None and not self._answered:
            if self.state is State.RESTARTING:
                self._init_is_over("timeout")
                self._reports.invocation_starts(invocation)
            payload = timeout_payload(invocation.request_id, self.function.timeout_s)
            self._finish(invocation, payload, UNHANDLED, "timeout")
        self._move(State.FAILED)
        self._kill(signal.SIGKILL)

    def _init_failed(self, payload: bytes, error_type: str) -> None:
        """Init is over, and not well; inside an invocation, that is over, too."""
        self._init_is_over("error", error_type)
        if self._invocation is not None:
            self._reports.invocation_starts(self._invocation)
            self._fail(payload, error_type)
        else:
            self._init_error = payload if self._provisioned else None
        self._move(State.FAILED)

    def _init_is_over(self, status: Status, error_type: str = "") -> float:
        """Tell how long it took, and how it ended; the time in milliseconds."""
        duration_ms = (clock.monotonic() - self._init_started) * 1000
        phase: Phase = "init" if self._invocation is None else "invoke"
        self._reports.init_is_over(duration_ms, phase, status, error_type)
        return duration_ms

    def _take(self, request_id: str) -> Invocation:
        invocation = self._invocation
        if (
            invocation is None
            or invocation.request_id != request_id
            or self._answered
            or self.state is State.RESTARTING
        ):
            msg = f"no invocation {request_id} is running here"
            raise ProtocolViolation(msg)
        return invocation

    def _fail(self, payload: bytes, error_type: str) -> None:
        if self._invocation is not None and not self._answered:
            self._finish(self._invocation, payload, UNHANDLED, "error", error_type)

    def _finish(
        self,
        invocation: Invocation,
        payload: bytes,
        function_error: str | None,
        status: Status = "success",
        error_type: str = "",
    ) -> None:
        self._answered = True
        seconds = clock.monotonic() - invocation.started
        if status == "timeout":
            seconds = self.function.timeout_s  # as AWS says it, however late the timer was
        memory_used_mb = self._meter.end() if self._meter is not None else 0
        if self._out_of_memory and status != "timeout":
            status, error_type = "error", OUT_OF_MEMORY
        self._reports.invocation_is_over(
            invocation,
            payload,
            function_error,
            seconds=seconds,
            memory_used_mb=memory_used_mb,
            status=status,
            error_type=error_type,
        )

    def on_memory_exceeded(self) -> None:
        """It uses more than it may: its end, which is on the way, has that reason."""
        self._out_of_memory = True
        self._kill(signal.SIGKILL)

    def _settle_meter(self) -> None:
        if self._meter is not None:
            self._meter.settle()
            if self._invocation is None:
                self._meter.end()

    def _kill(self, sent_signal: signal.Signals) -> None:
        if self._zygote is not None and self.pid:
            self._zygote.kill(self.pid, sent_signal)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _exit_payload(self, status: int) -> bytes:
        return exit_payload(self._invocation.request_id if self._invocation else "", status)

    def _move(self, to: State) -> None:
        if to not in ALLOWED[self.state]:
            msg = f"{self.function.name} environment {self.pid}: {self.state} → {to}"
            raise IllegalTransition(msg)
        self.state = to
