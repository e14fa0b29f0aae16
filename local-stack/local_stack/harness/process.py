"""A function host as a process of its own: on free ports, in a folder of its own, gone with us.

The host stops when its standard input ends. The kernel closes that pipe whatever ends us, also
`kill -9`, so no host is ever left behind.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import site
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from local_stack import clock
from local_stack.errors import ServiceFailed
from local_stack.settings import Ports, environment_for_child

if TYPE_CHECKING:
    from local_stack.settings import Settings

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
POLL_S = 0.005
PROBE_TIMEOUT_S = 2.0
LOG_LINES = 15
# Below the range that the kernel hands out to outgoing connections. Two test processes may choose
# the same port: the second of them is told so by its host, and chooses again.
_PORT_FIRST, _PORT_LAST = 20_000, 32_000
_CHOICES_MAX = 200
_STARTS_MAX = 8
_TAKEN = "is taken"


class HostProcess:
    """One host that runs the template of `settings`; ports and folder of it are replaced."""

    def __init__(self, settings: Settings) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="local-stack-"))
        self._running: list[subprocess.Popen[bytes]] = []
        self._finish = weakref.finalize(self, _finish, self._running, self._folder)
        self._given = settings
        self.settings = self._on_free_ports()

    @property
    def base_url(self) -> str:
        """The HTTP gateway."""
        return f"http://127.0.0.1:{self.settings.ports.http}"

    @property
    def lambda_url(self) -> str:
        """The Lambda API."""
        return f"http://127.0.0.1:{self.settings.ports.lambda_api}"

    def start(self) -> None:
        """Start it and wait until it is ready. Raises `ServiceFailed` with the end of its log.

        `stop` belongs behind it, also when it raises.
        """
        for attempt in range(1, _STARTS_MAX + 1):
            try:
                self._start()
            except ServiceFailed as error:
                _end(self._running)
                if _TAKEN not in str(error) or attempt == _STARTS_MAX:
                    raise
                self.settings = self._on_free_ports()
            else:
                return

    def stop(self) -> None:
        """Stop it, let running invocations end for some seconds, and remove its folder."""
        self._finish()  # the interpreter does it at its end, if nobody has

    def output(self) -> str:
        """What the host itself wrote; functions write to logs of their own."""
        with contextlib.suppress(OSError):
            return self._output.read_text(errors="replace")
        return ""

    @property
    def _output(self) -> Path:
        return self._folder / "host.log"

    def _on_free_ports(self) -> Settings:
        first = free_ports(2)
        ports = Ports.model_validate({"hosts": first, "http": first, "lambda_api": first + 1})
        changes = {"stack_dir": self._folder, "ports": ports, "replicas": 1}
        return self._given.model_copy(update=changes)

    def _start(self) -> None:
        path = self.settings.write()
        self.settings.log_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "local_stack.host", "--settings", str(path)]
        with self._output.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [*command, "--index", "1", "--until-end-of-input"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=_environment(),
                cwd=self._folder,
            )
        self._running.append(process)
        pause = threading.Event()
        deadline = clock.monotonic() + START_TIMEOUT_S
        while not _is_ready(self.settings.ports.lambda_api, process.pid):
            if process.poll() is not None:
                raise ServiceFailed(self._failure("the function host cannot start"))
            if clock.monotonic() > deadline:
                what = f"the function host was not ready within {START_TIMEOUT_S:g} s"
                raise ServiceFailed(self._failure(what))
            pause.wait(POLL_S)

    def _failure(self, what: str) -> str:
        end = "\n".join(self.output().splitlines()[-LOG_LINES:])
        return f"{what}. The end of its log:\n{end or '(it is empty)'}"


def _finish(running: list[subprocess.Popen[bytes]], folder: Path) -> None:
    _end(running)
    shutil.rmtree(folder, ignore_errors=True)


def _end(running: list[subprocess.Popen[bytes]]) -> None:
    while running:
        process = running.pop()
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on. Raises `ServiceFailed`."""
    for _ in range(_CHOICES_MAX):
        # Not for secrets. A generator of its own: pytest-randomly seeds the shared one alike in
        # every test process.
        first = random.SystemRandom().randrange(_PORT_FIRST, _PORT_LAST - count)
        if all(_is_free(first + index) for index in range(count)):
            return first
    msg = f"found no {count} free ports in a row between {_PORT_FIRST} and {_PORT_LAST}: end what holds them"
    raise ServiceFailed(msg)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _is_ready(port: int, pid: int) -> bool:
    """Whether the process `pid` answers there, and is ready."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/_local_stack/ready")
        response = connection.getresponse()
        return response.status == 200 and json.loads(response.read()).get("pid") == pid
    except (OSError, HTTPException, ValueError, AttributeError):
        return False
    finally:
        connection.close()


def _environment() -> dict[str, str]:
    """Ours; where we were imported from a folder that is not installed, it is told to the host."""
    environment = environment_for_child()
    home = str(Path(__file__).parents[2])
    if home not in site.getsitepackages():
        known = environment.get("PYTHONPATH", "")
        environment["PYTHONPATH"] = f"{home}:{known}" if known else home
    return environment
