"""Functions that invoke each other without an end are stopped."""

from __future__ import annotations

import pytest

from local_stack.errors import RecursiveInvocation
from local_stack.invoke.lineage import FUNCTIONS_MAX, ROUNDS_MAX, extended

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0"


def test_a_chain_is_counted_in_the_trace_header() -> None:
    once = extended(TRACE, "A")
    twice = extended(once, "A")

    assert once.startswith(f"{TRACE};Lineage=")
    assert once.endswith(":1")
    assert twice == once.removesuffix(":1") + ":2"


def test_sixteen_rounds_are_made_and_not_one_more() -> None:
    trace = TRACE
    for _ in range(ROUNDS_MAX):
        trace = extended(extended(trace, "A"), "B")

    with pytest.raises(RecursiveInvocation, match="A was invoked 16 times in one chain"):
        extended(trace, "A")


def test_a_fan_out_is_no_loop() -> None:
    trace = extended(TRACE, "A")

    assert len({extended(trace, "B") for _ in range(100)}) == 1


def test_a_lineage_stays_short_and_forgets_the_function_that_was_longest_ago() -> None:
    trace = TRACE
    for number in range(FUNCTIONS_MAX + 5):
        trace = extended(trace, f"Function{number}")

    assert trace.count(":") == FUNCTIONS_MAX
    assert extended(trace, "Function0").endswith(":1")


@pytest.mark.parametrize("trace", ["", ";;", "Lineage=", "Lineage=a|b:|c:x", "Self=1;Lineage=q:-1"])
def test_a_header_that_makes_no_sense_begins_a_new_lineage(trace: str) -> None:
    assert extended(trace, "A").endswith(":1")
