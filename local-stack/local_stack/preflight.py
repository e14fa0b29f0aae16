"""What is checked before anything starts. Each failure is one line that names the remedy."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from local_stack.errors import LocalStackError, ServiceFailed, SettingsError
from local_stack.services import postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from local_stack.parts import Part, Port
    from local_stack.settings import Settings

PYTHON = (3, 11)
GLIBC_MIN = (2, 28)
WATCHES_MIN = 8192  # of inotify: Linux's own least, and one folder of code is one of them
_INOTIFY = Path("/proc/sys/fs/inotify")
_LIBRARY = re.compile(r"error while loading shared libraries: (\S+): (.*)")
# What Debian calls the package of a library that the binaries may miss.
_PACKAGES = {"libz.so.1": "zlib1g (zlib on Fedora)", "libstdc++.so.6": "libstdc++6"}


def check_machine() -> None:
    """Raise `SettingsError` unless this is Python 3.11 on Linux x86_64 with a recent glibc."""
    check_python(sys.version_info[:2], sys.executable)
    check_platform(platform.system(), platform.machine(), glibc_version())


def check_python(version: tuple[int, int], executable: str) -> None:
    """The functions' runtime is python3.11, so is ours."""
    if version != PYTHON:
        msg = f"{executable} is Python {version[0]}.{version[1]}, and the functions run on 3.11: install python3.11, then `make clean up`"
        raise SettingsError(msg)


def check_platform(system: str, machine: str, glibc: tuple[int, ...] | None) -> None:
    """The wheels of the stores are built for one platform."""
    if (system, machine) != ("Linux", "x86_64"):
        msg = f"the embedded stores run on Linux x86_64, and this is {system} {machine}: use a virtual machine, or `docker compose up`"
        raise SettingsError(msg)
    if glibc is None or glibc < GLIBC_MIN:
        found = ".".join(str(part) for part in glibc) if glibc else "another C library"
        msg = (
            f"glibc 2.28 or newer is needed, and this system has {found}: use a newer distribution"
        )
        raise SettingsError(msg)


def glibc_version() -> tuple[int, ...] | None:
    """The C library's version; None where it is not glibc."""
    try:
        name = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return None
    kind, _, version = name.partition(" ")
    return tuple(int(part) for part in version.split(".")) if kind == "glibc" else None


def make_folders(settings: Settings, parts: Sequence[Part]) -> None:
    """Create the stack's folders, closed to other users. Raises `SettingsError`."""
    folders = [settings.stack_dir, settings.run_dir, settings.log_dir]
    folders += [part.folder for part in parts]
    folders.append(settings.run_dir / "nginx" / "tmp")
    try:
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = settings.run_dir / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        msg = f"cannot write to {settings.stack_dir} ({error.strerror}): make it writable, or name another folder with LOCAL_STACK_DIR"
        raise SettingsError(msg) from error


def check_ports(ports: Sequence[Port]) -> None:
    """Raise `SettingsError` for the first port that somebody listens on."""
    for port in ports:
        if not _is_free(port.number):
            msg = f"port {port.number} is taken by {_owner(port.number)}: stop it, or choose another with LOCAL_STACK_PORT_{port.setting.upper()} or `{port.setting}` in [tool.local-stack.ports]"
            raise SettingsError(msg)
    numbers = [port.number for port in ports]
    for port in ports:
        if numbers.count(port.number) > 1:
            msg = f"port {port.number} is set for two parts: change `{port.setting}` in [tool.local-stack.ports]"
            raise SettingsError(msg)


def check_programs(parts: Sequence[Part]) -> None:
    """Raise `ServiceFailed` for a binary that is missing or lacks a shared library."""
    for part in parts:
        if part.program is not None:
            check_program(part.title, part.program)


def check_program(title: str, program: Path) -> str:
    """Run `program --version` (`-v` for Nginx); what it says, or `ServiceFailed`."""
    flag = "-v" if program.name == "nginx" else "--version"
    try:
        result = subprocess.run(  # noqa: S603 - a binary of ours, no shell
            [str(program), flag], check=False, capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"{title} cannot run: {program}: {error}: run `make clean up`"
        raise ServiceFailed(msg) from error
    said = (result.stdout + result.stderr).strip()
    missing = _LIBRARY.search(said)
    if missing is not None:
        library = missing.group(1)
        package = _PACKAGES.get(library, f"the system package that has {library}")
        msg = f"{title} cannot run: the shared library {library} is missing: install {package}"
        raise ServiceFailed(msg)
    if result.returncode != 0:
        msg = (
            f"{title} cannot run: `{program} {flag}` ended with {result.returncode}: {said[-200:]}"
        )
        raise ServiceFailed(msg)
    return said.splitlines()[0] if said else ""


def check_user_change(settings: Settings, parts: Sequence[Part]) -> None:
    """As root, PostgreSQL needs `setpriv`. Raises `ServiceFailed`."""
    if any(part.name == "postgres" for part in parts):
        postgres.as_other_user(settings.stack_dir / "postgres" / "data")


def own_tmp() -> str:
    """Whether an environment can have a /tmp of its own on this machine, and why not."""
    command = [sys.executable, "-P", "-m", "local_stack.environments.scratch"]
    try:
        result = subprocess.run(  # noqa: S603 - our own module, no shell
            command, check=True, capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"it cannot be told whether environments have a /tmp of their own: {error}"
    if not result.stdout:
        return "each environment has its own, as large as EphemeralStorage says"
    return f"environments share it, and TMPDIR names a folder of their own ({result.stdout.strip()}); allow user namespaces to have it as on AWS"


def inotify() -> str:
    """How much reload may watch; raises `SettingsError` where there is nothing to watch with."""
    limits = {}
    for name in ("max_user_watches", "max_user_instances"):
        try:
            limits[name] = int((_INOTIFY / name).read_text())
        except (OSError, ValueError) as error:
            msg = "no inotify here: a saved file is not run before `local-stack down` and `up`; --no-reload says so"
            raise SettingsError(msg) from error
    said = ", ".join(f"{name} {number}" for name, number in limits.items())
    if limits["max_user_watches"] < WATCHES_MIN:
        msg = f"{said}: too few for other programs and ours; raise it with `sysctl fs.inotify.max_user_watches={WATCHES_MIN}`, or use --no-reload"
        raise SettingsError(msg)
    return said


def machine() -> str:
    """How large this machine is."""
    total = psutil.virtual_memory().total / 1024**3
    return f"{os.cpu_count()} CPUs, {total:.1f} GB of memory"


def disk_free_bytes(folder: Path) -> int:
    """Free space where the stack keeps its data."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def outcome(check: Callable[[], object]) -> tuple[bool, str]:
    """Run one check: whether it passed, and what it said."""
    try:
        said = check()
    except LocalStackError as error:
        return False, str(error)
    return True, "" if said is None else str(said)


def _is_free(number: int) -> bool:
    with socket.socket() as probe:
        # As servers do, so that closing connections of an earlier run do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except PermissionError:
            msg = f"port {number} is below 1024, which only root may use: choose another in [tool.local-stack.ports]"
            raise SettingsError(msg) from None
        except OSError:
            return False
    return True


def _owner(number: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            _, port = connection.laddr or (None, None)
            listens = connection.status == psutil.CONN_LISTEN
            if listens and port == number and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        pass  # not ours to see
    return "another program"
