"""Faults that tests ask for: in their order, as often as asked, and then no more."""

from __future__ import annotations

import asyncio
import json

import pytest

from local_stack.errors import InvalidParameter, Throttled
from local_stack.invoke.faults import FAULTS_MAX, TIMES_MAX, Fault, Faults


def before(faults: Faults, function: str = "Pay"):
    return asyncio.run(faults.before(function, request_id="an-id", timeout_s=3.0))


def test_without_faults_an_invocation_runs() -> None:
    assert before(Faults()) is None


def test_a_throttle_is_a_refusal_with_its_reason() -> None:
    faults = Faults()
    faults.add("Pay", Fault("throttle"))

    with pytest.raises(Throttled) as refused:
        before(faults)
    assert refused.value.reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert before(faults) is None


def test_an_error_looks_as_if_the_function_had_raised_it() -> None:
    faults = Faults()
    faults.add("Pay", Fault("error", error_type="ValueError", message="no such card"))

    outcome = before(faults)

    assert outcome.function_error == "Unhandled"
    assert json.loads(outcome.payload) == {
        "errorMessage": "no such card",
        "errorType": "ValueError",
        "requestId": "an-id",
        "stackTrace": [],
    }


def test_a_timeout_says_the_functions_own_limit() -> None:
    faults = Faults()
    faults.add("Pay", Fault("timeout"))

    outcome = before(faults)

    assert json.loads(outcome.payload) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: an-id Error: Task timed out after 3.00 seconds",
    }


def test_faults_happen_in_order_as_often_as_asked_and_to_their_function_alone() -> None:
    faults = Faults()
    faults.add("Pay", Fault("error", times=2))
    faults.add("Pay", Fault("timeout"))

    assert before(faults, "Ship") is None
    assert faults.remaining() == {"Pay": 3}
    kinds = [json.loads(before(faults).payload)["errorType"] for _ in range(3)]
    assert kinds == ["InjectedError", "InjectedError", "Sandbox.Timedout"]
    assert before(faults) is None
    assert faults.remaining() == {}


def test_cleared_faults_do_not_happen() -> None:
    faults = Faults()
    faults.add("Pay", Fault("error"))

    faults.clear()

    assert before(faults) is None


@pytest.mark.parametrize("times", [0, TIMES_MAX + 1])
def test_a_number_of_times_out_of_bounds_is_refused(times: int) -> None:
    Fault("error", times=TIMES_MAX)
    with pytest.raises(InvalidParameter, match="1 to 100000 times"):
        Fault("error", times=times)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidParameter, match="throttle, error, timeout"):
        Fault("flood")  # type: ignore[arg-type]


def test_no_more_faults_wait_than_the_limit() -> None:
    faults = Faults()
    for _ in range(FAULTS_MAX):
        faults.add("Pay", Fault("error"))

    with pytest.raises(InvalidParameter, match=f"{FAULTS_MAX} faults wait"):
        faults.add("Pay", Fault("error"))
