"""Starts the processes of one environment, the first and those that follow a crash or a timeout.

/tmp belongs to the environment, not to a process: after a timeout Lambda starts the runtime anew,
with fresh memory and with /tmp as it was. Here the next process joins the namespace of the one
before, which lives on because a descriptor of it is held until the environment ends.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from local_stack.environments import scratch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local_stack.environments.roles import Process
    from local_stack.environments.worker import Launch, Zygote
    from local_stack.environments.zygotes import Zygotes
    from local_stack.model import Function
    from local_stack.telemetry.logs import EnvironmentLog


class Launcher:
    """Forks for one environment. `close` when that has ended."""

    def __init__(
        self,
        function: Function,
        zygotes: Zygotes,
        log: EnvironmentLog,
        prepare: Callable[[Path | None], Launch],
        attend: Callable[[int, Zygote], Process],
        on_exit: Callable[[int], None],
        folder: Path,
    ) -> None:
        """`prepare` says what to run, given TMPDIR where a /tmp of its own is refused: `folder`.

        `attend` adds to a process what measures and stops it.
        """
        self._function = function
        self._zygotes = zygotes
        self._log = log
        self._prepare = prepare
        self._attend = attend
        self._on_exit = on_exit
        self._folder = folder
        self._namespaces: tuple[int, ...] = ()
        self._fenced = -1  # the end of a pipe: the process closes the other in its own /tmp
        self._closed = False

    async def __call__(self) -> Process:
        """Fork one process. Raises `RuntimeFailed`."""
        told = -1
        try:
            zygote = await self._zygotes.get(self._function)
            own_tmp = not zygote.scratch_refusal
            if not own_tmp:
                self._folder.mkdir(parents=True, exist_ok=True)
            launch = self._prepare(None if own_tmp else self._folder)
            launch = replace(launch, joins=bool(self._namespaces))
            if own_tmp and not self._namespaces:
                self._stop_listening()
                self._fenced, told = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            extra = self._namespaces or ((told,) if told >= 0 else ())
            pid = await zygote.fork(launch, (self._log.write_fd, *extra), self._on_exit)
        finally:
            self._log.close_write_end()
            if told >= 0:
                os.close(told)
        if self._closed:
            self._stop_listening()
        elif told >= 0:
            asyncio.get_running_loop().add_reader(self._fenced, self._hold, pid)
        return self._attend(pid, zygote)

    def close(self) -> None:
        """The environment is no more, and neither is its /tmp."""
        self._closed = True
        self._stop_listening()
        for descriptor in self._namespaces:
            os.close(descriptor)
        self._namespaces = ()
        if self._folder.exists():
            loop = asyncio.get_running_loop()
            loop.run_in_executor(None, lambda: shutil.rmtree(self._folder, ignore_errors=True))

    def _hold(self, pid: int) -> None:
        self._stop_listening()
        self._namespaces = scratch.hold(pid)

    def _stop_listening(self) -> None:
        if self._fenced >= 0:
            asyncio.get_running_loop().remove_reader(self._fenced)
            os.close(self._fenced)
            self._fenced = -1
