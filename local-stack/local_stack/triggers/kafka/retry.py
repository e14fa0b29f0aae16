"""What is tried again after a failure, when, and what is given up. Pure: chance is a parameter.

Lambda developer guide, "Configuring error handling controls for Kafka event sources" and, for what
that page leaves open, the same controls of Kinesis: splitting a batch uses up no retry; throttles
and errors of the service, which reach no function, use up none either; with partial batch
responses a batch is cut at the lowest failed offset, not in halves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local_stack.model import KafkaSource
    from local_stack.triggers.kafka.event import Record

BASE_S = 0.1
DELAY_S_MAX = 3.0  # so that a sink is back at work within seconds of its store
_DOUBLINGS_MAX = 10
RETRIES_WITH_DESTINATION = 10  # "infinite" with an on-failure destination


class Condition(StrEnum):
    """Why records were given up, as AWS names it in the record of the destination."""

    RETRIES = "RetriesExhausted"
    AGE = "RecordAgeExceeded"
    PAYLOAD = "MaximumPayloadSizeExceeded"


@dataclass(frozen=True, slots=True)
class Response:
    """How the function answered last, for the record of what was given up."""

    request_id: str
    function_error: str | None  # None: it answered, and reported failed records


@dataclass(frozen=True, slots=True)
class Piece:
    """Records of one partition that go out together, and again together if they fail."""

    partition: int
    records: tuple[Record, ...]
    attempt: int = 0  # failures so far that count against the retries
    given_up: Condition | None = None  # to be buried, never to be invoked again
    invocations: int = 0
    response: Response | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How long a mapping goes on with records that fail."""

    retries_max: int = -1  # -1: without end
    bisect: bool = False
    age_s_max: int = -1

    @classmethod
    def of(cls, source: KafkaSource) -> Policy:
        """The policy of `source`."""
        retries_max = source.retries_max
        if retries_max == -1 and source.on_failure is not None:
            retries_max = RETRIES_WITH_DESTINATION
        return cls(retries_max, source.bisect_on_error, source.record_age_s_max)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one invocation.

    `failed` maps partitions to their lowest failed offset; empty when all is done, None when the
    whole batch failed.
    """

    failed: Mapping[int, int] | None
    response: Response | None = None
    counts: bool = True  # the function failed; False: it was not reached
    too_large: bool = False  # no function takes a payload of this size


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows for one piece: what is tried again, in order, or what is given up."""

    left: tuple[Piece, ...] = ()
    dead: Piece | None = None


def plan(piece: Piece, outcome: Outcome, policy: Policy) -> Plan:
    """What to do with `piece` after `outcome`. Records in neither part of the plan are done."""
    assert piece.records
    if outcome.failed is not None and piece.partition not in outcome.failed:
        return Plan()
    if outcome.too_large or not outcome.counts:
        return _not_invoked(piece, outcome)
    piece = replace(piece, invocations=piece.invocations + 1, response=outcome.response)
    if outcome.failed is not None:
        rest = tuple(r for r in piece.records if r.offset >= outcome.failed[piece.partition])
        if len(rest) < len(piece.records):  # it got further: what failed now has failed once
            return _again(replace(piece, records=rest, attempt=1, invocations=1), policy)
    elif policy.bisect and len(piece.records) > 1:
        return Plan(_halves(piece))
    return _again(replace(piece, attempt=piece.attempt + 1), policy)


def is_expired(record: Record, policy: Policy, now_ms: int) -> bool:
    """Whether the record is older than the mapping hands over."""
    return policy.age_s_max >= 0 and now_ms - record.timestamp > policy.age_s_max * 1000


def delay_s(failures: int, jitter: float) -> float:
    """Seconds to wait after `failures` failures in a row; `jitter` is from 0 to 1.

    Exponential with equal jitter: half of the delay is certain, half is chance.
    """
    assert failures >= 1
    assert 0.0 <= jitter <= 1.0
    full = float(min(DELAY_S_MAX, BASE_S * 2 ** min(failures - 1, _DOUBLINGS_MAX)))
    return full / 2 + full / 2 * jitter


def _not_invoked(piece: Piece, outcome: Outcome) -> Plan:
    if not outcome.too_large:
        return Plan((piece,))
    if len(piece.records) > 1:
        return Plan(_halves(piece))
    return Plan(dead=replace(piece, given_up=Condition.PAYLOAD))


def _again(piece: Piece, policy: Policy) -> Plan:
    if 0 <= policy.retries_max < piece.attempt:
        return Plan(dead=replace(piece, given_up=Condition.RETRIES))
    return Plan((piece,))


def _halves(piece: Piece) -> tuple[Piece, Piece]:
    middle = len(piece.records) // 2
    first, second = piece.records[:middle], piece.records[middle:]
    return replace(piece, records=first), replace(piece, records=second)
