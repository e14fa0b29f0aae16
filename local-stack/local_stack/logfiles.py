"""Reads the logs of parts and functions: their end, and what comes after it."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from typing import TYPE_CHECKING, BinaryIO

from local_stack.errors import LocalStackError
from local_stack.stack import tail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from local_stack.settings import Settings

FOLLOW_PAUSE_S = 0.2
FIND_EVERY = 5  # pauses: a function's log begins with its first invocation
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


def follow(find: Callable[[], Mapping[str, Path]], write: Callable[[str], None]) -> None:
    """Write new lines as they come, until interrupted; `find` is asked again for new logs."""
    followers: dict[str, Follower] = {}
    pause = threading.Event()
    with contextlib.ExitStack() as closing:
        for turn in itertools.count():
            if turn % FIND_EVERY == 0:
                for name, path in find().items():
                    if name not in followers:  # after the first look all of a new one is new
                        followers[name] = Follower(path, from_start=turn > 0)
                        closing.callback(followers[name].close)
            for name, follower in followers.items():
                for line in follower.read():
                    write(_line(name, line, several=len(followers) > 1))
            pause.wait(FOLLOW_PAUSE_S)


class Follower:
    """Reads what was appended to a file since the last time, through rotations."""

    def __init__(self, path: Path, *, from_start: bool = False) -> None:
        self._path = path
        self._partial = ""
        self._file = _opened(path)
        if self._file is not None and not from_start:
            self._file.seek(0, os.SEEK_END)

    def read(self) -> list[str]:
        """The lines that were finished since; of a rotated file the rest, then the new file."""
        data = self._more()
        if len(data) < READ_BYTES_MAX and self._was_replaced():
            self.close()
            self._file = _opened(self._path)
            data += self._more()
        *lines, self._partial = (self._partial + data.decode(errors="replace")).split("\n")
        return lines

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _more(self) -> bytes:
        return b"" if self._file is None else self._file.read(READ_BYTES_MAX)

    def _was_replaced(self) -> bool:
        """Whether the name stands for another file now, or for the same one cut short."""
        try:
            found = self._path.stat()
        except OSError:
            return False  # rotated away, and nothing was written since
        if self._file is None:
            return True
        known = os.fstat(self._file.fileno())
        return found.st_ino != known.st_ino or found.st_size < self._file.tell()


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except OSError:
        return None


def _line(name: str, text: str, *, several: bool) -> str:
    return f"{name} | {text}" if several else text
