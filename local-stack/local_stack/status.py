"""What a stack is doing: state, pid, address, uptime, restarts and memory of each part."""

from __future__ import annotations

import json
from collections import Counter
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
    """One function, over all hosts; limits are each host's own."""

    name: str
    limit: int | None  # reserved concurrency
    provisioned: int
    states: dict[str, int]  # environments by state
    waiting: int  # callers that wait for an environment
    events: int  # asynchronous events that are accepted and not settled
    invocations: int
    cold_starts: int
    throttles: int

    @property
    def environments(self) -> int:
        """All of them."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class StackStatus:
    """All of it."""

    running: bool
    parts: list[PartStatus]
    functions: list[FunctionStatus]
    notes: list[str]  # what a person should know, and no part is to blame for

    @property
    def is_healthy(self) -> bool:
        """Whether every part is ready."""
        return self.running and all(part.state in ("ready", "elsewhere") for part in self.parts)

    def as_json(self) -> str:
        """The whole as JSON."""
        functions = [{**asdict(f), "environments": f.environments} for f in self.functions]
        whole = {**asdict(self), "functions": functions, "healthy": self.is_healthy}
        return json.dumps(whole, indent=2)


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
    # A host that does not answer is left out.
    hosts = [_host_status(settings, i) for i in range(1, settings.replicas + 1)] if running else []
    return StackStatus(running, lines, read_functions(hosts), read_notes(settings, hosts))


def read_functions(hosts: Sequence[dict[str, Any]]) -> list[FunctionStatus]:
    """What the hosts say of their functions, summed."""
    pools: dict[str, list[dict[str, Any]]] = {}
    for host in hosts:
        for name, pool in host.get("functions", {}).items():
            pools.setdefault(name, []).append(pool)
    return [_function_status(name, pools[name]) for name in sorted(pools)]


def _function_status(name: str, pools: Sequence[dict[str, Any]]) -> FunctionStatus:
    def total(field: str) -> int:
        return sum(pool.get(field, 0) for pool in pools)

    return FunctionStatus(
        name=name,
        limit=pools[0]["limit"],
        provisioned=pools[0]["provisioned"],
        states=dict(Counter(item["state"] for pool in pools for item in pool["environments"])),
        waiting=total("waiting"),
        events=total("events"),
        invocations=total("invocations"),
        cold_starts=total("cold_starts"),
        throttles=total("throttles"),
    )


def read_notes(settings: Settings, hosts: Sequence[dict[str, Any]]) -> list[str]:
    """What the hosts say that a person should do."""
    notes = []
    if any(host.get("template_changed") for host in hosts):
        name = settings.template_path.name
        notes.append(f"{name} has changed: `local-stack down`, then `up`, to apply it")
    reasons = {host.get("reload", "on") for host in hosts} - {"on", "starting"}
    notes += [f"reload is {reason}" for reason in sorted(reasons)]
    return notes


def _part_status(settings: Settings, part: Part, info: ProcessInfo | None) -> PartStatus:
    if info is None:
        return PartStatus(part.name, "stopped", None, part.address, None, None, None)
    state = _WORDS.get(info.state, "not ready")
    # The process manager calls a part STARTING for its first second, however ready it is.
    if info.state in ("RUNNING", "STARTING") and part.is_ready():
        state = "ready"
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
