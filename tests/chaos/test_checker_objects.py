"""The checker can fail: a platform that was broken on purpose is found out."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chaos.checker import Stores, findings, order_findings
from tests.chaos.faults import repeat_deliveries, stop_part
from tests.chaos.runs import Load
from tests.support.stack import REPOSITORY, running_stack
from tests.support.wait import wait_until

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.support.stack import StackUnderTest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

PARTS = ("local-stack", "shared", "functions", "nginx", "pyproject.toml", "template.yaml")
# ReconcileBets would mend what the others broke before anybody looks.
RECONCILE_LATER = (
    "pyproject.toml",
    'ReconcileSchedule = "rate(5 seconds)"',
    'ReconcileSchedule = "rate(1 day)"',
)
SINK_REPEATS = [
    RECONCILE_LATER,
    (
        "shared/betting/sink_bet_events.py",
        "    stored = _look_up(unique.values(), deadline)\n",
        "    stored: list[_Stored] = []\n",
    ),
    (
        "shared/betting/sink_bet_events.py",
        "        token = _token([event.event_id for event in fresh])\n",
        "        token = UUID(int=int(deadline.at_s * 1_000_000_000))\n",
    ),
]
RELAY_TURNS_AROUND = [
    (
        "shared/betting/relay_outbox.py",
        "    published = kafka.publish([_record(row) for row in rows])\n",
        "    rows = rows[::-1]\n    published = kafka.publish([_record(row) for row in rows])\n",
    ),
]
WALLETS_UNGUARDED = [
    (
        "shared/betting/bets.py",
        "        AND wallet.balance >= %(amount)s::numeric\n",
        "",
    ),
    (
        "shared/migrations/postgres/0001.users-games-and-wallets.sql",
        "CHECK (balance >= 0 AND balance < 1000000000000)",
        "CHECK (balance < 1000000000000)",
    ),
]


@contextmanager
def broken_stack(changes: list[tuple[str, str, str]]) -> Iterator[StackUnderTest]:
    """A stack that runs from a copy of the checkout with `changes` made to it."""
    with tempfile.TemporaryDirectory(prefix="broken-") as folder:
        copy = Path(folder)
        for name in PARTS:
            source = REPOSITORY / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
        for name, old, new in changes:
            text = (copy / name).read_text()
            assert text.count(old) == 1, f"{name} no longer has: {old}"
            (copy / name).write_text(text.replace(old, new))
        with running_stack(copy, PYTHONPATH=str(copy / "local-stack")) as stack:
            yield stack


def _stores(stack: StackUnderTest) -> Stores:
    return Stores(stack.database_url, stack.clickhouse_url, stack.kafka)


def _settled(stores: Stores) -> bool:
    ((waiting,),) = stores.rows("SELECT count(*) FROM outbox")
    return bool(waiting == 0)


def test_a_sink_that_stores_what_it_has_is_found_out(rng: random.Random) -> None:
    with broken_stack(SINK_REPEATS) as stack:
        stores = _stores(stack)
        with Load(stack.http_url, stores, seed=1) as load:
            wait_until(lambda: len(load.journal.accepted()) > 300, 60, "bets were placed")
        wait_until(lambda: _settled(stores), 30, "the outbox is empty")
        repeat_deliveries(stack, rng)

        found = findings(load.journal, stores)

    assert any(finding.startswith("a bet is in ClickHouse twice") for finding in found)
    assert any(finding.startswith("bets_hourly says") for finding in found)


def test_a_relay_that_turns_batches_around_is_found_out(rng: random.Random) -> None:
    with broken_stack(RELAY_TURNS_AROUND) as stack:
        stores = _stores(stack)
        with Load(stack.http_url, stores, seed=2) as load:
            wait_until(load.journal.accepted, 60, "bets were placed")
            stop_part("event-sources", 2.0).inflict(stack, rng)  # so that a batch gathers
        wait_until(lambda: _settled(stores), 30, "the outbox is empty")

        found = order_findings(stores)

    assert any(finding.startswith("an event overtook another") for finding in found)


def test_wallets_without_a_guard_are_found_out() -> None:
    with broken_stack(WALLETS_UNGUARDED) as stack:
        stores = _stores(stack)
        with Load(stack.http_url, stores, seed=3) as load:
            wait_until(lambda: len(load.journal.accepted()) > 300, 60, "bets were placed")

        found = findings(load.journal, stores)

    assert any(finding.startswith("a balance is below zero") for finding in found)
