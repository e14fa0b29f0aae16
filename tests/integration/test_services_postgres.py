"""PostgreSQL as the stack runs it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from local_stack.services import launch, postgres
from tests.support.ports import free_port
from tests.support.services import REPOSITORY, running_postgres
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.services import PostgresServer

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    settings = {"max_connections": "37"}
    with running_postgres(tmp_path_factory.mktemp("own"), settings=settings) as running:
        yield running


def _show(server: PostgresServer, name: str) -> str:
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
        assert row is not None
        return str(row[0])


def test_it_is_durable_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    assert postgres.DEFAULTS["fsync"] == "on"
    assert postgres.DEFAULTS["synchronous_commit"] == "on"
    assert postgres.DEFAULTS["full_page_writes"] == "on"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_connections", "37"),
        ("shared_buffers", "128MB"),
        ("synchronous_commit", "on"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("server_encoding", "UTF8"),
    ],
)
def test_settings_reach_the_server(server: PostgresServer, name: str, value: str) -> None:
    assert _show(server, name) == value


def test_text_sorts_by_code_point_and_folds_every_script(server: PostgresServer) -> None:
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SELECT 'a' > 'B', upper('žluť')").fetchone()

    assert row == (True, "ŽLUŤ")


def test_it_does_not_run_as_root(server: PostgresServer) -> None:
    owner = Path(f"/proc/{server.process.pid}").stat().st_uid

    assert owner == (os.geteuid() or postgres.NOBODY)
    assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700


def test_folders_above_the_data_keep_their_mode(tmp_path: Path) -> None:
    closed = tmp_path / "closed" / "folder"
    closed.mkdir(parents=True)
    closed.chmod(0o700)
    closed.parent.chmod(0o700)

    with running_postgres(closed):
        pass

    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert stat.S_IMODE(closed.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_data_is_there_after_a_restart(tmp_path: Path) -> None:
    with running_postgres(tmp_path) as first, psycopg.connect(first.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")

    with running_postgres(tmp_path) as second, psycopg.connect(second.url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_it_starts_again_while_a_backend_of_a_killed_server_is_still_busy(tmp_path: Path) -> None:
    with running_postgres(tmp_path) as first:
        connection = psycopg.connect(first.url)
        # A computing backend does not notice that its server is gone.
        busy = "SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000) b"
        thread = threading.Thread(target=_ignoring_errors, args=(connection, busy))
        thread.start()
        backend = connection.info.backend_pid
        program = postgres.bin_dir() / "postgres"
        wait_until(lambda: _is_computing(backend), 10, "the query runs")
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        assert backend in launch.running(program, first.data_dir)

        with running_postgres(tmp_path, port=first.port) as second:
            assert _show(second, "port") == str(first.port)
            assert backend not in launch.running(program, first.data_dir)
        thread.join(timeout=10)


def test_a_pid_file_that_names_another_program_does_not_keep_it_from_starting(
    tmp_path: Path,
) -> None:
    with running_postgres(tmp_path) as first:
        data_dir = first.data_dir
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
    lock = data_dir / "postmaster.pid"
    _, rest = lock.read_text().split("\n", 1)
    lock.write_text(f"{os.getpid()}\n{rest}")

    with running_postgres(tmp_path) as second:
        assert postgres.is_ready(second.port)


def test_an_unfinished_initdb_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "data.new" / "base").mkdir(parents=True)

    with running_postgres(tmp_path) as server:
        assert postgres.is_ready(server.port)

    assert not (tmp_path / "data.new").exists()


def test_it_stops_when_its_parent_is_killed(tmp_path: Path) -> None:
    port = free_port()
    command = launch.command(
        postgres.command(port=port, data_dir=tmp_path / "data", settings={}), death_signal="INT"
    )
    script = f"import subprocess; subprocess.Popen({command!r}).wait()"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "local-stack")}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as parent:
        wait_until(lambda: postgres.is_ready(port), 30, "PostgreSQL is ready")
        parent.kill()

    program = postgres.bin_dir() / "postgres"
    wait_until(
        lambda: not launch.running(program, tmp_path / "data"), 15, "PostgreSQL ended by itself"
    )
    assert not (tmp_path / "data" / "postmaster.pid").exists(), "it stopped cleanly"


def test_a_setting_that_does_not_exist_ends_it_with_a_reason(tmp_path: Path) -> None:
    command = postgres.command(
        port=free_port(), data_dir=tmp_path / "data", settings={"no_such_setting": "1"}
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "local-stack")}

    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert result.returncode != 0
    assert "no_such_setting" in result.stderr


def _ignoring_errors(connection: psycopg.Connection, query: str) -> None:
    with connection:
        try:
            connection.execute(query)
        except psycopg.OperationalError:
            return


def _is_computing(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "R"
