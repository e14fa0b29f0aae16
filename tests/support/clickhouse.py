"""A ClickHouse front of one's own: for tests that stop it, kill it or fill it."""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import clickhouse_connect

from tests.support.ports import free_port
from tests.support.services import START_TIMEOUT_S, answers, running_process
from tests.support.wait import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client


@dataclass(frozen=True, slots=True)
class ClickHouseFront:
    """A running front."""

    port: int
    data_dir: Path
    process: subprocess.Popen[bytes]
    log: Path
    _clients: list[Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://default@127.0.0.1:{self.port}/default"

    def client(self, **options: Any) -> Client:
        """A client of clickhouse-connect with connections of its own; closed with the front."""
        client = clickhouse_connect.get_client(dsn=self.url, dedicated_pool=True, **options)
        self._clients.append(client)
        return client

    def open_files(self) -> int:
        """How many files and sockets the process holds."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


def front_command(port: int, data_dir: Path, *flags: str) -> list[str]:
    """The command that serves `data_dir`."""
    return [
        *(sys.executable, "-m", "local_stack.services.clickhouse"),
        *("--host", "127.0.0.1", "--port", str(port), "--data", str(data_dir), *flags),
    ]


@contextmanager
def running_clickhouse(data_dir: Path | None = None, *flags: str) -> Iterator[ClickHouseFront]:
    """A front on a free port, in a folder of its own if none is given; stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="clickhouse-front-") as folder:
        port = free_port()
        log = Path(folder) / "front.log"
        data = data_dir or Path(folder) / "data"
        with running_process(front_command(port, data, *flags), log) as process:

            def is_ready() -> bool:
                assert process.poll() is None, log.read_text()
                return answers(port, "/ping")

            wait_until(is_ready, START_TIMEOUT_S, "the ClickHouse front is ready")
            front = ClickHouseFront(port, data, process, log)
            yield front
            for client in front._clients:
                client.close()
