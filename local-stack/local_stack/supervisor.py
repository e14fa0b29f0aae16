"""The process manager: supervisord in the background, spoken to over its Unix socket.

It restarts what dies, rotates logs and answers who runs. What is started when, and whether it is
ready, is decided in `stack`.
"""

from __future__ import annotations

import http.client
import os
import resource
import shlex
import socket
import subprocess
import sys
import xmlrpc.client
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override

from local_stack.errors import ServiceFailed, SettingsError
from local_stack.services import launch
from local_stack.settings import environment_for_child

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from local_stack.parts import Part
    from local_stack.settings import Settings

# sun_path holds 108 bytes; supervisord binds `<path>.<pid>` first.
SOCKET_PATH_BYTES_MAX = 98
OWNER_VARIABLE = "LOCAL_STACK_OWNER"  # marks every process of a stack with its folder
_ALREADY_STARTED = 60
_NOT_RUNNING = 70
# A part that keeps failing is tried again after 1, 2, 3 … seconds, and never given up.
_RETRIES = 1_000_000
OPEN_FILES = 8192


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """What the process manager knows of one part."""

    state: str  # STOPPED STARTING RUNNING BACKOFF STOPPING EXITED FATAL
    pid: int
    uptime_s: float
    description: str


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__()
        self._path = path
        self._timeout_s = timeout_s

    @override
    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        del host
        return _UnixConnection(self._path, self._timeout_s)


class Supervisor:
    """The stack's process manager, running or not."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._run_dir = settings.run_dir
        self.socket_path = self._run_dir / "supervisor.sock"
        self.pid_path = self._run_dir / "supervisord.pid"
        transport = _UnixTransport(self.socket_path, timeout_s=10.0)
        proxy = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport)
        self._rpc = cast("Any", proxy)

    def check_folder(self) -> None:
        """Raise `SettingsError` for a folder that a socket or a configuration line cannot hold."""
        folder = str(self._settings.stack_dir)
        if any(mark in folder for mark in (" ;", " #", "\n")):
            msg = f"the folder {folder!r} reads like a comment to the process manager: name another one with LOCAL_STACK_DIR"
            raise SettingsError(msg)
        length = len(os.fsencode(self.socket_path))
        if length > SOCKET_PATH_BYTES_MAX:
            excess = length - SOCKET_PATH_BYTES_MAX
            msg = f"the folder {self._settings.stack_dir} is {excess} bytes too long for a Unix socket: name a shorter one with LOCAL_STACK_DIR"
            raise SettingsError(msg)

    def is_running(self) -> bool:
        """Whether it answers, be it that it is stopping."""
        try:
            self._rpc.supervisor.getState()
        except (OSError, http.client.HTTPException):
            return False
        except xmlrpc.client.Fault:
            return True
        return True

    def pid(self) -> int:
        """Its process id."""
        return int(self._call("getPID"))

    def start_daemon(self, parts: Sequence[Part]) -> None:
        """Start it in the background, with no part running yet."""
        config = self._run_dir / "supervisord.conf"
        config.write_text(render_config(self._settings, parts, self.socket_path, self.pid_path))
        self.socket_path.unlink(missing_ok=True)
        self.pid_path.unlink(missing_ok=True)
        for part in parts:
            count_path(self._settings, part.name).unlink(missing_ok=True)
        result = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)],
            check=False,
            capture_output=True,
            text=True,
            env=_environment(self._settings),
            stdin=subprocess.DEVNULL,
        )
        if result.returncode != 0 or not launch.wait_for(self.is_running, 10.0):
            reason = (result.stderr or result.stdout).strip().splitlines()
            msg = (
                f"the process manager did not start: {reason[-1] if reason else 'no reason given'}"
            )
            raise ServiceFailed(msg)

    def processes(self) -> dict[str, ProcessInfo]:
        """Every part it knows, by name."""
        return {
            info["name"]: ProcessInfo(
                state=info["statename"],
                pid=info["pid"],
                uptime_s=max(0, info["now"] - info["start"]) if info["pid"] else 0,
                description=info["spawnerr"] or info["description"],
            )
            for info in self._call("getAllProcessInfo")
        }

    def start(self, name: str) -> None:
        """Start a part without waiting. Running already is fine."""
        self._call("startProcess", name, False, fine=_ALREADY_STARTED)

    def stop(self, name: str) -> None:
        """Ask a part to stop, without waiting. Stopped already is fine."""
        self._call("stopProcess", name, False, fine=_NOT_RUNNING)

    def shutdown(self) -> None:
        """Stop whatever runs, then the process manager; without waiting."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: Any, fine: int | None = None) -> Any:
        """One XML-RPC call; its failures, but for the fault that is `fine`, are `ServiceFailed`."""
        try:
            return getattr(self._rpc.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == fine:
                return None
            msg = f"the process manager refused {method}{arguments}: {fault.faultString}"
            raise ServiceFailed(msg) from fault
        except (OSError, http.client.HTTPException) as error:
            msg = f"the process manager does not answer ({error}): run `local-stack up`"
            raise ServiceFailed(msg) from error


def count_path(settings: Settings, name: str) -> Path:
    """The file that grows by one byte whenever the part is started."""
    return settings.run_dir / f"{name}.starts"


def log_path(settings: Settings, name: str) -> Path:
    """Where a part's output goes."""
    return settings.log_dir / f"{name}.log"


def render_config(
    settings: Settings, parts: Sequence[Part], socket_path: Path, pid_path: Path
) -> str:
    """The configuration file of supervisord."""
    limits = settings.limits
    lines = [
        "; Written by `local-stack up`.",
        "[unix_http_server]",
        f"file={_escaped(str(socket_path))}",
        "chmod=0700",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "[supervisord]",
        f"logfile={_escaped(str(log_path(settings, 'supervisord')))}",
        f"logfile_maxbytes={limits.log_file_bytes}",
        f"logfile_backups={limits.log_files}",
        f"pidfile={_escaped(str(pid_path))}",
        f"directory={_escaped(str(settings.run_dir))}",
        "identifier=local-stack",
        f"minfds={_open_files()}",
        *(["user=root"] if os.geteuid() == 0 else []),
    ]
    for part in parts:
        argv = launch.command(
            list(part.command),
            death_signal=part.death_signal,
            parent_pid_file=pid_path,
            count_file=count_path(settings, part.name),
            orphans_of=part.orphans_of,
        )
        lines += [
            f"[program:{part.name}]",
            f"command={_escaped(shlex.join(argv))}",
            f"directory={_escaped(str(part.folder))}",
            "autostart=false",
            "autorestart=true",
            "startsecs=1",
            f"startretries={_RETRIES}",
            f"stopsignal={part.stop_signal}",
            f"stopwaitsecs={part.stop_wait_s}",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={_escaped(str(log_path(settings, part.name)))}",
            f"stdout_logfile_maxbytes={limits.log_file_bytes}",
            f"stdout_logfile_backups={limits.log_files}",
        ]
    return "\n".join(lines) + "\n"


def _open_files() -> int:
    """How many files the parts may open: a host has a connection a request."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OPEN_FILES if hard < 0 else min(hard, OPEN_FILES)


def _escaped(text: str) -> str:
    """Supervisord expands `%(name)s` in every value."""
    return text.replace("%", "%%")


def _environment(settings: Settings) -> dict[str, str]:
    """What the parts see: ours, the mark of this stack, and no proxy between parts."""
    environment = environment_for_child()
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host for host in environment.get(name, "").split(",") if host]
        environment[name] = ",".join([*hosts, "127.0.0.1", "localhost"])
    environment.setdefault("RUST_LOG", "warn")
    return environment | {OWNER_VARIABLE: str(settings.stack_dir), "PYTHONUNBUFFERED": "1"}
