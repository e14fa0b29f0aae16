"""Environments without processes: the state machine is real, what is around it is not."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, cast

from local_stack.environments.environment import Environment
from local_stack.environments.invocation import Invocation, Outcome
from local_stack.environments.roles import Process
from local_stack.errors import RuntimeFailed

if TYPE_CHECKING:
    import asyncio

    from local_stack.environments.factory import InitializationType
    from local_stack.environments.roles import Owner
    from local_stack.environments.worker import Zygote
    from local_stack.model import Function
    from local_stack.telemetry.logs import EnvironmentLog
    from local_stack.telemetry.metrics import Metrics

NO_SUCH_PID = 2**22 + 1  # Linux gives none above 2**22


class FakeZygote:
    """Remembers who was killed; nobody dies of it by himself."""

    def __init__(self) -> None:
        self.killed: list[tuple[int, signal.Signals]] = []

    def kill(self, pid: int, sent_signal: signal.Signals = signal.SIGKILL) -> None:
        self.killed.append((pid, sent_signal))


class FakeServer:
    """A Runtime API port."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class FakeLog:
    """Keeps the platform's lines."""

    def __init__(self) -> None:
        self.text = b""
        self.closed = False
        self._tail_from: int | None = None

    def start_tail(self) -> None:
        self._tail_from = len(self.text)

    def take_tail(self) -> bytes:
        assert self._tail_from is not None
        return self.text[self._tail_from :]

    def line(self, data: bytes) -> None:
        self.text += data

    def drain(self) -> None:
        """Nothing was printed."""

    def close(self) -> None:
        self.closed = True

    def reopen(self) -> None:
        assert self.closed
        self.closed = False


class FakeRuntime:
    """What awslambdaric does: asks for work on a connection, and answers it."""

    def __init__(
        self,
        environment: Environment,
        log: FakeLog,
        server: FakeServer,
        zygote: FakeZygote,
        pid: int,
    ) -> None:
        self.environment = environment
        self.log = log
        self.server = server
        self.invocation: Invocation | None = None
        self.delivered: list[Invocation] = []
        self.launches = 0
        self.launch_fails = False
        self._zygote = zygote
        self._pid = pid

    async def launch(self) -> Process:
        """Fork it; every later process has the pid that follows."""
        if self.launch_fails:
            raise RuntimeFailed("the zygote is gone")
        self.launches += 1
        return Process(self._pid + self.launches - 1, cast("Zygote", self._zygote))

    def deliver(self, environment: Environment, invocation: Invocation) -> None:
        assert environment is self.environment
        self.invocation = invocation
        self.delivered.append(invocation)

    def next(self) -> None:
        self.environment.next_requested(self)

    def respond(self, payload: bytes = b"null") -> None:
        assert self.invocation is not None
        self.environment.responded(self.invocation.request_id, payload)

    def finish(self, payload: bytes = b"null") -> None:
        """Answer, and ask for the next."""
        self.respond(payload)
        self.next()

    def exit(self, status: int = 0) -> None:
        self.environment.on_exit(status)


async def make_environment(
    function: Function,
    owner: Owner,
    metrics: Metrics,
    zygote: FakeZygote,
    pid: int,
    *,
    initialization_type: InitializationType = "on-demand",
    **options: Any,
) -> FakeRuntime:
    """An environment that has just been forked, with the runtime inside it."""
    log, server = FakeLog(), FakeServer()
    environment = Environment(
        function,
        owner,
        cast("EnvironmentLog", log),
        metrics,
        initialization_type=initialization_type,
        **options,
    )
    runtime = FakeRuntime(environment, log, server, zygote, pid)
    await environment.start(cast("asyncio.Server", server), runtime.launch)
    return runtime


class FakeStarter:
    """Starts environments at once; a test says when they become ready and what becomes of them."""

    def __init__(self, metrics: Metrics) -> None:
        self.runtimes: list[FakeRuntime] = []
        self.kinds: list[str] = []
        self.zygote = FakeZygote()
        self.fails = False
        self._metrics = metrics

    async def start(
        self, function: Function, owner: Owner, initialization_type: InitializationType
    ) -> Environment:
        self.kinds.append(initialization_type)
        if self.fails:
            raise RuntimeFailed("the zygote is gone")
        pid = NO_SUCH_PID + 1000 * len(self.runtimes)
        runtime = await make_environment(
            function,
            owner,
            self._metrics,
            self.zygote,
            pid,
            initialization_type=initialization_type,
        )
        self.runtimes.append(runtime)
        return runtime.environment


def make_invocation(
    loop: asyncio.AbstractEventLoop, request_id: str, *, want_tail: bool = False
) -> Invocation:
    """An invocation that nobody has taken yet."""
    done: asyncio.Future[Outcome] = loop.create_future()
    return Invocation(request_id=request_id, payload=b"{}", done=done, want_tail=want_tail)
