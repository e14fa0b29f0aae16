"""One run: a steady load, a fault in the middle of it, the way back, and the checker's verdict."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg

from tests.chaos.checker import Stores, all_arrived, arrived_before, findings
from tests.chaos.clients import Customers
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.chaos.clients import Journal
    from tests.chaos.faults import Fault
    from tests.support.stack import StackUnderTest

RATE = 200.0
BEFORE_S, AFTER_S = 2.0, 3.0
USERS = 40
ARRIVED_S = 90
SETTLE_S = 20


@dataclass(frozen=True, slots=True)
class Result:
    """What a run showed. Seconds are counted from the moment that the part was back."""

    fault: str
    accepted: int
    refused: int
    unknown: int
    bets_again_s: float | None
    arrived_s: float
    wrong: list[str]


class Load:
    """Customers in a thread of their own, with an event loop of their own."""

    def __init__(self, url: str, stores: Stores, seed: int, rate: float = RATE) -> None:
        chance = random.Random(seed)
        users = [
            new_user(stores, chance.choice([20, 2_000, 100_000, 100_000])) for _ in range(USERS)
        ]
        games = [str(row[0]) for row in stores.rows("SELECT id FROM games WHERE status = 'open'")]
        self._customers = Customers(url, users, games, rate=rate, seed=seed)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._customers.run()))

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._customers.stop()
        self._thread.join()

    @property
    def journal(self) -> Journal:
        """What the customers were told so far."""
        return self._customers.journal


def new_user(stores: Stores, balance: int) -> str:
    """A customer with money that came by a deposit; some have too little for all they want."""
    user_id = str(uuid.uuid4())
    with psycopg.connect(stores.database_url) as connection:
        connection.execute(
            "INSERT INTO users (id, username, email, first_name, last_name)"
            " VALUES (%s, %s, %s, 'Chaos', 'Customer')",
            [user_id, user_id, user_id],
        )
        connection.execute(
            "INSERT INTO wallets (user_id, balance) VALUES (%s, %s)", [user_id, balance]
        )
        connection.execute(
            "INSERT INTO wallet_transactions"
            " (user_id, type, amount, balance_before, balance_after)"
            " VALUES (%s, 'deposit', %s, 0, %s)",
            [user_id, balance, balance],
        )
    return user_id


def run(stack: StackUnderTest, faults: Sequence[Fault], seed: int) -> Result:
    """Inflict these faults one after the other under load, and check everything at the end."""
    stores = Stores(stack.database_url, stack.clickhouse_url, stack.kafka)
    chance = random.Random(seed)
    with Load(stack.http_url, stores, seed) as load:
        _wait(BEFORE_S)
        for fault in faults:
            _wait(chance.random())
            fault.inflict(stack, chance)
        back, back_at = time.monotonic(), datetime.now(UTC)
        wait_until(lambda: arrived_before(stores, back_at), ARRIVED_S, "what was placed arrives")
        arrived_s = time.monotonic() - back
        _wait(AFTER_S)
    wait_until(lambda: all_arrived(stores), ARRIVED_S, "every bet is in ClickHouse")
    wrong = findings(load.journal, stores)
    until = time.monotonic() + SETTLE_S
    while wrong and time.monotonic() < until:  # aggregates are mended after their table
        _wait(1)
        wrong = findings(load.journal, stores)
    told = load.journal.told
    first = load.journal.first_success_after(back)
    return Result(
        fault=" + ".join(fault.name for fault in faults),
        accepted=len(load.journal.accepted()),
        refused=sum(1 for each in told if each.outcome == "refused"),
        unknown=sum(1 for each in told if each.outcome == "unknown"),
        bets_again_s=None if first is None else round(first - back, 2),
        arrived_s=round(arrived_s, 2),
        wrong=wrong,
    )


def plan(faults: Sequence[Fault], seed: int, count: int) -> Iterator[tuple[list[Fault], int]]:
    """`count` runs of one to three faults at random, each with a seed of its own."""
    chance = random.Random(seed)
    for _ in range(count):
        yield chance.sample(list(faults), chance.choice([1, 1, 2, 3])), chance.randrange(10**6)


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)
