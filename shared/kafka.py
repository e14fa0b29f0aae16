"""The door to Kafka: publish with acknowledgement, make topics, knock to see if it is there.

One producer an execution environment, made on first use and reused; nothing is left undone when a
call returns, because the environment may be frozen then. kafka-python's errors end here and leave
as `KafkaUnavailable`. It must never create a topic by asking for it.
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import kafka
from kafka.errors import KafkaError, TopicAlreadyExistsError
from kafka.partitioner.default import murmur2

from shared import clock
from shared.betting.events import TOPIC_PARTITIONS
from shared.errors import KafkaUnavailable
from shared.settings import kafka_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

# A publish ends, one way or the other, within DELIVERY + METADATA + CONNECT seconds.
CONNECT_TIMEOUT_S = 3.0
METADATA_TIMEOUT_S = 2.0
REQUEST_TIMEOUT_S = 3.0
LINGER_S = 1.0  # longer than it takes to hand over a batch (25 ms for 1,000): flush sends it
DELIVERY_TIMEOUT_S = LINGER_S + REQUEST_TIMEOUT_S
TOPICS_FRESH_S = 5.0
TOPICS_KNOWN_S = 5.0
TOPICS_LOOK_S = 0.05
_pause = threading.Event()
# The broker's own limit is 1 MiB a batch (message.max.bytes); callers keep below with this.
PUBLISH_BYTES_MAX = 900_000


@dataclass(frozen=True, slots=True)
class Record:
    """What is published; a record without a key goes to the first partition."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Published:
    """Which records (by index) the broker acknowledged, and why not the others."""

    acknowledged: list[int]
    error: KafkaUnavailable | None


class _Connection:
    """A producer and the client inside it."""

    def __init__(self) -> None:
        # kafka-python logs every attempt as an error; what matters is in the error we raise.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        self._client: Any = None
        self.verified: set[str] = set()
        self.verified_at_s: float | None = None
        try:
            self.producer = kafka.KafkaProducer(
                bootstrap_servers=kafka_settings().bootstrap_servers.split(","),
                kafka_client=self._make_client,
                acks="all",
                # Tansu keeps timing out an idempotent producer after a restart; readers are
                # idempotent by event id instead.
                enable_idempotence=False,
                # One attempt, one request in flight: a retry would slip past the check of the
                # topics after a broker's restart, and could reorder. Rows stay in the outbox and
                # the next run of the relay is the retry.
                retries=0,
                max_in_flight_requests_per_connection=1,
                linger_ms=int(LINGER_S * 1000),
                batch_size=PUBLISH_BYTES_MAX * 2,
                max_request_size=PUBLISH_BYTES_MAX * 4,
                # A third of the bytes, for the broker that keeps them and the reader that fetches
                # them; the cost is 4 µs an event.
                compression_type="lz4",
                request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
                delivery_timeout_ms=int(DELIVERY_TIMEOUT_S * 1000),
                max_block_ms=int(METADATA_TIMEOUT_S * 1000),
                bootstrap_timeout_ms=int(CONNECT_TIMEOUT_S * 1000),
                reconnect_backoff_max_ms=500,
                metrics_enabled=False,
            )
        except BaseException:
            self._close_client()
            raise

    def _make_client(self, **config: Any) -> Any:
        self._client = kafka.KafkaProducer.DEFAULT_CONFIG["kafka_client"](**config)
        # Asked for one topic by name, a broker that creates topics by itself makes it, with its
        # own number of partitions (Tansu: four, whatever allow_auto_create_topics says). Asked
        # for all topics it makes none.
        self._client.cluster.need_all_topic_metadata = True
        return self._client

    def verify(self, topics: set[str]) -> None:
        """See that the topics are there with the partitions they must have.

        Asks the broker (0.6 ms) when a connection was lost since it was last asked, or after 5 s:
        Tansu acknowledges records for a topic that it lost in a restart, and they are nowhere.
        """
        now_s = clock.monotonic_s()
        is_fresh = (
            self.verified_at_s is not None
            and now_s - self.verified_at_s < TOPICS_FRESH_S
            and topics <= self.verified
            and not self._client.cluster.need_update
        )
        if is_fresh:
            return
        answered = threading.Event()
        future = self._client.cluster.request_update()
        future.add_both(lambda *_: answered.set())
        self._client.wakeup()
        if not answered.wait(METADATA_TIMEOUT_S) or future.failed():
            raise KafkaUnavailable
        for topic in sorted(topics):
            partitions = self._client.cluster.partitions_for_topic(topic)
            _check_partitions(topic, len(partitions or ()))
        self.verified, self.verified_at_s = topics, now_s

    def _close_client(self) -> None:
        if self._client is not None:
            self._client.close()

    def close(self) -> None:
        """Let go of sockets and thread; safe on a broker that is away."""
        self.producer.close(timeout=DELIVERY_TIMEOUT_S + 1)


@cache
def _connection() -> _Connection:
    try:
        return _Connection()
    except (KafkaError, OSError) as error:
        raise KafkaUnavailable from error


def publish(records: Sequence[Record]) -> Published:
    """Publish in order and wait for the acknowledgement of every replica (acks=all).

    Order is kept per key: each partition gets one batch, so what follows a failed record of the
    same key is not acknowledged either. Keep one call below `PUBLISH_BYTES_MAX` bytes. Never
    raises for single records: `Published` tells them apart. Raises `KafkaUnavailable` when nothing
    was sent: no broker, a topic missing, or one with the wrong number of partitions.
    """
    if not records:
        return Published([], None)
    connection = _connection()
    try:
        connection.verify({record.topic for record in records})
        futures = [
            connection.producer.send(
                record.topic,
                value=record.value,
                key=record.key,
                headers=record.headers,
                partition=_partition(record.topic, record.key),
            )
            for record in records
        ]
        # Every batch ends acknowledged, refused or expired before this wait is over.
        connection.producer.flush(timeout=DELIVERY_TIMEOUT_S + 1)
    except KafkaUnavailable:
        close()
        raise
    except (KafkaError, OSError) as error:
        close()
        raise KafkaUnavailable from error
    acknowledged = [index for index, future in enumerate(futures) if future.succeeded()]
    if len(acknowledged) == len(records):
        return Published(acknowledged, None)
    # After a failure start afresh: an address may have moved, a topic may have gone.
    close()
    unavailable = KafkaUnavailable()
    unavailable.__cause__ = next(
        (future.exception for future in futures if future.exception is not None), None
    )
    return Published(acknowledged, unavailable)


def ensure_topics() -> list[str]:
    """Create what is missing of `TOPIC_PARTITIONS` and return the names of what was created.

    Repeating it is harmless. Raises `KafkaUnavailable` when there is no broker, or when a topic
    has another number of partitions: adding some would move keys, so a person has to decide.
    """
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        admin = kafka.KafkaAdminClient(
            bootstrap_servers=kafka_settings().bootstrap_servers.split(","),
            bootstrap_timeout_ms=int(CONNECT_TIMEOUT_S * 1000),
            request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
        )
    except (KafkaError, OSError) as error:
        raise KafkaUnavailable from error
    try:
        missing = [topic for topic in TOPIC_PARTITIONS if topic not in _partition_counts(admin)]
        for topic in missing:
            _create_topic(admin, topic)
        counts = _known_partitions(admin)
    except (KafkaError, OSError) as error:
        raise KafkaUnavailable from error
    finally:
        admin.close()
    for topic in TOPIC_PARTITIONS:
        _check_partitions(topic, counts.get(topic, 0))
    return missing


def close() -> None:
    """Drop the producer; the next call makes a new one."""
    if _connection.cache_info().currsize:
        connection = _connection()
        _connection.cache_clear()
        try:
            connection.close()
        except KafkaError:  # it would not flush: nothing more can be done for it
            logging.getLogger(__name__).warning("the Kafka producer did not close")


class Knocker:
    """Asks one broker after another for its API versions, on a connection that it keeps.

    The question every client asks first costs about 50 µs and answers "is the broker serving?"
    without a client library, a thread or a topic.
    """

    # Size, ApiVersions (18) version 0, correlation id 1, client id "health".
    _QUESTION = struct.pack(">ihhih6s", 16, 18, 0, 1, 6, b"health")

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def knock(self, timeout_s: float) -> None:
        """Return when a broker answered; raises `KafkaUnavailable` within `timeout_s`."""
        deadline = clock.Deadline.after(timeout_s)
        if self._socket is not None:
            try:
                return self._ask(self._socket, deadline)
            except OSError:  # it may have been closed while we slept: once more on a new one
                self.close()
        cause: OSError | None = None
        for address in kafka_settings().bootstrap_servers.split(","):
            host, _, port = address.strip().rpartition(":")
            try:
                self._socket = socket.create_connection(
                    (host, int(port)), timeout=max(0.01, deadline.remaining_s())
                )
                return self._ask(self._socket, deadline)
            except OSError as error:
                cause = error
                self.close()
        raise KafkaUnavailable from cause

    def close(self) -> None:
        """Let go of the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, connection: socket.socket, deadline: clock.Deadline) -> None:
        connection.settimeout(max(0.01, deadline.remaining_s()))
        connection.sendall(self._QUESTION)
        size = int.from_bytes(self._read(connection, 4, deadline), "big")
        if not 6 <= size <= 65_536:
            msg = f"not a Kafka broker: it announced an answer of {size} bytes"
            raise OSError(msg)
        correlation_id, error_code = struct.unpack_from(
            ">ih", self._read(connection, size, deadline)
        )
        if correlation_id != 1 or error_code != 0:
            msg = f"the broker answered error {error_code} to request {correlation_id}"
            raise OSError(msg)

    @staticmethod
    def _read(connection: socket.socket, size: int, deadline: clock.Deadline) -> bytes:
        answer = b""
        while len(answer) < size:
            connection.settimeout(max(0.01, deadline.remaining_s()))
            chunk = connection.recv(size - len(answer))
            if not chunk:
                raise ConnectionResetError("the broker closed the connection")
            answer += chunk
        return answer


# 7 µs a hash in pure Python: a quarter of what publishing an event costs.
@lru_cache(maxsize=10_000)
def _partition(topic: str, key: bytes | None) -> int:
    if key is None:
        return 0
    # The same choice as kafka-python's and Java's default partitioner.
    return int((murmur2(key) & 0x7FFFFFFF) % TOPIC_PARTITIONS[topic])


def _partition_counts(admin: Any) -> dict[str, int]:
    return {
        topic["name"]: len(topic["partitions"])
        for topic in admin.describe_topics()
        if topic["error_code"] == 0
    }


def _known_partitions(admin: Any) -> dict[str, int]:
    """The partitions of each topic; a real broker acknowledges a topic before it tells of it."""
    deadline = clock.Deadline.after(TOPICS_KNOWN_S)
    while True:
        counts = _partition_counts(admin)
        if counts.keys() >= TOPIC_PARTITIONS.keys() or deadline.passed():
            return counts
        _pause.wait(TOPICS_LOOK_S)


def _create_topic(admin: Any, topic: str) -> None:
    # Replication factor -1: the broker's default, one here and three on a real cluster.
    wanted = {"num_partitions": TOPIC_PARTITIONS[topic], "replication_factor": -1}
    try:
        admin.create_topics({topic: wanted}, timeout_ms=int(REQUEST_TIMEOUT_S * 1000))
    except TopicAlreadyExistsError:  # somebody was faster; its partitions are checked below
        return


def _check_partitions(topic: str, count: int) -> None:
    expected = TOPIC_PARTITIONS.get(topic)
    if count == 0:
        msg = f"topic {topic} does not exist; invoke MigrateSchema"
        raise KafkaUnavailable(msg)
    if count != expected:
        msg = (
            f"topic {topic} has {count} partitions instead of {expected} (was it created"
            " automatically?); delete it and invoke MigrateSchema"
        )
        raise KafkaUnavailable(msg)
