"""Makes execution environments: a log pipe, a Runtime API port, forks of the right zygote."""

from __future__ import annotations

import functools
import shutil
import uuid
from typing import TYPE_CHECKING, Literal

from local_stack import clock
from local_stack.environments.environment import Environment
from local_stack.environments.freeze import Freezer
from local_stack.environments.launcher import Launcher
from local_stack.environments.memory import MemorySampler, data_bytes_max
from local_stack.environments.roles import Process
from local_stack.environments.variables import function_variables
from local_stack.environments.worker import Launch, Sandbox, Zygote, interpreter_folders
from local_stack.environments.zygotes import Zygotes, search_path
from local_stack.telemetry.logs import EnvironmentLog, LogFile

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from local_stack.environments.roles import Owner
    from local_stack.model import Function
    from local_stack.settings import Settings
    from local_stack.telemetry.metrics import Metrics

_NO_LIMIT_MB = 1 << 20
InitializationType = Literal["on-demand", "provisioned-concurrency"]


class EnvironmentFactory:
    """Starts environments, and the zygotes they are forked from."""

    def __init__(
        self,
        settings: Settings,
        *,
        log_suffix: str,
        metrics: Metrics,
        listen: Callable[[Environment], Awaitable[asyncio.Server]],
    ) -> None:
        self._settings = settings
        self._log_suffix = log_suffix
        self._metrics = metrics
        self._listen = listen
        self._zygotes = Zygotes(self._make_zygote)
        self._sampler = MemorySampler()
        self._logs: dict[str, LogFile] = {}
        self._bytecode = settings.run_dir / "bytecode"
        self._tmp = settings.run_dir / f"tmp{log_suffix}"  # a folder for each, without namespaces
        self._visible = (
            *interpreter_folders(),
            *(str(path) for path in settings.tmp_visible),
            str(self._bytecode),
        )

    async def warm_up(self, functions: Sequence[Function]) -> None:
        """Have every zygote ready that these functions need."""
        self._bytecode.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._tmp, ignore_errors=True)  # left by a host that was killed
        await self._zygotes.warm_up(functions)

    def code_changed(self, name: str) -> None:
        """Code of function `name`, or of a layer of it, was saved."""
        self._zygotes.code_changed(name)

    async def start(
        self, function: Function, owner: Owner, initialization_type: InitializationType
    ) -> Environment:
        """Start one environment; `owner` hears when it is ready. Raises `RuntimeFailed`."""
        log = EnvironmentLog(self._log_file(function), self._metrics.take_emf)
        log_stream = _log_stream(function)
        environment = Environment(
            function,
            owner,
            log,
            self._metrics,
            initialization_type=initialization_type,
            log_stream=log_stream,
            time_limits=function.name not in self._settings.debug,
        )
        server = await self._listen(environment)
        variables = function_variables(
            function,
            runtime_api=f"127.0.0.1:{environment.port}",
            log_stream=log_stream,
            initialization_type=initialization_type,
        )
        launcher = Launcher(
            function,
            self._zygotes,
            log,
            functools.partial(self._launch, function, variables),
            functools.partial(self._attend, environment),
            environment.on_exit,
            self._tmp / uuid.uuid4().hex,
        )
        try:
            await environment.start(server, launcher, launcher.close)
        except BaseException:
            launcher.close()
            server.close()
            log.close()
            raise
        return environment

    def flush_logs(self) -> None:
        """Have everything on disk that functions have logged until now."""
        for log in self._logs.values():
            log.flush()

    async def close(self) -> None:
        """End every zygote, and with them every environment that still lives."""
        await self._zygotes.close()
        for log in self._logs.values():
            log.close()

    def _make_zygote(self, paths: Sequence[str]) -> Zygote:
        return Zygote(
            paths=paths,
            preload=self._settings.preload if self._settings.warm else (),
            hidden=self._settings.hidden_packages,
            bytecode=self._bytecode,
            log_path=self._settings.log_dir / "zygote.log",
        )

    def _launch(self, function: Function, variables: dict[str, str], tmp: Path | None) -> Launch:
        """What to run; `tmp` is the folder that TMPDIR names if it cannot have a /tmp of its own."""
        path = tuple(search_path(function))
        return Launch(
            environment=variables if tmp is None else {"TMPDIR": str(tmp), **variables},
            path=path,
            cwd=str(function.code_dir),
            handler=function.handler,
            sandbox=Sandbox(
                tmp_mb=function.ephemeral_storage_mb if tmp is None else 0,
                visible=(*self._visible, *path),
                read_only=path,
                bytecode=str(self._bytecode),
                data_bytes_max=data_bytes_max(function.memory_mb),
            ),
            fresh=not self._settings.warm,
            hidden=self._settings.hidden_packages,
            debug_port=self._settings.debug.get(function.name),
        )

    def _attend(self, environment: Environment, pid: int, zygote: Zygote) -> Process:
        function = environment.function
        # A debugger runs in the environment's processes, and would count.
        limit_mb = _NO_LIMIT_MB if function.name in self._settings.debug else function.memory_mb
        meter = self._sampler.meter(pid, limit_mb, environment.on_memory_exceeded)
        freezer = Freezer(functools.partial(zygote.kill, pid)) if self._settings.freeze else None
        return Process(pid, zygote, meter, freezer)

    def _log_file(self, function: Function) -> LogFile:
        if function.name not in self._logs:
            limits = self._settings.limits
            self._logs[function.name] = LogFile(
                self._settings.log_dir / "functions" / f"{function.name}{self._log_suffix}.log",
                bytes_max=limits.log_file_bytes,
                files_max=limits.log_files,
            )
        return self._logs[function.name]


def _log_stream(function: Function) -> str:
    """Its name is the function's, too, where several functions may share a group."""
    name = function.name if function.logging.group else ""
    return f"{clock.now():%Y/%m/%d}/{name}[$LATEST]{uuid.uuid4().hex}"
