"""What a stack is doing: state, pid, address, uptime, restarts and memory of each part."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

import psutil

from local_stack.parts import brought
from local_stack.supervisor import ProcessInfo, Supervisor, count_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local_stack.parts import Part
    from local_stack.settings import Settings

TIMEOUT_S = 2.0
MANAGER = "supervisord"


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One line of the table."""

    name: str
    state: str  # ready, starting, not ready, backing off, stopped, elsewhere, unreachable
    pid: int | None
    address: str
    uptime_s: float | None
    restarts: int | None
    memory_bytes: int | None  # proportional (PSS), with all of its child processes


@dataclass(frozen=True, slots=True)
class FunctionStatus:
    """The environments of one function, over all hosts."""

    name: str
    environments: int
    busy: int
    waiting: int
    invocations: int


@dataclass(frozen=True, slots=True)
class StackStatus:
    """All of it."""

    running: bool
    parts: list[PartStatus]
    functions: list[FunctionStatus]

    @property
    def is_healthy(self) -> bool:
        """Whether every part is ready."""
        return self.running and all(part.state in ("ready", "elsewhere") for part in self.parts)

    def as_json(self) -> str:
        """The whole as JSON."""
        return json.dumps({**asdict(self), "healthy": self.is_healthy}, indent=2)


def read_status(settings: Settings, parts: Sequence[Part]) -> StackStatus:
    """Ask the process manager, the parts and the hosts."""
    supervisor = Supervisor(settings)
    running = supervisor.is_running()
    states = supervisor.processes() if running else {}
    lines = [_part_status(settings, part, states.get(part.name)) for part in parts]
    if running:
        pid = supervisor.pid()
        uptime_s = max((info.uptime_s for info in states.values()), default=0.0)
        memory = _memory_bytes(pid, children=False)
        lines.append(
            PartStatus(MANAGER, "ready", pid, str(supervisor.socket_path), uptime_s, 0, memory)
        )
    for store in brought(settings):
        state = "elsewhere" if store.is_ready() else "unreachable"
        lines.append(PartStatus(store.name, state, None, store.setting, None, None, None))
    return StackStatus(running, lines, read_functions(settings) if running else [])


def read_functions(settings: Settings) -> list[FunctionStatus]:
    """What the hosts say of their environments; a host that does not answer is left out."""
    totals: dict[str, FunctionStatus] = {}
    for index in range(1, settings.replicas + 1):
        for name, pool in _host_status(settings, index).get("functions", {}).items():
            before = totals.get(name, FunctionStatus(name, 0, 0, 0, 0))
            environments = pool["environments"]
            totals[name] = FunctionStatus(
                name,
                before.environments + len(environments),
                before.busy + sum(1 for item in environments if item["state"].lower() == "busy"),
                before.waiting + pool["waiting"],
                before.invocations + sum(item["invocations"] for item in environments),
            )
    return sorted(totals.values(), key=lambda status: status.name)


def _part_status(settings: Settings, part: Part, info: ProcessInfo | None) -> PartStatus:
    if info is None:
        return PartStatus(part.name, "stopped", None, part.address, None, None, None)
    running = info.state == "RUNNING"
    state = ("ready" if part.is_ready() else "not ready") if running else _WORDS[info.state]
    path = count_path(settings, part.name)
    starts = path.stat().st_size if path.exists() else 0
    return PartStatus(
        name=part.name,
        state=state,
        pid=info.pid or None,
        address=part.address,
        uptime_s=info.uptime_s if info.pid else None,
        restarts=max(0, starts - 1),
        memory_bytes=_memory_bytes(info.pid, children=True) if info.pid else None,
    )


_WORDS = {
    "STOPPED": "stopped",
    "STARTING": "starting",
    "BACKOFF": "backing off",
    "STOPPING": "stopping",
    "EXITED": "restarting",
    "FATAL": "failed",
    "UNKNOWN": "unknown",
}


def _host_status(settings: Settings, index: int) -> dict[str, Any]:
    _, api_port = settings.host_ports(index)
    connection = HTTPConnection("127.0.0.1", api_port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/_local_stack/status")
        response = connection.getresponse()
        document = json.loads(response.read())
    except (OSError, HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return document if isinstance(document, dict) else {}


def _memory_bytes(pid: int, *, children: bool) -> int | None:
    try:
        process = psutil.Process(pid)
        family = [process, *(process.children(recursive=True) if children else [])]
    except psutil.Error:
        return None
    total = 0
    for member in family:
        try:
            total += member.memory_full_info().pss
        except (psutil.Error, OSError):
            continue  # it has just ended, or belongs to someone else
    return total
