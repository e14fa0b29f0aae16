"""The zygote: a process that has imported the heavy packages and forks execution environments.

Run by `worker.py` as `python -m local_stack.environments.zygote`. It reads one JSON message per
request from a SEQPACKET socket, with the write end of the environment's log pipe attached, forks,
and reports pids and exits back. Standard library only, one thread, and no socket or client of an
application: a fork copies just the calling thread, so anything else would be broken in the child.

The child becomes the unmodified awslambdaric, which is imported there and not here: it reads the
address of its Runtime API when it is imported.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

MESSAGE_BYTES_MAX = 128 * 1024
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
# What awslambdaric itself imports. None of its own modules: several read the environment when they
# are imported, and so does its native client.
_PRELOAD_CLIENT = ("http.client", "logging", "simplejson", "snapshot_restore_py")
_OWN_PACKAGE = "local_stack"


def main() -> None:
    """Preload, say `ready`, then fork on request until the socket closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--path", action="append", default=[])
    parser.add_argument("--preload", action="append", default=[])
    parser.add_argument("--hide", action="append", default=[])
    arguments = parser.parse_args()
    _die_with_parent()
    control = socket.socket(fileno=arguments.fd)
    _set_path(arguments.path)
    hidden = _Hidden(arguments.hide, arguments.path)
    sys.meta_path.insert(0, hidden)
    failed = _preload([*_PRELOAD_CLIENT, *arguments.preload])
    gc.collect()
    gc.freeze()  # what is here now is never collected, so its pages stay shared
    modules = sorted({*_imported(), *hidden.names})
    control.send(json.dumps({"ready": True, "failed": failed, "modules": modules}).encode())
    _serve(control)


def _set_path(first: list[str]) -> None:
    """Put `first` in front, and take the runtime's own folder out: handlers must not see it."""
    own = str(Path(__file__).resolve().parents[2])
    sys.path[:] = [*first, *(p for p in sys.path if p and str(Path(p).resolve()) != own)]


class _Hidden:
    """Makes packages that are here for the stack's own use as absent as they are on AWS.

    Otherwise a function could lean on them unnoticed, and clients that look for pandas would carry
    it along. A copy that the function brings itself stays visible.
    """

    def __init__(self, names: list[str], own: list[str]) -> None:
        self.names = [n for n in names if not any((Path(folder) / n).exists() for folder in own)]

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Refuse a hidden package; leave every other to the finders that follow."""
        if name in self.names:
            msg = f"No module named {name!r}"
            raise ModuleNotFoundError(msg, name=name)


def _preload(modules: list[str]) -> dict[str, str]:
    """Import `modules`; what cannot be imported is reported, not fatal (a function may not need it)."""
    failed: dict[str, str] = {}
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - any package may raise anything when imported
            failed[name] = f"{type(error).__name__}: {error}"
            continue
        if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - no pathlib walk needed
            sys.stderr.write(f"preload {name} started a thread: it cannot be preloaded\n")
            sys.exit(70)
    return failed


def _imported() -> list[str]:
    """Top-level names of what is imported and not Python's own: a fork has them all."""
    tops = {name.partition(".")[0] for name in sys.modules}
    return sorted(tops - sys.stdlib_module_names - {_OWN_PACKAGE, "__main__"})


def _serve(control: socket.socket) -> None:
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # Ctrl-C in a terminal, and TERM to the whole group, are for the host: it lets requests finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(wake_read, select.POLLIN)
    while True:
        for descriptor, _ in poller.poll():
            if descriptor == wake_read:
                _drain(wake_read)
                _report_exits(control)
            elif not _take_request(control, (wake_read, wake_write)):
                return


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        pass


def _report_exits(control: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        message = {"exited": pid, "status": os.waitstatus_to_exitcode(status)}
        control.send(json.dumps(message).encode())


def _take_request(control: socket.socket, own_pipes: tuple[int, int]) -> bool:
    """Fork for one request. False when the host is gone."""
    data, descriptors, _, _ = socket.recv_fds(control, MESSAGE_BYTES_MAX, 1)
    if not data:
        return False
    request = json.loads(data)
    log_fd = descriptors[0]
    zygote = os.getpid()
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        for descriptor in own_pipes:
            os.close(descriptor)
        control.close()
        _become_environment(request, log_fd, zygote)
    os.close(log_fd)
    control.send(json.dumps({"forked": request["id"], "pid": pid}).encode())
    return True


def _become_environment(request: dict[str, Any], log_fd: int, zygote: int) -> NoReturn:
    """In the child: take on the function's identity and run awslambdaric until killed."""
    status = 1
    try:
        os.setpgid(0, 0)  # so that what a handler starts is killed with it
        _die_with_parent()
        if os.getppid() != zygote:
            os._exit(0)
        for each in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        _redirect(log_fd)
        os.environ.clear()  # noqa: TID251 - a fork has to take on the function's environment
        os.environ.update(request["environment"])  # noqa: TID251
        time.tzset()
        sys.path[:0] = request["path"]
        _forget_runtime()
        os.chdir(request["cwd"])
        random.seed()
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            numpy_random.seed()
        runner = importlib.import_module("awslambdaric.__main__")
        sys.argv = ["awslambdaric", request["handler"]]
        runner.main(sys.argv)
    except SystemExit as stop:
        status = _exit_status(stop)
    except BaseException as error:  # noqa: BLE001 - the fork must never return into the zygote
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _forget_runtime() -> None:
    """A handler that imports the runtime has to fail here, as it would on AWS."""
    for name in [name for name in sys.modules if name.partition(".")[0] == _OWN_PACKAGE]:
        del sys.modules[name]


def _exit_status(stop: SystemExit) -> int:
    """What the interpreter makes of `sys.exit(…)`: nothing is 0, a text is printed and is 1."""
    if stop.code is None or isinstance(stop.code, int):
        return int(stop.code or 0) & 0xFF
    sys.stderr.write(f"{stop.code}\n")
    return 1


def _redirect(log_fd: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    for descriptor in (null, log_fd):
        if descriptor > 2:
            os.close(descriptor)


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    main()
