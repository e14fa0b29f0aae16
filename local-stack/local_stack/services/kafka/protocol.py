"""Two requests of the Kafka protocol: list the topics, create topics. Nothing else.

The broker's own command line takes 10-20 ms a call. That is too slow for the moment after a
restart: the first client that asks for a topic which is not there yet gets it auto-created with the
wrong number of partitions. One request on a waiting connection takes 0.4 ms.
Formats: https://kafka.apache.org/protocol (Metadata v1, CreateTopics v0).
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Self

from local_stack.errors import ServiceFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

_METADATA = 3
_CREATE_TOPICS = 19
_TIMEOUT_MS = 5000
RESPONSE_BYTES_MAX = 16 * 1024 * 1024


class Connection:
    """One connection to a broker. Raises `OSError` when it breaks."""

    def __init__(self, host: str, port: int, *, timeout_s: float = 5.0) -> None:
        self._socket = socket.create_connection((host, port), timeout=timeout_s)
        self._correlation_id = 0

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def topics(self) -> dict[str, int]:
        """Every topic with its number of partitions. Asking for all creates none."""
        answer = _Reader(self._call(_METADATA, 1, struct.pack(">i", -1)))
        for _ in range(answer.int32()):  # brokers: id, host, port, rack
            answer.int32()
            answer.text()
            answer.int32()
            answer.text()
        answer.int32()  # controller
        topics = {}
        for _ in range(answer.int32()):
            answer.int16()
            name = answer.text()
            answer.int8()  # is internal
            partitions = answer.int32()
            for _ in range(partitions):
                answer.skip(2 + 4 + 4)  # error, partition, leader
                answer.skip(4 * answer.int32())  # replicas
                answer.skip(4 * answer.int32())  # in-sync replicas
            topics[name] = partitions
        return topics

    def create(self, topics: Mapping[str, int]) -> None:
        """Create topics in one request. One that exists stays as it is."""
        body = struct.pack(">i", len(topics))
        for name, partitions in topics.items():
            body += _text(name) + struct.pack(">ihii", partitions, 1, 0, 0)
        self._call(_CREATE_TOPICS, 0, body + struct.pack(">i", _TIMEOUT_MS))

    def _call(self, key: int, version: int, body: bytes) -> bytes:
        self._correlation_id += 1
        head = struct.pack(">hhi", key, version, self._correlation_id)
        request = head + _text("local-stack") + body
        self._socket.sendall(struct.pack(">i", len(request)) + request)
        (length,) = struct.unpack(">i", self._receive(4))
        if not 4 <= length <= RESPONSE_BYTES_MAX:
            msg = f"the broker announced an answer of {length} bytes"
            raise ServiceFailed(msg)
        answer = self._receive(length)
        (correlation_id,) = struct.unpack(">i", answer[:4])
        if correlation_id != self._correlation_id:
            msg = f"the broker answered request {correlation_id} instead of {self._correlation_id}"
            raise ServiceFailed(msg)
        return answer[4:]

    def _receive(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            part = self._socket.recv(length - len(parts))
            if not part:
                raise ConnectionResetError
            parts += part
        return bytes(parts)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def skip(self, length: int) -> bytes:
        start, self._at = self._at, self._at + length
        if self._at > len(self._data):
            msg = "the broker's answer ended early"
            raise ServiceFailed(msg)
        return self._data[start : self._at]

    def int8(self) -> int:
        return int(struct.unpack(">b", self.skip(1))[0])

    def int16(self) -> int:
        return int(struct.unpack(">h", self.skip(2))[0])

    def int32(self) -> int:
        return int(struct.unpack(">i", self.skip(4))[0])

    def text(self) -> str:
        length = self.int16()
        return "" if length < 0 else self.skip(length).decode()


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">h", len(data)) + data
