"""The states of an execution environment: a move is illegal until it is listed."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class State(StrEnum):
    """Where an execution environment is in its life."""

    STARTING = "starting"  # forked, importing the handler
    READY = "ready"  # waits in /next
    BUSY = "busy"  # has an invocation, or has answered and not asked for the next one yet
    FAILED = "failed"  # init failed, crashed or timed out; its process is about to end
    COLD = "cold"  # without a process; the next invocation starts one
    RESTARTING = "restarting"  # starts again inside an invocation, whose time runs
    STOPPING = "stopping"  # told to end
    STOPPED = "stopped"  # its process is reaped, and there will be no other


ALLOWED: Mapping[State, frozenset[State]] = {
    State.STARTING: frozenset({State.READY, State.FAILED, State.STOPPING}),
    State.READY: frozenset({State.BUSY, State.STOPPING, State.STOPPED}),
    State.BUSY: frozenset({State.READY, State.FAILED, State.STOPPING}),
    State.FAILED: frozenset({State.COLD, State.STOPPED}),
    State.COLD: frozenset({State.RESTARTING, State.STOPPED}),
    State.RESTARTING: frozenset({State.BUSY, State.FAILED, State.STOPPING}),
    State.STOPPING: frozenset({State.STOPPED}),
    State.STOPPED: frozenset(),
}
