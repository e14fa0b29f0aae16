"""Starts a part so that it dies with its parent, then becomes it.

    python -I -S launch.py [--parent-pid-file F] [--count F] [--orphans-of EXE] --signal INT -- COMMAND…

The kernel sends the signal when the parent dies, even by kill -9, so a dead supervisor leaves no
orphan that holds a port or a data folder. A program that changes its user loses that order, so it
goes through here again afterwards. Standard library only, and run without site-packages: this
stands before every part and costs it about 20 ms.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
COUNT_BYTES_MAX = 1_000_000
ORPHAN_WAIT_S = 2.0


def command(
    argv: list[str],
    *,
    death_signal: str,
    parent_pid_file: Path | None = None,
    count_file: Path | None = None,
    orphans_of: Path | None = None,
) -> list[str]:
    """The command that runs `argv` with its life tied to the parent's.

    `count_file` grows by one byte a start. Processes that run `orphans_of` in the current folder
    are left over from an earlier run; they are ended first.
    """
    options = ["--signal", death_signal]
    for name, path in (
        ("--parent-pid-file", parent_pid_file),
        ("--count", count_file),
        ("--orphans-of", orphans_of),
    ):
        if path is not None:
            options += [name, str(path)]
    return [sys.executable, "-I", "-S", "-B", __file__, *options, "--", *argv]


def die_with_parent(death_signal: signal.Signals, parent_pid_file: Path | None = None) -> None:
    """Ask the kernel for `death_signal` when the parent dies; exit if it has died already."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        message = os.strerror(ctypes.get_errno())
        sys.exit(f"cannot tie this process to its parent: {message}")
    expected = parent
    if parent_pid_file is not None:
        try:
            expected = int(parent_pid_file.read_text())
        except (OSError, ValueError):
            sys.exit(f"the supervisor is gone: no pid in {parent_pid_file}")
    if os.getppid() != expected:
        sys.exit("the supervisor died before this part started")


def running(executable: Path, folder: Path) -> list[int]:
    """Processes other than this one that run `executable` with `folder` as working directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            same_program = (entry / "exe").samefile(executable)
            if same_program and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue  # it has just ended, or belongs to someone else
    return found


def end_orphans(executable: Path, folder: Path, *, wait_s: float = ORPHAN_WAIT_S) -> list[int]:
    """Wait for leftovers of an earlier run to end by themselves, then end them; who they were."""
    orphans = running(executable, folder)
    for final in (False, True):
        wait_for(lambda: not running(executable, folder), wait_s)
        remaining = running(executable, folder)
        if not remaining:
            break
        for pid in remaining:
            send(pid, signal.SIGKILL if final else signal.SIGQUIT)
    wait_for(lambda: not running(executable, folder), wait_s)
    return orphans


def wait_for(done: object, wait_s: float) -> bool:
    """Ask `done()` every 20 ms until it says yes or the time is over."""
    assert callable(done)
    pause = threading.Event()
    deadline = time.monotonic() + wait_s
    while not done():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.02)
    return True


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process that may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _count(path: Path) -> None:
    with path.open("ab") as file:
        if file.tell() < COUNT_BYTES_MAX:
            file.write(b".")


def main(argv: list[str]) -> None:
    """Become the command after `--`."""
    split = argv.index("--")
    options = dict(zip(argv[0:split:2], argv[1:split:2], strict=True))
    death_signal = signal.Signals[f"SIG{options['--signal']}"]
    pid_file = options.get("--parent-pid-file")
    die_with_parent(death_signal, Path(pid_file) if pid_file else None)
    if "--count" in options:
        _count(Path(options["--count"]))
    if "--orphans-of" in options:
        end_orphans(Path(options["--orphans-of"]), Path.cwd())
    program = argv[split + 1 :]
    sys.stdout.flush()
    try:
        os.execvp(program[0], program)  # noqa: S606 - this module exists to become another program
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
