"""Whatever is asked for in whatever order, the books say what a ledger on paper would say."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.load_function import HttpAnswer, http_caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.postgres import BettingDatabase

pytestmark = pytest.mark.integration

GAME = "f783c034-82a0-4da5-b94a-06662871f974"
CENT = Decimal("0.01")

AMOUNTS = st.decimals("0.001", "40", places=3)
KEYS = st.sampled_from([None, "a", "b"])
REQUESTS = st.tuples(st.sampled_from(["bet", "deposit"]), AMOUNTS, KEYS)


@dataclass
class Paper:
    """A wallet on paper: what each request must be answered, worked out without a database."""

    balance: Decimal
    bets: int = 0
    answers: dict[tuple[str, str], tuple[Decimal, Decimal]] = field(default_factory=dict)

    def expect(self, kind: str, sent: Decimal, key: str | None) -> tuple[int, Decimal | None]:
        """The status, and the balance that the answer tells (None if it tells none)."""
        amount = sent.quantize(CENT, ROUND_HALF_UP)
        if not amount:
            return 422, None
        if key is not None and (kind, key) in self.answers:
            first_amount, told = self.answers[kind, key]
            return (200, told) if amount == first_amount else (422, None)
        if kind == "bet" and amount > self.balance:
            return 409, self.balance
        self.balance += -amount if kind == "bet" else amount
        self.bets += kind == "bet"
        if key is not None:
            self.answers[kind, key] = amount, self.balance
        return 200, self.balance


@pytest.fixture(scope="module")
def place_bet(database: BettingDatabase) -> Callable[..., HttpAnswer]:
    return http_caller("place_bet")


@pytest.fixture(scope="module")
def deposit_funds(database: BettingDatabase) -> Callable[..., HttpAnswer]:
    return http_caller("deposit_funds")


@settings(max_examples=40, deadline=None)
@given(st.lists(REQUESTS, max_size=12))
def test_the_books_say_what_a_ledger_on_paper_says(
    place_bet: Callable[..., HttpAnswer],
    deposit_funds: Callable[..., HttpAnswer],
    database: BettingDatabase,
    requests: list[tuple[str, Decimal, str | None]],
) -> None:
    user, paper = database.new_user("50.00"), Paper(Decimal("50.00"))
    for kind, amount, key in requests:
        headers = {} if key is None else {"Idempotency-Key": key}
        if kind == "bet":
            body = f'{{"userId":"{user}","gameId":"{GAME}","betType":"win","odds":2,"amount":{amount}}}'
            answer = place_bet("POST", "/api/bet", body=body, headers=headers)
        else:
            path, body = f"/api/wallets/{user}/deposits", f'{{"amount":{amount}}}'
            answer = deposit_funds("POST", path, body=body, headers=headers)
        told = answer.json.get("newBalance", answer.json.get("currentBalance"))
        assert (answer.status, told) == paper.expect(kind, amount, key)
    assert database.balance(user) == paper.balance
    assert database.bet_count(user) == paper.bets
    assert database.value("SELECT count(*) FROM outbox WHERE key = %s", [user]) == paper.bets
    assert database.audit() == []
