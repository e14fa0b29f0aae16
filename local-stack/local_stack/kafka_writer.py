"""Writes single records to a Kafka topic: destinations of failed batches and asynchronous events.

kafka-python is loaded with the first record, so a stack without such destinations never pays for
it. A record counts as written once all in-sync replicas have it; nothing is retried behind the
caller's back for longer than the limits below.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from local_stack.errors import RuntimeFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local_stack.model import KafkaSecurity

_LOGGER = logging.getLogger(__name__)
CONNECT_S_MAX = 5.0
METADATA_S_MAX = 5.0
DELIVERY_S_MAX = 10.0
CLOSE_S_MAX = 5.0
RECORD_BYTES_MAX = 20 * 1024 * 1024  # a batch of 6 MB in base64, and what is said about it
WRITES_MAX = 64  # records under way at once; more callers wait
_TOO_LARGE = {"MessageSizeTooLargeError", "RecordListTooLargeError"}  # of kafka.errors
_SEND_S_MAX = CONNECT_S_MAX + METADATA_S_MAX + DELIVERY_S_MAX + 5.0  # when all else fails to end


def security_settings(security: KafkaSecurity | None) -> Mapping[str, Any]:
    """What kafka-python's clients are told to sign in as `security` says."""
    if security is None:
        return {}
    protocol = "SSL" if security.tls else "PLAINTEXT"
    if security.mechanism is not None:
        protocol = f"SASL_{protocol}"
    settings: dict[str, Any] = {"security_protocol": protocol}
    if security.mechanism is not None:
        settings |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password,
        }
    files = {
        "ssl_cafile": security.ca_file,
        "ssl_certfile": security.certificate_file,
        "ssl_keyfile": security.key_file,
    }
    settings |= {name: str(path) for name, path in files.items() if path is not None}
    if security.key_password:
        settings["ssl_password"] = security.key_password
    return settings


class RecordTooLarge(RuntimeFailed):
    """No broker takes a record of this size."""


class TopicWriter:
    """One producer, made on first use. `send` and `close` belong to one event loop."""

    def __init__(
        self, bootstrap_servers: Sequence[str], security: KafkaSecurity | None = None
    ) -> None:
        self._bootstrap_servers = tuple(bootstrap_servers)
        self._security = security
        self._producer: Any = None
        self._places = asyncio.Semaphore(WRITES_MAX)
        self._opening = asyncio.Lock()

    async def send(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Return once the brokers have the record. Raises `RuntimeFailed` when they do not take it.

        `RecordTooLarge` is the one that trying again does not mend. A record that was sent but not acknowledged in time may be there all the same.
        """
        async with self._places:
            try:
                async with asyncio.timeout(_SEND_S_MAX):
                    producer = await self._open()
                    await asyncio.to_thread(_send, producer, topic, value, key, [*headers])
            except Exception as error:
                msg = f"topic {topic}: the record was not written: {type(error).__name__} {error}"
                kind = RecordTooLarge if type(error).__name__ in _TOO_LARGE else RuntimeFailed
                raise kind(msg.rstrip()) from error

    async def close(self) -> None:
        """Let go of the connection; what is not acknowledged by then failed."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await asyncio.to_thread(producer.close, CLOSE_S_MAX)

    async def _open(self) -> Any:
        async with self._opening:
            if self._producer is None:
                self._producer = await asyncio.to_thread(
                    _producer, self._bootstrap_servers, self._security
                )
            return self._producer


def _producer(bootstrap_servers: Sequence[str], security: KafkaSecurity | None) -> Any:
    # deferred: 110 ms, only for who writes to Kafka
    from kafka import KafkaProducer

    return KafkaProducer(
        bootstrap_servers=list(bootstrap_servers),
        client_id="local-stack-writer",
        acks="all",
        # The embedded broker keeps timing out an idempotent producer after a restart.
        enable_idempotence=False,
        retries=3,
        max_request_size=RECORD_BYTES_MAX,
        request_timeout_ms=5_000,
        delivery_timeout_ms=int(DELIVERY_S_MAX * 1000),
        max_block_ms=int(METADATA_S_MAX * 1000),
        bootstrap_timeout_ms=int(CONNECT_S_MAX * 1000),
        reconnect_backoff_max_ms=500,
        metrics_enabled=False,
        **security_settings(security),
    )


def _send(
    producer: Any,
    topic: str,
    value: bytes,
    key: bytes | None,
    headers: list[tuple[str, bytes]],
) -> None:
    """Blocks for METADATA_S_MAX + DELIVERY_S_MAX at most."""
    future = producer.send(topic, value=value, key=key, headers=headers)
    future.get(timeout=DELIVERY_S_MAX)
