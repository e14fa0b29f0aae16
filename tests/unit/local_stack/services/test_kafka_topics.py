"""What the broker's wrapper remembers."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from local_stack.errors import ServiceFailed
from local_stack.services.kafka.protocol import RESPONSE_BYTES_MAX, Connection
from local_stack.services.kafka.topics import RememberedTopics

if TYPE_CHECKING:
    from pathlib import Path


def test_new_topics_are_remembered_across_processes(tmp_path: Path) -> None:
    path = tmp_path / "kafka" / "topics.json"
    assert RememberedTopics(path).update({"bet-events": 3})

    assert RememberedTopics(path).topics == {"bet-events": 3}


def test_nothing_is_written_when_nothing_is_new(tmp_path: Path) -> None:
    remembered = RememberedTopics(tmp_path / "topics.json")
    remembered.update({"bet-events": 3})

    assert not remembered.update({"bet-events": 3})


def test_a_remembered_topic_keeps_its_number_of_partitions(tmp_path: Path) -> None:
    remembered = RememberedTopics(tmp_path / "topics.json")
    remembered.update({"bet-events": 3})

    remembered.update({"bet-events": 4})

    assert remembered.topics == {"bet-events": 3}
    assert remembered.wrong_in({"bet-events": 4, "other": 1}) == {"bet-events": 4}


def test_a_deleted_topic_is_forgotten(tmp_path: Path) -> None:
    remembered = RememberedTopics(tmp_path / "topics.json")
    remembered.update({"a": 1, "b": 2})

    assert remembered.update({"b": 2})

    assert remembered.topics == {"b": 2}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": "three"}'])
def test_a_damaged_memory_counts_as_empty(tmp_path: Path, content: str) -> None:
    path = tmp_path / "topics.json"
    path.write_text(content)

    assert RememberedTopics(path).topics == {}


def _server_that_answers(answer: bytes) -> tuple[int, threading.Thread]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as client:
            client.recv(4096)
            client.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return listener.getsockname()[1], thread


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (struct.pack(">i", RESPONSE_BYTES_MAX + 1), "announced an answer"),
        (struct.pack(">i", 3), "announced an answer"),
        (struct.pack(">ii", 4, 77), "answered request 77"),
        (struct.pack(">iii", 8, 1, 5), "ended early"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(answer: bytes, said: str) -> None:
    port, thread = _server_that_answers(answer)
    with Connection("127.0.0.1", port) as connection, pytest.raises(ServiceFailed, match=said):
        connection.topics()
    thread.join()


def test_a_connection_that_breaks_is_an_os_error() -> None:
    port, thread = _server_that_answers(b"\0\0")
    with Connection("127.0.0.1", port) as connection, pytest.raises(OSError):  # noqa: PT011
        connection.topics()
    thread.join()
