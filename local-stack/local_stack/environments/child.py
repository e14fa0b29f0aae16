"""In the fork: from a copy of the zygote to an execution environment that runs awslambdaric.

Standard library only, and nothing that the zygote does not need anyway: it is imported there. What
a handler finds must be what a fresh interpreter would show it, on AWS: its own process group, files,
limits, /tmp, variables, paths and random state, and nothing of the runtime or of the zygote.

`become` is called in the fork. Without preloading (`warm = false`) it starts this module anew
in a fresh interpreter, which goes on from the same point.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import random
import resource
import signal
import site
import sys
import time
import types
from pathlib import Path
from typing import Any, NoReturn

from local_stack.environments import bytecode, debugger, scratch
from local_stack.environments.hidden import Hidden

FILES_MAX = 1024  # "file descriptors: 1,024": Lambda quotas
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LIBC = ctypes.CDLL(None, use_errno=True)
_OWN_PACKAGE = "local_stack"
_OWN_MODULES: list[str] = []
# Kernels choose whom to end when memory runs out: a function rather than a store or a host.
_OOM_SCORE_ADJUSTMENT = b"500"


def become(request: dict[str, Any], descriptors: list[int], zygote: int) -> NoReturn:
    """Take on the function's identity and run it until killed; never returns.

    `descriptors`: the log pipe's write end, then the namespaces that we join (of mounts, of users),
    or else a pipe that we close as soon as we have our own.
    """
    status = 1
    try:
        _stand_alone(zygote)
        _redirect(descriptors[0])
        request["log_fd"] = descriptors[0]
        _fence_in(request["sandbox"], descriptors[1:], joins=request["joins"])
        if request["fresh"]:
            _start_afresh(request)
        _run(request)
    except SystemExit as stop:
        status = _exit_status(stop)
    except BaseException as error:  # noqa: BLE001 - the fork must never return into the zygote
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def die_with_parent(sent_signal: int = signal.SIGKILL) -> None:
    """Have the kernel send us this when our parent ends; 0: nothing."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, sent_signal, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of what is left of our children's children."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def set_path(first: list[str]) -> None:
    """Put `first` in front, and take the runtime's own folder out: handlers must not see it.

    Installed from a wheel it has no folder of its own, and awslambdaric is in the same one: there
    `_forget_runtime` alone hides it.
    """
    own = str(Path(__file__).resolve().parents[2])
    if own in (str(Path(folder).resolve()) for folder in site.getsitepackages()):
        own = ""
    sys.path[:] = [*first, *(p for p in sys.path if p and str(Path(p).resolve()) != own)]


def own_modules() -> list[str]:
    """Modules of the runtime that are imported; found before a fork, which it would slow down.

    Looking at every name writes to its page, and a page that is written is copied.
    """
    _OWN_MODULES[:] = [n for n in sys.modules if n.partition(".")[0] == _OWN_PACKAGE]
    return _OWN_MODULES


def _stand_alone(zygote: int) -> None:
    """A group of our own, so that what a handler starts is killed with it."""
    os.setpgid(0, 0)
    adopt_orphans()  # daemons that a handler makes stay this environment's
    for each in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)
    die_with_parent()
    if os.getppid() != zygote:
        os._exit(0)


def _redirect(log_fd: int) -> None:
    """Output goes to the log. It stays open as `log_fd`, too: awslambdaric logs there, in frames."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    if null > 2:
        os.close(null)


def _fence_in(sandbox: dict[str, Any], descriptors: list[int], *, joins: bool) -> None:
    """A /tmp of its own, code that cannot be changed, and limits."""
    if joins:
        scratch.join(*descriptors)
    elif sandbox["tmp_mb"]:
        writable = [sandbox["bytecode"]]
        scratch.enter(sandbox["tmp_mb"], sandbox["visible"], sandbox["read_only"], writable)
    for descriptor in descriptors:
        os.close(descriptor)
    die_with_parent()  # the kernel forgets it when credentials change, as in a user namespace
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb") as file:  # noqa: PTH123
        file.write(_OOM_SCORE_ADJUSTMENT)
    for kind, limit in (
        (resource.RLIMIT_NOFILE, FILES_MAX),
        (resource.RLIMIT_DATA, sandbox["data_bytes_max"]),
        (resource.RLIMIT_CORE, 0),
    ):
        _, most = resource.getrlimit(kind)
        bound = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(kind, (bound, bound))


def _start_afresh(request: dict[str, Any]) -> NoReturn:
    """Replace this process by a fresh interpreter, which reads the request from a file in memory."""
    descriptor = os.memfd_create("request", 0)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(json.dumps({**request, "fresh": False}).encode())
    command = [sys.executable, "-P", "-m", __name__, str(descriptor)]
    os.set_inheritable(request["log_fd"], True)
    os.execv(sys.executable, command)  # noqa: S606 - our own interpreter


def _run(request: dict[str, Any]) -> None:
    """Become what the function's handler expects around it, and awslambdaric in the end."""
    os.environ.clear()  # noqa: TID251 - a fork has to take on the function's environment
    os.environ.update(request["environment"])  # noqa: TID251
    os.environ["_LAMBDA_TELEMETRY_LOG_FD"] = str(request["log_fd"])  # noqa: TID251
    os.set_inheritable(request["log_fd"], False)  # nothing for what a handler starts
    time.tzset()
    path = request["path"]
    if sys.path[: len(path)] != path:  # a zygote of the function's own has it already
        sys.path[:0] = path
    folder = request["sandbox"]["bytecode"]
    if folder:
        bytecode.install(folder, path)
    os.chdir(request["cwd"])
    _reseed()
    _forget_runtime()
    if request["debug_port"]:
        debugger.listen(request["debug_port"], request["environment"]["AWS_LAMBDA_RUNTIME_API"])
    sys.argv = ["awslambdaric", request["handler"]]
    # deferred: awslambdaric reads the environment when it is imported, so never in the zygote
    runner = importlib.import_module("awslambdaric.__main__")
    runner.main(sys.argv)


def _reseed() -> None:
    """Random state that all forks would share; `secrets`, `uuid` and OpenSSL ask the kernel."""
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        vars(tempfile)["tempdir"] = None  # it may have been another folder before


def _forget_runtime() -> None:
    """A handler that imports the runtime has to fail here, as it would on AWS."""
    for name in _OWN_MODULES or own_modules():
        del sys.modules[name]
    sys.meta_path.insert(0, Hidden([_OWN_PACKAGE], []))
    # Not the zygote's: multiprocessing starts processes by running this module's file again.
    sys.modules["__main__"] = types.ModuleType("__main__")


def _exit_status(stop: SystemExit) -> int:
    """What the interpreter makes of `sys.exit(…)`: nothing is 0, a text is printed and is 1."""
    if stop.code is None or isinstance(stop.code, int):
        return int(stop.code or 0) & 0xFF
    sys.stderr.write(f"{stop.code}\n")
    return 1


def main(descriptor: int) -> NoReturn:
    """Go on in a fresh interpreter, with the request in the file `descriptor`."""
    with open(descriptor, "rb") as file:
        file.seek(0)
        request = json.loads(file.read())
    status = 1
    try:
        set_path([])
        sys.meta_path.insert(0, Hidden(request["hidden"], request["path"]))
        _run(request)
    except SystemExit as stop:
        status = _exit_status(stop)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]))
