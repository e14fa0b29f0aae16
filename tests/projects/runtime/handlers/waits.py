"""Handlers that take as long as a test wants them to."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

ROUNDS: list[int] = []
_GO = threading.Event()


def for_file(event: dict[str, str], context: object) -> int:
    """Make the file `started`, and return once `until` exists."""
    if "started" in event:
        Path(event["started"]).touch()
    if "until" in event:
        until = Path(event["until"])
        pause = threading.Event()
        while not until.exists():
            pause.wait(0.005)
    return os.getpid()


def background(event: dict[str, Any], context: object) -> list[int]:
    """Start a thread that writes after the handler has returned; the next call finds its work."""
    if event.get("start"):
        threading.Thread(target=_work, daemon=True).start()
    if event.get("go"):
        _GO.set()
    return ROUNDS


def _work() -> None:
    _GO.wait()
    for number in range(3):
        sys.stdout.write(f"background {number}\n")
        ROUNDS.append(number)
