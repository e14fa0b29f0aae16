"""The host's side of a zygote: starts it, asks it for forks, hears of exits.

The only module of the runtime that starts processes of functions.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.environments.zygote import END_SECONDS_MAX, MESSAGE_BYTES_MAX
from local_stack.errors import RuntimeFailed
from local_stack.settings import environment_for_child

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LOGGER = logging.getLogger(__name__)
READY_TIMEOUT_S = 30.0
FORK_TIMEOUT_S = 10.0
SEND_AGAIN_S = 0.005


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What an environment is fenced in with; see `child.py`."""

    tmp_mb: int  # size of its own /tmp; 0: it has the host's
    visible: tuple[str, ...]  # what it sees although it lies under /tmp
    read_only: tuple[str, ...]
    bytecode: str  # where compiled modules of functions are kept
    data_bytes_max: int


@dataclass(frozen=True, slots=True)
class Launch:
    """What an environment is to run, and where."""

    environment: Mapping[str, str]
    path: tuple[str, ...]
    cwd: str
    handler: str
    sandbox: Sandbox
    joins: bool = False  # the namespaces that come with it, instead of making its own
    fresh: bool = False  # in a fresh interpreter instead of a fork
    hidden: tuple[str, ...] = ()
    debug_port: int | None = None


class Zygote:
    """One zygote process, for functions that share their code paths. Lives on one event loop."""

    def __init__(
        self,
        *,
        paths: Sequence[str],
        preload: Sequence[str],
        hidden: Sequence[str],
        bytecode: Path,
        log_path: Path,
    ) -> None:
        self._paths = list(paths)
        self._hidden = list(hidden)
        self._preload = list(preload)
        self._bytecode = bytecode
        self._log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready: asyncio.Future[None] | None = None
        self._forks: dict[int, asyncio.Future[int]] = {}
        self._exits: dict[int, Callable[[int], None]] = {}
        self._early_exits: dict[int, int] = {}
        self._next_id = 0
        self._unfit = ""
        self._retiring = False
        self._reaped: asyncio.Future[None] | None = None
        # What it has imported or hides, by top-level name.
        self.modules: frozenset[str] = frozenset()
        # Why its forks cannot have a /tmp of their own, or nothing.
        self.scratch_refusal = ""

    @property
    def pid(self) -> int | None:
        """The zygote's process id, while it lives."""
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        """Whether it can still fork."""
        return self._control is not None

    async def start(self) -> None:
        """Start the process and wait until it has preloaded. Raises `RuntimeFailed`."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        command = [sys.executable, "-P", "-m", "local_stack.environments.zygote"]
        command += ["--fd", str(theirs.fileno()), "--bytecode", str(self._bytecode)]
        command += [word for path in self._paths for word in ("--path", path)]
        command += [word for name in self._preload for word in ("--preload", name)]
        command += [word for name in self._hidden for word in ("--hide", name)]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - returns at once
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                env=environment_for_child(),
            )
        theirs.close()
        self._control = ours
        self._ready = loop.create_future()
        loop.add_reader(ours, self._on_message)
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), READY_TIMEOUT_S)
        except TimeoutError as error:
            await self.stop()
            msg = f"the zygote was not ready in {READY_TIMEOUT_S:.0f} s; see {self._log_path}"
            raise RuntimeFailed(msg) from error

    async def fork(
        self, launch: Launch, descriptors: Sequence[int], on_exit: Callable[[int], None]
    ) -> int:
        """Fork one environment and return its pid.

        `descriptors` are the write end of its log pipe and, as `child.become` says, up to two more;
        they stay the caller's to close. `on_exit` is called once with the exit code (negative:
        killed by that signal).
        """
        if self._control is None:
            raise RuntimeFailed("the zygote is gone")
        self._next_id += 1
        request: dict[str, Any] = {"id": self._next_id, **asdict(launch)}
        data = json.dumps(request).encode()
        if len(data) > MESSAGE_BYTES_MAX:
            raise RuntimeFailed("the function's environment is too large to start it")
        forked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._forks[self._next_id] = forked
        try:
            async with asyncio.timeout(FORK_TIMEOUT_S):
                await self._send(data, descriptors)
                pid = await forked
        except (OSError, TimeoutError) as error:
            msg = f"the zygote did not fork: {type(error).__name__} {error}"
            raise RuntimeFailed(msg) from error
        finally:
            self._forks.pop(request["id"], None)
        if pid in self._early_exits:
            # Not before the caller knows of the process: it has descriptors to close first.
            asyncio.get_running_loop().call_soon(on_exit, self._early_exits.pop(pid))
        else:
            self._exits[pid] = on_exit
        return pid

    async def _send(self, data: bytes, descriptors: Sequence[int]) -> None:
        """Send a request; many at once fill the socket, and then wait for the zygote."""
        while self._control is not None:
            try:
                socket.send_fds(self._control, [data], list(descriptors))
            except BlockingIOError:
                await asyncio.sleep(SEND_AGAIN_S)
            else:
                return
        raise RuntimeFailed("the zygote is gone")

    def kill(self, pid: int, sent_signal: signal.Signals = signal.SIGKILL) -> None:
        """Signal an environment and everything it started; a pid that is gone is ignored."""
        if pid not in self._exits:
            return  # already reaped: the number may belong to somebody else by now
        try:
            os.killpg(pid, sent_signal)
        except ProcessLookupError:
            # Killed between fork and setpgid: there is no group yet. Or reaped, and not yet told.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sent_signal)

    async def stop(self) -> None:
        """End the zygote, which ends first whatever its environments still run."""
        self._close()
        if self._reaped is not None:
            await self._reaped

    def retire(self) -> None:
        """End it as soon as the last of its environments has ended: others are forked elsewhere."""
        self._retiring = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._retiring and not self._exits and not self._forks:
            self._close()

    def _on_message(self) -> None:
        while self._control is not None:
            try:
                data = self._control.recv(MESSAGE_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._close()
                return
            self._dispatch(json.loads(data))

    def _dispatch(self, message: Mapping[str, Any]) -> None:
        if "unfit" in message:
            self._unfit = f"preload: {message['unfit']}"
        elif "ready" in message:
            assert self._ready is not None
            self.modules = frozenset(message["modules"])
            self.scratch_refusal = message["scratch_refusal"]
            for name, reason in message["failed"].items():
                _LOGGER.warning("%s cannot be preloaded: %s", name, reason)
            self._ready.set_result(None)
        elif "asked" in message:
            self._on_forked(message)
        elif "exited" in message:
            pid, status = message["exited"], message["status"]
            on_exit = self._exits.pop(pid, None)
            if on_exit is not None:
                on_exit(status)
            elif self._forks:  # died before the coroutine that forked it ran again
                self._early_exits[pid] = status
            self._close_if_done()

    def _on_forked(self, message: Mapping[str, Any]) -> None:
        forked, pid = self._forks.get(message["asked"]), message.get("pid")
        if forked is not None and not forked.done():
            if pid is None:
                forked.set_exception(OSError(message["error"]))
            else:
                forked.set_result(pid)
        elif pid is not None:  # whoever asked has given up: nobody would ever end it
            self._exits[pid] = lambda _: None
            self.kill(pid)

    def _close(self) -> None:
        """The zygote is gone: so are its environments."""
        control, self._control = self._control, None
        if control is None:
            return
        asyncio.get_running_loop().remove_reader(control)
        control.close()
        process, self._process = self._process, None
        if process is not None:
            loop = asyncio.get_running_loop()
            self._reaped = loop.run_in_executor(None, _wait_or_kill, process)
        gone = RuntimeFailed(self._unfit or f"the zygote ended; see {self._log_path}")
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(gone)
        for forked in self._forks.values():
            if not forked.done():
                forked.set_exception(gone)
        exits, self._exits = self._exits, {}
        for pid, on_exit in exits.items():
            # They die with the zygote; what they started does so only if the zygote ended it.
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
            on_exit(-signal.SIGKILL)


def interpreter_folders() -> tuple[str, ...]:
    """Everything that an interpreter of ours reads from: to be seen wherever it lies."""
    here = str(Path.cwd())  # `python -m` puts it there
    paths = [path for path in sys.path if path not in ("", here)]
    return (sys.prefix, sys.base_prefix, sys.executable, *paths)


def _wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(END_SECONDS_MAX + 1)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
