"""The zygote: a process that has imported the heavy packages and forks execution environments.

Run by `worker.py` as `python -m local_stack.environments.zygote`. It reads one JSON message per
request from a SEQPACKET socket, with the write end of the environment's log pipe attached, forks,
and reports pids and exits back. Standard library only, one thread, and no socket or client of an
application: a fork copies just the calling thread, so anything else would be broken in the child.

The child becomes the unmodified awslambdaric (`child.py`), which is imported there and not here: it
reads the address of its Runtime API when it is imported.

Whatever an environment started ends with it, and all of it with the host, even one that was killed:
the zygote hears the end of its socket, and adopts every process whose parent has ended.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys

from local_stack.environments import bytecode, child, scratch
from local_stack.environments.hidden import Hidden

MESSAGE_BYTES_MAX = 128 * 1024
DESCRIPTORS_MAX = 3  # the log pipe, and two namespaces
END_SECONDS_MAX = 5  # processes that were killed are gone by then, or the zygote is
# What awslambdaric itself imports. None of its own modules: several read the environment when they
# are imported, and so does its native client.
_PRELOAD_CLIENT = ("http.client", "logging", "simplejson", "snapshot_restore_py")
# What its native client is linked with: 2 ms of a fork that would have to load it. Not the client:
# it reads the environment as soon as it is mapped.
_LIBRARY_CLIENT = "libstdc++.so.6"
_OWN_PACKAGE = "local_stack"


class _Unfit(Exception):
    """A package cannot be preloaded, and what it has done cannot be undone."""


def main() -> None:
    """Preload, say `ready`, then fork on request until the socket closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--bytecode", required=True)
    parser.add_argument("--path", action="append", default=[])
    parser.add_argument("--preload", action="append", default=[])
    parser.add_argument("--hide", action="append", default=[])
    arguments = parser.parse_args()
    child.die_with_parent()
    control = socket.socket(fileno=arguments.fd)
    refusal = scratch.refusal()
    child.set_path(arguments.path)
    if arguments.path:
        bytecode.install(arguments.bytecode, arguments.path)
    hidden = Hidden(arguments.hide, arguments.path)
    sys.meta_path.insert(0, hidden)
    failed = _preload(list(_PRELOAD_CLIENT))
    with contextlib.suppress(OSError):
        ctypes.CDLL(_LIBRARY_CLIENT)
    before = _imported()
    try:
        failed |= _preload(arguments.preload)
    except _Unfit as error:
        control.send(json.dumps({"unfit": str(error)}).encode())
        sys.exit(70)
    child.own_modules()
    gc.collect()
    gc.freeze()  # what is here now is never collected, so its pages stay shared
    brought = {name for name in _imported() if name not in before or not _is_standard(name)}
    message = {
        "ready": True,
        "failed": failed,
        "modules": sorted({*brought, *hidden.names}),
        "scratch_refusal": refusal,
    }
    control.send(json.dumps(message).encode())
    _Environments(control).serve()


def _preload(modules: list[str]) -> dict[str, str]:
    """Import `modules`; what cannot be imported is reported, not fatal (a function may not need it).

    Raises `_Unfit` for one that starts a thread: a fork would not have it.
    """
    failed: dict[str, str] = {}
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - any package may raise anything when imported
            failed[name] = f"{type(error).__name__}: {error}"
        if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - no pathlib walk needed
            msg = f"{name} starts a thread when it is imported, so it cannot be preloaded"
            raise _Unfit(msg)
    return failed


def _imported() -> set[str]:
    """Top-level names of what is imported here."""
    tops = {name.partition(".")[0] for name in sys.modules}
    return tops - {_OWN_PACKAGE, "__main__"}


def _is_standard(name: str) -> bool:
    return name in sys.stdlib_module_names


class _Environments:
    """Forks environments, and sees to it that they end."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._living: set[int] = set()
        self._zygote = os.getpid()
        child.adopt_orphans()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def serve(self) -> None:
        """Fork on request until the host is gone; then end everything."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # Ctrl-C in a terminal, and TERM to the whole group, are for the host: it lets requests
        # finish. From here on the socket tells when the host is gone, and we have to outlive it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child.die_with_parent(0)
        poller = select.poll()
        poller.register(self._control, select.POLLIN)
        poller.register(self._wake_read, select.POLLIN)
        with contextlib.suppress(ConnectionError):
            while self._turn(poller):
                pass
        self._end_all()

    def _turn(self, poller: select.poll) -> bool:
        """What has happened since. False when the host is gone."""
        for descriptor, _ in poller.poll():
            if descriptor == self._wake_read:
                self._drain()
                self._reap()
            elif not self._take_request():
                return False
        return True

    def _take_request(self) -> bool:
        """Fork for one request. False when the host is gone."""
        received = socket.recv_fds(self._control, MESSAGE_BYTES_MAX, DESCRIPTORS_MAX)
        data, descriptors = received[0], received[1]
        if not data:
            return False
        request = json.loads(data)
        try:
            pid = os.fork()
        except OSError as error:  # no more processes, or no memory: for now
            for descriptor in descriptors:
                os.close(descriptor)
            self._control.send(
                json.dumps({"asked": request["id"], "error": error.strerror}).encode()
            )
            return True
        if pid == 0:
            signal.set_wakeup_fd(-1)
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._control.close()
            child.become(request, descriptors, self._zygote)
        self._living.add(pid)
        for descriptor in descriptors:
            os.close(descriptor)
        self._control.send(json.dumps({"asked": request["id"], "pid": pid}).encode())
        return True

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 4096):
                pass

    def _reap(self) -> None:
        """Report environments that have ended, and end what they leave behind."""
        ended = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                break
            ended = True
            if pid in self._living:
                self._living.discard(pid)
                _kill_group(pid)
                message = {"exited": pid, "status": os.waitstatus_to_exitcode(status)}
                self._control.send(json.dumps(message).encode())
        # A living environment adopts its own orphans: whatever came to us has lost its own.
        for pid in _children() - self._living if ended else ():
            _kill(pid)

    def _end_all(self) -> None:
        """Kill everything that is below us, however deep, and wait for it."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(END_SECONDS_MAX)
        while True:
            for pid in _children() | self._living:
                _kill_group(pid)
                _kill(pid)
            try:
                pid, _ = os.waitpid(-1, 0)
            except ChildProcessError:
                return
            self._living.discard(pid)


def _children() -> set[int]:
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123
            return {int(child) for child in file.read().split()}
    except OSError:
        return set()


def _kill_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
