"""A few faults under load; `make chaos` runs all of them, and more at random."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

import pytest

from tests.chaos.checker import Stores, order_findings
from tests.chaos.faults import FAULTS
from tests.chaos.runs import plan, run
from tests.support.stack import running_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import StackUnderTest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

RUNS = 3


@pytest.fixture(scope="module")
def seed() -> int:
    """Another one each time; the output of a run that fails names it."""
    return random.randrange(10**6)


@pytest.fixture(scope="module")
def victim() -> Iterator[StackUnderTest]:
    """A stack that may be broken: the shared one has to stay healthy."""
    with running_stack() as stack:
        yield stack


def test_without_a_fault_nothing_is_wrong_and_nothing_overtakes(
    victim: StackUnderTest, seed: int
) -> None:
    result = run(victim, [], seed)

    assert result.wrong == []
    assert result.accepted > 100
    assert order_findings(Stores(victim.database_url, victim.clickhouse_url, victim.kafka)) == []


@pytest.mark.parametrize("number", range(RUNS))
def test_nothing_is_lost_doubled_or_invented_whatever_dies(
    victim: StackUnderTest, seed: int, number: int
) -> None:
    faults, own_seed = list(plan(FAULTS, seed, RUNS))[number]
    result = run(victim, faults, own_seed)
    sys.stdout.write(f"python -m tests.chaos --runs {RUNS} --seed {seed}: {result}\n")

    assert result.wrong == []
    assert result.accepted > 50
    assert result.bets_again_s is not None
