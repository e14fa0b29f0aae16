"""Real servers, started once a session on ports and folders of their own.

They run as in the stack: same commands, tied to this process, so a killed test run leaves none.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local_stack.services import launch, postgres
from tests.support.kafka import Broker, running_kafka
from tests.support.ports import free_port
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REPOSITORY = Path(__file__).parents[2]
START_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A PostgreSQL of this test session."""

    port: int
    data_dir: Path
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"


@dataclass(frozen=True, slots=True)
class ClickHouseServer:
    """A ClickHouse engine of this test session, behind its HTTP front."""

    port: int
    data_dir: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://default@127.0.0.1:{self.port}/default"


@contextmanager
def running_process(
    command: Sequence[str], log: Path, *, stop: signal.Signals = signal.SIGTERM
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a part, with its output in `log`; stopped at the end, killed if it does not obey."""
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(REPOSITORY / "local-stack"),
        "RUST_LOG": "warn",
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            launch.command(list(command), death_signal="KILL"),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=log.parent,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(stop)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running_postgres(
    folder: Path, *, settings: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[PostgresServer]:
    """A PostgreSQL with its data in `folder`."""
    port = port or free_port()
    log = folder / "postgres.log"
    command = postgres.command(
        port=port, data_dir=folder / "data", settings={"fsync": "off", **(settings or {})}
    )
    with running_process(command, log, stop=signal.SIGINT) as process:

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return postgres.is_ready(port)

        wait_until(is_ready, START_TIMEOUT_S, "PostgreSQL is ready")
        yield PostgresServer(port, folder / "data", process, log)


@contextmanager
def running_clickhouse(folder: Path) -> Iterator[ClickHouseServer]:
    """A ClickHouse engine with its data in `folder`."""
    port = free_port()
    log = folder / "clickhouse.log"
    command = [
        *(sys.executable, "-m", "local_stack.services.clickhouse"),
        *("--host", "127.0.0.1", "--port", str(port), "--data", str(folder / "data")),
    ]
    with running_process(command, log) as process:

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return answers(port, "/ping")

        wait_until(is_ready, START_TIMEOUT_S, "ClickHouse is ready")
        yield ClickHouseServer(port, folder / "data", process)


def answers(port: int, path: str) -> bool:
    """Whether GET `path` on this port answers 200."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """PostgreSQL, shared: make a database of your own in it."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[Broker]:
    """A Kafka broker, shared: use topics and groups of your own."""
    with running_kafka() as broker:
        yield broker


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """ClickHouse, shared: make a database of your own in it."""
    with running_clickhouse(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server
