"""What becomes of an asynchronous event after an attempt, and the record of its end."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from local_stack.environments.invocation import Outcome
from local_stack.invoke.async_policy import (
    DELIVERIES_MAX,
    Condition,
    Event,
    Settled,
    after_failed_delivery,
    after_outcome,
    after_refusal,
    is_too_old,
)
from local_stack.invoke.destinations import (
    RECORD_BYTES_MAX,
    Undeliverable,
    check_size,
    destination_of,
    record,
)
from local_stack.model import AsyncConfig, Destination

NOW = 1_795_521_600.0
EVENT = Event(1, "the-id", "Hello", NOW, NOW, 2)
FAILED = Outcome("the-id", b'{"errorType": "Oops"}', "Unhandled")
WORKED = Outcome("the-id", b'{"a": 1}')
ARN = "arn:aws:lambda:us-east-1:000000000000:function"


def _waits(result: Event | Settled) -> Event:
    assert isinstance(result, Event)
    return result


def _ended(result: Event | Settled) -> str:
    assert isinstance(result, Settled)
    return result.condition


def test_a_failed_event_is_tried_again_after_one_and_two_minutes_and_no_more() -> None:
    first = _waits(after_outcome(EVENT, FAILED, AsyncConfig(), NOW))
    second = _waits(after_outcome(first, FAILED, AsyncConfig(), NOW + 60))

    assert (first.invoke_count, first.due_s - NOW) == (1, 60)
    assert (second.invoke_count, second.due_s - NOW - 60) == (2, 120)
    assert _ended(after_outcome(second, FAILED, AsyncConfig(), NOW + 180)) == "RetriesExhausted"


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_as_many_retries_are_made_as_the_function_allows(retries: int) -> None:
    event: Event | Settled = EVENT
    attempts = 0
    while isinstance(event, Event):
        attempts += 1
        event = after_outcome(event, FAILED, AsyncConfig(retries_max=retries), NOW)

    assert attempts == retries + 1


def test_what_worked_is_over() -> None:
    assert after_outcome(EVENT, WORKED, AsyncConfig(), NOW) == Settled(Condition.SUCCESS, WORKED)


def test_a_throttled_event_is_tried_again_from_one_second_to_five_minutes_apart() -> None:
    event, delays = EVENT, []
    for _ in range(11):
        event = _waits(after_refusal(event, AsyncConfig(), NOW))
        delays.append(event.due_s - NOW)

    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert event.invoke_count == 0  # it costs no retry


def test_throttling_begins_anew_once_the_function_has_run() -> None:
    throttled = replace(EVENT, refusals=7)

    assert _waits(after_outcome(throttled, FAILED, AsyncConfig(), NOW)).refusals == 0


@pytest.mark.parametrize(("age", "expected"), [(60, True), (59.9, False)])
def test_no_attempt_is_made_beyond_the_greatest_age(age: float, *, expected: bool) -> None:
    config = AsyncConfig(event_age_s_max=60 + 60)
    result = after_outcome(EVENT, FAILED, config, NOW + age + 0.05)

    assert isinstance(result, Settled) == expected


def test_an_age_at_the_limit_is_not_too_old_and_one_past_it_is() -> None:
    config = AsyncConfig(event_age_s_max=60)

    assert not is_too_old(EVENT, config, NOW + 60)
    assert is_too_old(EVENT, config, NOW + 60.001)


def test_a_throttled_event_ends_with_its_age() -> None:
    old = replace(EVENT, accepted_s=NOW - 21_600)

    assert _ended(after_refusal(old, AsyncConfig(), NOW)) == "EventAgeExceeded"


def test_every_wait_can_be_scaled() -> None:
    assert _waits(after_outcome(EVENT, FAILED, AsyncConfig(), NOW, scale=0.01)).due_s == NOW + 0.6
    assert _waits(after_refusal(EVENT, AsyncConfig(), NOW, scale=0.5)).due_s == NOW + 0.5
    later = after_failed_delivery(EVENT, NOW, scale=0.5)
    assert later is not None
    assert later.due_s == NOW + 0.5


def test_a_delivery_is_tried_a_few_times() -> None:
    event: Event | None = EVENT
    delays = []
    while event is not None:
        event = after_failed_delivery(event, NOW)
        delays.append(0 if event is None else event.due_s - NOW)

    assert delays == [1, 2, 4, 8, 0]
    assert len(delays) == DELIVERIES_MAX == 5


# --- records ---------------------------------------------------------------------------------


def _record(event: Event, settled: Settled, payload: bytes = b'{"n": 1}') -> Any:
    return json.loads(record(event, payload, settled, "$LATEST", NOW + 0.5678))


def test_the_record_of_a_success() -> None:
    assert _record(EVENT, Settled(Condition.SUCCESS, WORKED)) == {
        "version": "1.0",
        "timestamp": "2026-11-24T12:00:00.567Z",
        "requestContext": {
            "requestId": "the-id",
            "functionArn": f"{ARN}:Hello:$LATEST",
            "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {"n": 1},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": {"a": 1},
    }


def test_the_record_of_a_failure_says_how_often_and_which_error() -> None:
    event = replace(EVENT, invoke_count=2)

    shown = _record(event, Settled(Condition.RETRIES_EXHAUSTED, FAILED))

    assert shown["requestContext"]["condition"] == "RetriesExhausted"
    assert shown["requestContext"]["approximateInvokeCount"] == 3
    assert shown["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert shown["responsePayload"] == {"errorType": "Oops"}


@pytest.mark.parametrize(
    "condition", [Condition.ZERO_RESERVED_CONCURRENCY, Condition.EVENT_AGE_EXCEEDED]
)
def test_the_record_of_what_never_ran_has_no_response(condition: Condition) -> None:
    shown = _record(EVENT, Settled(condition))

    assert shown["requestContext"]["condition"] == condition
    assert shown["requestContext"]["approximateInvokeCount"] == 0
    assert set(shown) == {"version", "timestamp", "requestContext", "requestPayload"}


def test_a_record_names_the_qualifier() -> None:
    event = replace(EVENT, qualifier="live")

    shown = json.loads(record(event, b"1", Settled(Condition.SUCCESS, WORKED), "1", NOW))

    assert shown["requestContext"]["functionArn"] == f"{ARN}:Hello:live"
    assert shown["responseContext"]["executedVersion"] == "1"


def test_a_result_that_is_not_json_is_told_as_text() -> None:
    shown = _record(EVENT, Settled(Condition.SUCCESS, Outcome("the-id", b"plain \xff")))

    assert shown["responsePayload"] == "plain \ufffd"


def test_a_destination_is_found_again_by_its_arn() -> None:
    for destination in (Destination("function", "Other"), Destination("kafka", "a-topic")):
        assert destination_of(destination.arn) == destination


def test_a_record_at_the_limit_is_sent_and_one_byte_more_is_not() -> None:
    check_size(b"x" * RECORD_BYTES_MAX)
    with pytest.raises(Undeliverable, match="1048577 bytes is over the limit"):
        check_size(b"x" * (RECORD_BYTES_MAX + 1))
