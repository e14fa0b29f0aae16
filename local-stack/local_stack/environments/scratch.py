"""A /tmp for every environment, as large as `EphemeralStorage`, and code that cannot be changed.

Runs in a fork that is about to become an environment: standard library only. The environment gets
a mount namespace (as root, or else inside a user namespace), in which /tmp is a tmpfs with a limit:
one byte more is `No space left on device`, as on AWS. It is gone when the last process is, or stays
while somebody holds a descriptor of the namespace: that is how the environment that follows one
which was killed finds what its predecessor left in /tmp.

What has to be seen and lies under /tmp itself (a project there, an interpreter) is bound in.
`python -m local_stack.environments.scratch` tells in one line why this cannot be had, or nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TMP = "/tmp"  # noqa: S108 - this is about that very folder
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND = 1, 2, 4, 32, 4096
_MS_REC, _MS_PRIVATE = 16384, 1 << 18
_LIBC = ctypes.CDLL(None, use_errno=True)


def enter(
    size_mb: int, visible: Iterable[str], read_only: Iterable[str], writable: Iterable[str]
) -> None:
    """Leave the host's /tmp for one of our own. Raises `OSError` where that is not allowed.

    `visible` is what stays to be seen although it lies under /tmp; `read_only` are folders that
    can only be read from here on, but for the `writable` ones in them. Call with one thread; what
    fails leaves the process useless.
    """
    _leave()
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    held = [(path, os.open(path, os.O_PATH)) for path in _outermost_under_tmp(visible)]
    _mount("tmpfs", TMP, "tmpfs", _MS_NOSUID | _MS_NODEV, f"size={size_mb}m,mode=1777")
    for path, descriptor in held:
        _bind(path, descriptor)
        os.close(descriptor)
    for folder in writable:
        _mount(folder, folder, "", _MS_BIND | _MS_REC)
    for folder in read_only:
        # Not worth a failure: some mounts may not be changed from inside a user namespace.
        with contextlib.suppress(OSError):
            _make_read_only(folder)


def join(mount: int, user: int = -1) -> None:
    """Go to where another environment was; `user` is -1 if it had no user namespace of its own."""
    if user >= 0:
        _check(_LIBC.setns(user, _CLONE_NEWUSER), "setns user")
    _check(_LIBC.setns(mount, _CLONE_NEWNS), "setns mount")


def hold(pid: int) -> tuple[int, ...]:
    """Descriptors that keep the namespaces of process `pid`: of its mounts, and of its user if new."""
    held: list[int] = []
    try:
        for kind in ("mnt", "user"):
            theirs, ours = f"/proc/{pid}/ns/{kind}", f"/proc/self/ns/{kind}"
            if os.readlink(theirs) != os.readlink(ours):  # noqa: PTH115 - a link to nowhere
                held.append(os.open(theirs, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        for descriptor in held:
            os.close(descriptor)
        return ()
    return tuple(held)


def refusal() -> str:
    """Why an environment cannot have a /tmp of its own here, or nothing. Tried in a fork."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            enter(1, (), (), ())
        except OSError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    reason = os.read(read, 1024).decode()
    os.close(read)
    return reason


def _outermost_under_tmp(paths: Iterable[str]) -> list[str]:
    """Those that lie under /tmp, exist, and are in no other of them."""
    real = sorted({os.path.realpath(path) for path in paths if path})
    chosen: list[str] = []
    for path in real:
        inside = chosen and path.startswith(f"{chosen[-1]}/")
        if path.startswith(f"{TMP}/") and not inside and os.path.exists(path):  # noqa: PTH110
            chosen.append(path)
    return chosen


def _leave() -> None:
    """A mount namespace of our own: root may have it, others inside a user namespace."""
    if _LIBC.unshare(_CLONE_NEWNS) == 0:
        return
    user, group = os.geteuid(), os.getegid()
    _check(_LIBC.unshare(_CLONE_NEWUSER | _CLONE_NEWNS), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - as the rest of this module
            file.write(text)


def _bind(path: str, descriptor: int) -> None:
    """Show at `path` what is open as `descriptor`; the path itself is covered by now."""
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.makedirs(path, exist_ok=True)  # noqa: PTH103 - pathlib is slower than all the rest
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    _mount(f"/proc/self/fd/{descriptor}", path, "", _MS_BIND | _MS_REC)


def _make_read_only(folder: str) -> None:
    _mount(folder, folder, "", _MS_BIND | _MS_REC)
    flags = os.statvfs(folder).f_flag & (_MS_NOSUID | _MS_NODEV | os.ST_NOEXEC)
    _mount("none", folder, "", _MS_REMOUNT | _MS_BIND | _MS_RDONLY | flags)


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    result = _LIBC.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _check(result, f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def main(arguments: Sequence[str] = ()) -> int:
    """Print why not, or nothing."""
    assert not arguments
    sys.stdout.write(refusal())
    return 0


if __name__ == "__main__":
    sys.exit(main())
