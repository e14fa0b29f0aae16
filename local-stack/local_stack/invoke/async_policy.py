"""What becomes of an asynchronous event after each attempt. Pure.

Lambda's rules (Developer Guide, "Error handling for an asynchronous invocation"): a function error
is retried twice, after one and then two minutes; a throttled event, or one that the service could
not run, is tried again from 1 s to 5 min apart and costs no retry. Both end with the event's
greatest age. A function whose reserved concurrency is 0 gets nothing, and nothing is retried.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from local_stack.model import VERSION, function_arn

if TYPE_CHECKING:
    from local_stack.environments.invocation import Outcome
    from local_stack.model import AsyncConfig

RETRY_S = 60.0  # after the first function error; twice as long after the second
REFUSED_RETRY_S = 1.0  # after the first throttle, then doubling
REFUSED_RETRY_S_MAX = 300.0
DELIVERY_RETRY_S = 1.0  # between attempts to reach a destination, doubling
DELIVERIES_MAX = 5


class Condition(StrEnum):
    """How an event ended, in the words of a destination's record."""

    SUCCESS = "Success"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    EVENT_AGE_EXCEEDED = "EventAgeExceeded"
    ZERO_RESERVED_CONCURRENCY = "ZeroReservedConcurrency"


@dataclass(frozen=True, slots=True)
class Event:
    """An accepted event, without its payload. Times are seconds since 1970."""

    id: int
    request_id: str
    function: str
    accepted_s: float
    due_s: float
    size: int  # of the payload, in bytes
    qualifier: str = ""
    trace_id: str = ""
    invoke_count: int = 0  # attempts that the function has ended
    refusals: int = 0  # attempts in a row that it has not seen
    destination: str = ""  # an ARN: the payload is now a record on its way there
    deliveries: int = 0

    @property
    def arn(self) -> str:
        """The qualified ARN, as destination records name it."""
        return f"{function_arn(self.function)}:{self.qualifier or VERSION}"


@dataclass(frozen=True, slots=True)
class Settled:
    """An event that needs no further attempt."""

    condition: Condition
    outcome: Outcome | None = None  # of the last attempt, if the function saw it


def after_outcome(
    event: Event, outcome: Outcome, config: AsyncConfig, now_s: float, *, scale: float = 1.0
) -> Event | Settled:
    """The event as it waits for its next attempt, or how it ended; the function has run."""
    ran = replace(event, invoke_count=event.invoke_count + 1, refusals=0)
    if outcome.function_error is None:
        return Settled(Condition.SUCCESS, outcome)
    if ran.invoke_count > config.retries_max:
        return Settled(Condition.RETRIES_EXHAUSTED, outcome)
    due_s = now_s + RETRY_S * scale * ran.invoke_count
    if is_too_old(event, config, due_s):
        return Settled(Condition.EVENT_AGE_EXCEEDED, outcome)
    return replace(ran, due_s=due_s)


def after_refusal(
    event: Event, config: AsyncConfig, now_s: float, *, scale: float = 1.0
) -> Event | Settled:
    """The same for an attempt that was throttled, or that no environment could take."""
    delay_s = min(REFUSED_RETRY_S_MAX, REFUSED_RETRY_S * 2.0 ** min(event.refusals, 16)) * scale
    due_s = now_s + delay_s
    if is_too_old(event, config, due_s):
        return Settled(Condition.EVENT_AGE_EXCEEDED)
    return replace(event, refusals=event.refusals + 1, due_s=due_s)


def after_failed_delivery(event: Event, now_s: float, *, scale: float = 1.0) -> Event | None:
    """The record as it waits for its next delivery, or None when there was enough of it."""
    deliveries = event.deliveries + 1
    if deliveries >= DELIVERIES_MAX:
        return None
    delay_s = DELIVERY_RETRY_S * 2.0 ** (deliveries - 1) * scale
    return replace(event, deliveries=deliveries, due_s=now_s + delay_s)


def is_too_old(event: Event, config: AsyncConfig, at_s: float) -> bool:
    """Whether the event may not be tried any more at the time `at_s`."""
    return at_s - event.accepted_s > config.event_age_s_max
