"""Starts, watches and stops a whole stack; every step is reported as it happens.

`up` returns when all of it is true: every part ready, the functions of `on_start` invoked, the
event sources polling. What fails is named, with the end of its log.
"""

from __future__ import annotations

import base64
import fcntl
import http.client
import json
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Protocol

from local_stack import leftovers, preflight
from local_stack.clock import monotonic
from local_stack.errors import ServiceFailed, SettingsError
from local_stack.parts import EVENT_SOURCES, brought, jars_dir, parts_of
from local_stack.services import launch, nginx
from local_stack.services.kafka import apache
from local_stack.settings import Settings
from local_stack.supervisor import Supervisor, count_path, log_path
from local_stack.template.project import load_project

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from local_stack.model import Template
    from local_stack.parts import Part
    from local_stack.settings import OnStart

STARTS_MAX = 3  # a part that ended this often before it was ready is reported
LOG_LINES = 15
STOP_WAIT_S = 60.0
_ALIVE = frozenset({"STARTING", "RUNNING"})
_FAILED = frozenset({"BACKOFF", "FATAL", "EXITED", "UNKNOWN"})


class Report(Protocol):
    """Where progress goes."""

    def step(self, title: str, seconds: float, detail: str = "") -> None:
        """Something was done, and how long it took."""

    def note(self, text: str) -> None:
        """Something worth knowing."""


class Stack:
    """One stack: its settings, its template and its parts."""

    def __init__(self, settings: Settings) -> None:
        preflight.check_machine()
        self.settings = settings
        self.template: Template = load_project(settings)
        unknown = sorted(settings.debug.keys() - self.template.functions.keys())
        if unknown:
            msg = f"--debug {unknown[0]}: no such function; there are {', '.join(self.template.functions)}"
            raise SettingsError(msg)
        self.parts: list[Part] = parts_of(settings, self.template)
        self.supervisor = Supervisor(settings)

    def up(self, report: Report) -> bool:
        """Start what does not run and wait until all of it is ready; False if all of it did."""
        self.supervisor.check_folder()
        preflight.make_folders(self.settings, self.parts)
        with _only_one(self.settings.run_dir / "up.lock"):
            fresh = not self.supervisor.is_running()
            if fresh:
                self._prepare(report)
            else:
                self._check_same_settings()
            try:
                return self._start(report)
            except BaseException:
                if fresh:  # half a stack helps nobody, and would hold the ports
                    self._stop_all()
                raise

    def down(self, report: Report) -> bool:
        """Stop everything; False if nothing ran."""
        started = monotonic()
        if not self.settings.run_dir.exists():
            return False
        running = self.supervisor.is_running()
        if running:
            self._stop_all()
        elif not leftovers.find(self.settings, self.parts):
            return False
        ended = leftovers.wait_and_end(self.settings, self.parts)
        if ended:
            report.note(f"ended {len(ended)} processes that did not stop by themselves")
        self.supervisor.socket_path.unlink(missing_ok=True)
        report.step("Stopped", monotonic() - started)
        return True

    def _prepare(self, report: Report) -> None:
        started = monotonic()
        ended = leftovers.wait_and_end(self.settings, self.parts)
        if ended:
            report.note(f"ended {len(ended)} processes that an earlier run had left behind")
        self._fetch_kafka(report)
        preflight.check_ports([port for part in self.parts for port in part.ports])
        preflight.check_programs(self.parts)
        preflight.check_user_change(self.settings, self.parts)
        for store in brought(self.settings):
            if not store.is_ready():
                msg = f"{store.setting} is set, and nothing answers there: start that {store.name}, or unset {store.setting} to run one here"
                raise ServiceFailed(msg)
        self.settings.write()
        config = self.settings.run_dir / "nginx" / "nginx.conf"
        config.write_text(nginx.render_template(self.settings, self.template))
        self.supervisor.start_daemon(self.parts)
        report.step("Process manager", monotonic() - started, f"pid {self.supervisor.pid()}")

    def _fetch_kafka(self, report: Report) -> None:
        if self.settings.kafka == "apache" and any(part.name == "kafka" for part in self.parts):
            started = monotonic()
            if apache.fetch(jars_dir(self.settings)):
                report.step("Apache Kafka fetched", monotonic() - started, "by Maven")

    def _check_same_settings(self) -> None:
        running = Settings.read(self.settings.run_dir / "settings.json")
        if running != self.settings:
            changed = ", ".join(
                name
                for name in Settings.model_fields
                if getattr(running, name) != getattr(self.settings, name)
            )
            msg = f"the stack runs with other settings ({changed}): `local-stack down` first"
            raise SettingsError(msg)

    def _start(self, report: Report) -> bool:
        """The stores, the hosts and Nginx side by side; then the functions; then the events."""
        first = [part for part in self.parts if part.name != EVENT_SOURCES]
        last = [part for part in self.parts if part.name == EVENT_SOURCES]
        anything = self._start_parts(first, report)
        if anything:
            for item in self.settings.on_start:
                started = monotonic()
                detail = self._invoke(item)
                report.step(item.function, monotonic() - started, detail)
        return self._start_parts(last, report) or anything

    def _start_parts(self, parts: Sequence[Part], report: Report) -> bool:
        started = monotonic()
        states = self.supervisor.processes()
        asked = [part for part in parts if states[part.name].state not in _ALIVE]
        for part in asked:
            if part.ready_file is not None:
                part.ready_file.unlink(missing_ok=True)
            count_path(self.settings, part.name).unlink(missing_ok=True)
            if states[part.name].state == "BACKOFF":
                self.supervisor.stop(part.name)
            self.supervisor.start(part.name)
        waiting = list(parts)
        deadline = started + self.settings.start_timeout_seconds

        def all_ready() -> bool:
            self._check_failures(waiting)
            for part in [part for part in waiting if part.is_ready()]:
                waiting.remove(part)
                if part in asked:
                    report.step(part.title, monotonic() - started, part.address)
            return not waiting

        if not launch.wait_for(all_ready, deadline - monotonic()):
            part = waiting[0]
            seconds = self.settings.start_timeout_seconds
            raise ServiceFailed(self._failure(part, f"was not ready within {seconds:g} s"))
        return bool(asked)

    def _check_failures(self, parts: Sequence[Part]) -> None:
        states = self.supervisor.processes()
        for part in parts:
            info = states[part.name]
            starts = _size(count_path(self.settings, part.name))
            if info.state in _FAILED and (starts >= STARTS_MAX or info.state == "FATAL"):
                raise ServiceFailed(self._failure(part, "cannot start"))

    def _failure(self, part: Part, what: str) -> str:
        path = log_path(self.settings, part.name)
        return f"{part.title} {what}. The end of {path}:\n{tail(path, LOG_LINES)}"

    def _invoke(self, item: OnStart) -> str:
        """Invoke a function through the Lambda API and wait for it; what it answered, in short."""
        function = self.template.functions.get(item.function)
        if function is None:
            msg = f"on_start in [tool.local-stack] names {item.function}, which the template does not have"
            raise SettingsError(msg)
        timeout_s = function.timeout_s + 30
        connection = HTTPConnection("127.0.0.1", self.settings.ports.lambda_api, timeout=timeout_s)
        path = f"/2015-03-31/functions/{item.function}/invocations"
        try:
            headers = {"Content-Type": "application/json", "X-Amz-Log-Type": "Tail"}
            connection.request("POST", path, item.payload.encode(), headers)
            response = connection.getresponse()
            body = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            msg = f"{item.function} could not be invoked: {error}"
            raise ServiceFailed(msg) from error
        finally:
            connection.close()
        if response.status != 200 or response.getheader("X-Amz-Function-Error"):
            log = base64.b64decode(response.getheader("X-Amz-Log-Result") or "")
            msg = f"{item.function} failed: {_message(body)}. The end of its log:\n{log.decode(errors='replace')}"
            raise ServiceFailed(msg)
        return body if len(body) <= 80 else f"{body[:79]}…"

    def _stop_all(self) -> None:
        """Stop the parts wave by wave, so that nothing calls what is gone, then the manager."""
        try:
            for wave in sorted({part.stop_wave for part in self.parts}):
                names = [part.name for part in self.parts if part.stop_wave == wave]
                known = self.supervisor.processes()
                for name in [name for name in names if name in known]:
                    self.supervisor.stop(name)
                launch.wait_for(lambda names=names: self._all_stopped(names), STOP_WAIT_S)
            self.supervisor.shutdown()
            launch.wait_for(lambda: not self.supervisor.is_running(), STOP_WAIT_S)
        except ServiceFailed:
            pass  # it has just ended, or another `down` is at it; what is left of it is dealt with as leftovers

    def _all_stopped(self, names: Sequence[str]) -> bool:
        states = self.supervisor.processes()
        return all(not states[name].pid for name in names if name in states)


def tail(path: Path, lines: int) -> str:
    """The last lines of a log, which may be missing."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64 * 1024))
            text = file.read().decode(errors="replace")
    except OSError:
        return "(it is empty)"
    return "\n".join(text.splitlines()[-lines:]) or "(it is empty)"


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold a lock file: a second `up` waits for the first and finds everything running."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _message(body: str) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        return body.strip()[:500]
    if isinstance(document, dict):
        for key in ("errorMessage", "Message", "message"):
            if document.get(key):
                return str(document[key])
    return body.strip()[:500]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
