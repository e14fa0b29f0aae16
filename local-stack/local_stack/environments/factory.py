"""Makes execution environments: a log pipe, a Runtime API port, a fork of the right zygote."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Literal

from local_stack import clock
from local_stack.environments.environment import Environment, Owner
from local_stack.environments.variables import function_variables
from local_stack.environments.worker import Zygote
from local_stack.telemetry.logs import EnvironmentLog, LogFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence
    from pathlib import Path

    from local_stack.model import Function
    from local_stack.settings import Limits
    from local_stack.telemetry.metrics import Metrics

InitializationType = Literal["on-demand", "provisioned-concurrency"]


class EnvironmentFactory:
    """Starts environments, and the zygotes they are forked from."""

    def __init__(
        self,
        *,
        preload: Sequence[str],
        hidden: Sequence[str],
        log_dir: Path,
        log_suffix: str,
        limits: Limits,
        metrics: Metrics,
        listen: Callable[[Environment], Awaitable[asyncio.Server]],
    ) -> None:
        self._preload = tuple(preload)
        self._hidden = tuple(hidden)
        self._log_dir = log_dir
        self._log_suffix = log_suffix
        self._limits = limits
        self._metrics = metrics
        self._listen = listen
        self._zygotes: dict[tuple[str, ...], asyncio.Task[Zygote]] = {}
        self._logs: dict[str, LogFile] = {}

    async def warm_up(self, functions: Sequence[Function]) -> None:
        """Have every zygote ready that these functions need."""
        await asyncio.gather(*(self._zygote_for(function) for function in functions))

    async def start(
        self, function: Function, owner: Owner, initialization_type: InitializationType
    ) -> Environment:
        """Fork one environment; `owner` hears when it is ready. Raises `RuntimeFailed`."""
        log = EnvironmentLog(self._log_file(function), self._metrics.take_emf)
        environment = Environment(function, owner, log, self._metrics)
        server = await self._listen(environment)
        try:
            zygote = await self._zygote_for(function)
            pid = await zygote.fork(
                environment=function_variables(
                    function,
                    runtime_api=f"127.0.0.1:{environment.port}",
                    log_stream=_log_stream(),
                    initialization_type=initialization_type,
                ),
                path=_search_path(function),
                cwd=str(function.code_dir),
                handler=function.handler,
                log_fd=log.write_fd,
                on_exit=environment.on_exit,
            )
        except BaseException:
            server.close()
            log.close_write_end()
            log.close()
            raise
        log.close_write_end()
        environment.started(pid, zygote, server)
        return environment

    async def close(self) -> None:
        """End every zygote, and with them every environment that still lives."""
        for task in self._zygotes.values():
            if task.done() and not task.exception():
                await task.result().stop()
        self._zygotes.clear()
        for log in self._logs.values():
            log.close()

    async def _zygote_for(self, function: Function) -> Zygote:
        """The shared zygote, or for a function with copies of its own one for itself.

        Otherwise a built package would silently run with the stack's libraries. What the shared
        one says it has imported decides: more than is named in `preload` comes along with it.
        """
        shared = await self._zygote(())
        if not _own_copies(function, shared.modules):
            return shared
        return await self._zygote(tuple(_search_path(function)))

    async def _zygote(self, key: tuple[str, ...]) -> Zygote:
        task = self._zygotes.get(key)
        if task is None or (task.done() and not _alive(task)):
            task = asyncio.create_task(self._start_zygote(key))
            self._zygotes[key] = task
        return await asyncio.shield(task)

    async def _start_zygote(self, key: tuple[str, ...]) -> Zygote:
        zygote = Zygote(
            paths=key,
            preload=self._preload,
            hidden=self._hidden,
            log_path=self._log_dir / "zygote.log",
        )
        await zygote.start()
        return zygote

    def _log_file(self, function: Function) -> LogFile:
        if function.name not in self._logs:
            self._logs[function.name] = LogFile(
                self._log_dir / "functions" / f"{function.name}{self._log_suffix}.log",
                bytes_max=self._limits.log_file_bytes,
                files_max=self._limits.log_files,
            )
        return self._logs[function.name]


def _alive(task: asyncio.Task[Zygote]) -> bool:
    return not task.cancelled() and task.exception() is None and task.result().alive


def _search_path(function: Function) -> list[str]:
    """What goes in front of `sys.path`: the code, then its layers, as on AWS."""
    return [str(function.code_dir), *(str(path) for path in function.layer_paths)]


def _own_copies(function: Function, imported: Collection[str]) -> bool:
    """Whether the function or a layer of it brings its own copy of something imported already."""
    folders = [function.code_dir, *function.layer_paths]
    return any(
        entry.name.partition(".")[0] in imported for folder in folders for entry in folder.iterdir()
    )


def _log_stream() -> str:
    return f"{clock.now():%Y/%m/%d}/[$LATEST]{uuid.uuid4().hex}"
