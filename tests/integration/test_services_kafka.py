"""The broker as the stack runs it: it forgets everything, and its topics come back."""

from __future__ import annotations

import os
import signal
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest
from kafka.admin import KafkaAdminClient

from local_stack.errors import ServiceFailed
from local_stack.services.kafka import broker
from local_stack.services.kafka.protocol import Connection
from tests.support.ports import free_port
from tests.support.services import running_process
from tests.support.wait import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration


@contextmanager
def _running(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = broker.command(port=port, data_dir=folder)
    with running_process(command, folder / "kafka.log") as process:

        def is_ready() -> bool:
            assert process.poll() is None, (folder / "kafka.log").read_text()
            return broker.is_ready(port, folder)

        wait_until(is_ready, 30, "the broker has its topics")
        yield process


def _topics(port: int) -> dict[str, int]:
    with Connection("127.0.0.1", port) as connection:
        return connection.topics()


def _create(folder: Path, port: int, topics: dict[str, int]) -> None:
    with Connection("127.0.0.1", port) as connection:
        connection.create(topics)
    _remembers(folder, topics)


def _remembers(folder: Path, topics: dict[str, int]) -> None:
    path = folder / "topics.json"
    wait_until(
        lambda: path.exists() and all(f'"{name}"' in path.read_text() for name in topics),
        5,
        "the topics are remembered",
    )


def _keep_asking(port: int, stop: threading.Event) -> None:
    """Ask for the topic by name, again and again, as clients do: the broker then creates it."""
    name = b"bet-events"
    body = struct.pack(">ih", 1, len(name)) + name
    while not stop.is_set():
        try:
            with Connection("127.0.0.1", port) as connection:
                connection._call(3, 1, body)
        except OSError:
            continue  # the broker is not there yet


def test_topics_come_back_with_their_partitions(tmp_path: Path) -> None:
    port = free_port()
    topics = {"bet-events": 3, "bet-events.dead-letter": 1, "many": 50}
    with _running(tmp_path, port):
        _create(tmp_path, port, topics)

    with _running(tmp_path, port):
        assert _topics(port) == topics


def test_topics_come_back_although_clients_keep_asking_for_them(tmp_path: Path) -> None:
    port = free_port()
    with _running(tmp_path, port):
        _create(tmp_path, port, {"bet-events": 3})
    stop = threading.Event()
    threads = [threading.Thread(target=_keep_asking, args=(port, stop)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        with _running(tmp_path, port):
            assert _topics(port)["bet-events"] == 3
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_topic_that_a_client_created_first_is_made_anew(tmp_path: Path) -> None:
    """The race that is lost once in a while, lost on purpose: the memory says something else."""
    port = free_port()
    with _running(tmp_path, port) as process:
        _create(tmp_path, port, {"bet-events": 4})
        (tmp_path / "topics.json").write_text('{"bet-events": 3}')
        (tansu,) = psutil.Process(process.pid).children()
        tansu.kill()
        process.wait(timeout=10)

    with _running(tmp_path, port):
        assert _topics(port) == {"bet-events": 3}


def test_a_deleted_topic_stays_deleted(tmp_path: Path) -> None:
    port = free_port()
    with _running(tmp_path, port):
        _create(tmp_path, port, {"kept": 2, "gone": 1})
        admin = KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}")
        admin.delete_topics(["gone"])
        admin.close()
        path = tmp_path / "topics.json"
        wait_until(lambda: '"gone"' not in path.read_text(), 5, "the deleted topic is forgotten")

    with _running(tmp_path, port):
        assert _topics(port) == {"kept": 2}


def test_the_wrapper_ends_when_the_broker_dies_so_that_it_is_restarted(tmp_path: Path) -> None:
    port = free_port()
    with _running(tmp_path, port) as process:
        (tansu,) = psutil.Process(process.pid).children()
        tansu.kill()

        assert process.wait(timeout=5) != 0
        assert not broker.is_ready(port, tmp_path)


def test_the_broker_dies_with_a_killed_wrapper(tmp_path: Path) -> None:
    port = free_port()
    with _running(tmp_path, port) as process:
        (tansu,) = psutil.Process(process.pid).children()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

        wait_until(lambda: not tansu.is_running(), 5, "the broker died too")


def test_it_stops_at_once_when_told_to(tmp_path: Path) -> None:
    port = free_port()
    with _running(tmp_path, port) as process:
        process.terminate()

        assert process.wait(timeout=2) == 0
    assert not (tmp_path / broker.READY_FILE).exists()


def test_it_is_not_ready_before_it_runs(tmp_path: Path) -> None:
    assert not broker.is_ready(free_port(), tmp_path)


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    port = free_port()
    with _running(tmp_path, port):
        other = tmp_path / "other"
        other.mkdir()
        with (
            pytest.raises(AssertionError, match="is taken by another program"),
            _running(other, port),
        ):
            pass


def test_a_missing_wheel_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ServiceFailed, match="KAFKA_BOOTSTRAP_SERVERS"):
        broker.binary()
