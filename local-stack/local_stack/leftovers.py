"""Processes that outlived their process manager, found by the mark every part inherits.

The kernel ends children of a killed process manager; some need a moment (PostgreSQL writes its
checkpoint), and one that hangs must not hold a port for ever.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psutil

from local_stack.services import launch
from local_stack.supervisor import OWNER_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from local_stack.parts import Part
    from local_stack.settings import Settings

END_WAIT_S = 15.0
KILL_WAIT_S = 5.0


def find(settings: Settings, parts: Sequence[Part]) -> list[int]:
    """Every process of this stack.

    Most carry the mark in their environment. PostgreSQL and Nginx write their titles over theirs;
    they are known by their program and the folder they run in.
    """
    found = set(_marked(settings.stack_dir))
    for part in parts:
        if part.program is not None:
            for folder in (part.folder, settings.stack_dir / "postgres" / "data"):
                found |= set(launch.running(part.program, folder))
    return sorted(found)


def wait_and_end(settings: Settings, parts: Sequence[Part]) -> list[int]:
    """Let leftovers end, then end them; the processes that had to be ended."""
    launch.wait_for(lambda: not find(settings, parts), END_WAIT_S)
    ended = []
    for number in (signal.SIGTERM, signal.SIGKILL):
        remaining = find(settings, parts)
        if not remaining:
            break
        ended += [pid for pid in remaining if pid not in ended]
        for pid in remaining:
            launch.send(pid, number)
        launch.wait_for(lambda: not find(settings, parts), KILL_WAIT_S)
    return ended


def _marked(stack_dir: Path) -> list[int]:
    marked = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(OWNER_VARIABLE) == str(stack_dir):
                marked.append(process.pid)
        except (psutil.Error, OSError):
            continue  # it has ended, or belongs to someone else
    return marked
