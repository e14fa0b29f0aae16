"""Reads the logs of parts and functions: their end, and what comes after it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from local_stack.errors import LocalStackError
from local_stack.stack import tail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from local_stack.settings import Settings

FOLLOW_PAUSE_S = 0.2
READ_BYTES_MAX = 1024 * 1024


def logs_of(settings: Settings, name: str | None) -> dict[str, Path]:
    """The log files by name: of everything, or of one part or function. Raises when unknown."""
    found = {path.stem: path for path in sorted(settings.log_dir.glob("*.log"))}
    found |= {path.stem: path for path in sorted(settings.log_dir.glob("functions/*.log"))}
    if name is None:
        return found
    # A function has a log on every host: `PlaceBet`, `PlaceBet.host-2`, …
    wanted = {key: path for key, path in found.items() if key.split(".host-")[0] == name}
    if not wanted:
        known = ", ".join(found) or "none yet: `local-stack up`"
        msg = f"no log is named {name!r}; there are {known}"
        raise LocalStackError(msg)
    return wanted


def show(logs: Mapping[str, Path], lines: int, write: Callable[[str], None]) -> None:
    """Write the last lines of each; several logs get their name in front of each line."""
    for name, path in logs.items():
        if path.stat().st_size:
            for line in tail(path, lines).splitlines():
                write(_line(name, line, several=len(logs) > 1))


def follow(logs: Mapping[str, Path], write: Callable[[str], None]) -> None:
    """Write new lines as they come, until interrupted."""
    followers = [Follower(path) for path in logs.values()]
    pause = threading.Event()
    while True:
        for name, follower in zip(logs, followers, strict=True):
            for line in follower.read():
                write(_line(name, line, several=len(logs) > 1))
        pause.wait(FOLLOW_PAUSE_S)


class Follower:
    """Reads what was appended to a file since the last time, through rotations."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode, self._at = _inode_and_size(path)
        self._partial = ""

    def read(self) -> list[str]:
        """The lines that were finished since; after a rotation, the new file from its start."""
        inode, size = _inode_and_size(self._path)
        if inode != self._inode or size < self._at:
            self._inode, self._at, self._partial = inode, 0, ""
        if size == self._at:
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read(READ_BYTES_MAX)
        self._at += len(data)
        *lines, self._partial = (self._partial + data.decode(errors="replace")).split("\n")
        return lines


def _inode_and_size(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_ino, status.st_size


def _line(name: str, text: str, *, several: bool) -> str:
    return f"{name} | {text}" if several else text
