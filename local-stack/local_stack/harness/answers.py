"""What a test gives and gets: records of a batch, the outcome of an invocation. Pure."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class KafkaRecord:
    """One record; without `offset` it follows the one before it in its partition, from 0 on."""

    value: bytes | None
    key: bytes | None = None
    partition: int = 0
    offset: int | None = None
    headers: Mapping[str, bytes] = field(default_factory=dict)
    timestamp: int | None = None  # ms since 1970; now, if absent


@dataclass(frozen=True, slots=True)
class Invoked:
    """How an invocation ended. `error` is None when it went well; else the payload has its reason."""

    status: int
    payload: bytes
    error: str | None  # "Unhandled", or the code of the Lambda API that refused the source
    log: str  # the last 4 KB, with START, END and REPORT
    request_id: str = ""
    event: Any = None  # what the function was given, where a source made it

    @property
    def value(self) -> Any:
        """The payload, read as JSON; None if there is none."""
        return json.loads(self.payload) if self.payload else None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Read what the host's control answered."""
        return cls(**_outcome(answer))


@dataclass(frozen=True, slots=True)
class Delivery(Invoked):
    """What an event source mapping would do after a batch; keys are `topic-partition`."""

    checkpoints: Mapping[str, int] = field(default_factory=dict)  # the next offset that is read
    done: Mapping[str, list[int]] = field(default_factory=dict)
    again: Mapping[str, list[int]] = field(default_factory=dict)  # would be tried again
    dead: Mapping[str, list[int]] = field(default_factory=dict)  # given up, for good
    filtered: Mapping[str, list[int]] = field(default_factory=dict)  # dropped by FilterCriteria
    calls: int = 0  # of the function; event, answer and log are those of the last

    @property
    def is_complete(self) -> bool:
        """Whether every record was done, or filtered out."""
        return not any(self.again.values()) and not any(self.dead.values())

    @override
    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Read what the host's control answered."""
        partitions: Mapping[str, Mapping[str, Any]] = answer["partitions"]
        return cls(
            **_outcome(answer),
            checkpoints={name: item["checkpoint"] for name, item in partitions.items()},
            done={name: item["done"] for name, item in partitions.items()},
            again={name: item["again"] for name, item in partitions.items()},
            dead={name: item["dead"] for name, item in partitions.items()},
            filtered={name: item["filtered"] for name, item in partitions.items()},
            calls=answer["calls"],
        )


def encode(record: object) -> dict[str, Any]:
    """A record as the control takes it: bytes as base64."""
    if not isinstance(record, KafkaRecord):
        record = KafkaRecord(_value(record))
    item: dict[str, Any] = {"partition": record.partition, "key": _text(record.key)}
    item |= {"value": _text(record.value)}
    item["headers"] = [[name, _text(value)] for name, value in record.headers.items()]
    optional = {"offset": record.offset, "timestamp": record.timestamp}
    return item | {name: number for name, number in optional.items() if number is not None}


def _value(record: object) -> bytes:
    if isinstance(record, bytes):
        return record
    return (record if isinstance(record, str) else json.dumps(record)).encode()


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _outcome(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "status": answer["status"],
        "payload": base64.b64decode(answer["payload"]),
        "error": answer["error"],
        "log": answer["log"],
        "request_id": answer["requestId"],
        "event": json.loads(answer["event"]) if answer.get("event") else None,
    }
