"""Money under concurrency: no wallet below zero, no key debits twice, every refusal tells the truth."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from threading import Barrier
from typing import TYPE_CHECKING, LiteralString
from uuid import uuid4

import psycopg
import pytest

from tests.support.described import check, content
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import httpx

    from tests.support.betting import Platform

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def _audited(platform: Platform) -> Iterator[None]:
    yield
    platform.audit()


def at_once(calls: Sequence[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    """Answers to all of these requests, which leave at the same moment.

    A busy machine may say 429 to so many; a client then does what `Retry-After` says. Nothing has
    happened by then, so it costs no test its meaning.
    """
    barrier = Barrier(len(calls))

    def answer_to(call: Callable[[], httpx.Response]) -> httpx.Response:
        barrier.wait(timeout=30)
        answers: list[httpx.Response] = []

        def taken() -> bool:
            answers.append(call())
            return answers[-1].status_code != 429

        wait_until(taken, 60, "somebody has time for the request", interval_s=0.2)
        return answers[-1]

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(answer_to, calls))


def statuses(answers: Sequence[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def without_time(answer: httpx.Response) -> dict[str, object]:
    """An answer but for `processingTime`, the only thing in which a replay may differ."""
    return {name: value for name, value in content(answer).items() if name != "processingTime"}


def test_of_fifty_bets_at_once_a_wallet_for_ten_pays_ten(platform: Platform) -> None:
    user = platform.new_user("105.00")

    answers = at_once([partial(platform.bet, user, "10.50")] * 50)

    assert statuses(answers) == {200: 10, 409: 40}
    balances = sorted(content(a)["newBalance"] for a in answers if a.status_code == 200)
    assert balances == [Decimal("10.50") * number for number in range(10)]
    for refusal in (a for a in answers if a.status_code == 409):
        check(refusal, "POST", "/api/bet")
        assert content(refusal)["code"] == "insufficient_funds"
        assert '"currentBalance":0.00' in refusal.text
    assert platform.balance(user) == Decimal("0.00")
    assert platform.row(
        "SELECT count(*), sum(amount), min(balance_after), count(DISTINCT balance_after)"
        " FROM wallet_transactions WHERE user_id = %s AND type = 'bet'",
        [user],
    ) == (10, Decimal("105.00"), Decimal("0.00"), 10)
    assert platform.row("SELECT count(*) FROM bets WHERE user_id = %s", [user]) == (10,)


def test_every_refusal_tells_a_balance_that_was_there_and_too_small(platform: Platform) -> None:
    user = platform.new_user("100.00")
    stakes = [f"{3 + number % 25}.{number % 100:02}" for number in range(50)]

    answers = at_once([partial(platform.bet, user, stake) for stake in stakes])

    assert set(statuses(answers)) == {200, 409}
    ledger = platform.rows(
        "SELECT balance_before, balance_after FROM wallet_transactions WHERE user_id = %s", [user]
    )
    balances = {balance for row in ledger for balance in row}
    for stake, answer in zip(stakes, answers, strict=True):
        if answer.status_code == 409:
            told = content(answer)["currentBalance"]
            assert told in balances
            assert told < Decimal(stake)


@pytest.mark.parametrize("affords", [1, 10], ids=["affords one", "affords ten"])
@pytest.mark.parametrize("game", ["same key", "same key, then again"])
def test_a_key_sent_twenty_times_at_once_debits_once(
    platform: Platform, affords: int, game: str
) -> None:
    user, key = platform.new_user(f"{affords * 10}.00"), str(uuid4())

    answers = at_once([partial(platform.bet, user, "10.00", key)] * 20)
    if game.endswith("again"):
        answers += at_once([partial(platform.bet, user, "10.00", key)] * 5)

    assert statuses(answers) == {200: len(answers)}
    assert all(without_time(answer) == without_time(answers[0]) for answer in answers)
    replayed = Counter(answer.headers.get("Idempotent-Replayed") for answer in answers)
    assert replayed == {None: 1, "true": len(answers) - 1}
    assert platform.balance(user) == Decimal(10 * (affords - 1))
    assert platform.row("SELECT count(*) FROM bets WHERE user_id = %s", [user]) == (1,)


def test_keys_of_their_own_are_bets_of_their_own(platform: Platform) -> None:
    user = platform.new_user("10.00")

    answers = at_once([partial(platform.bet, user, "1.00", key) for key in "abcdefghijkl"])

    assert statuses(answers) == {200: 10, 409: 2}
    assert platform.balance(user) == Decimal("0.00")


def test_two_requests_that_share_a_key_are_never_both_carried_out(platform: Platform) -> None:
    user, key = platform.new_user("100.00"), str(uuid4())

    answers = at_once([partial(platform.bet, user, amount, key) for amount in ("1", "2") * 10])

    assert statuses(answers) == {200: 10, 422: 10}
    refusals = [content(answer) for answer in answers if answer.status_code == 422]
    assert {refusal["code"] for refusal in refusals} == {"idempotency_key_reused"}
    assert len({answer.json()["betId"] for answer in answers if answer.status_code == 200}) == 1
    assert platform.balance(user) in (Decimal("99.00"), Decimal("98.00"))


def test_a_deposit_key_sent_twenty_times_at_once_credits_once(platform: Platform) -> None:
    user, key = platform.new_user(), str(uuid4())

    answers = at_once([partial(platform.deposit, user, "7.25", key)] * 20)

    assert statuses(answers) == {200: 20}
    assert len({answer.text for answer in answers}) == 1
    assert platform.balance(user) == Decimal("7.25")


def test_bets_and_deposits_at_once_add_up(platform: Platform) -> None:
    users = [platform.new_user("5.00") for _ in range(4)]
    calls = [partial(platform.bet, user, "3.00") for user in users for _ in range(6)]
    calls += [partial(platform.deposit, user, "1.50") for user in users for _ in range(4)]

    answers = at_once(calls)

    assert set(statuses(answers)) <= {200, 409}
    for user in users:
        placed, deposited = platform.row(
            "SELECT count(*) FILTER (WHERE type = 'bet'),"
            " count(*) FILTER (WHERE type = 'deposit' AND amount = 1.50)"
            " FROM wallet_transactions WHERE user_id = %s",
            [user],
        )
        assert deposited == 4
        assert platform.balance(user) == 5 + deposited * Decimal("1.50") - 3 * placed


def while_the_wallet_moves(
    platform: Platform, user: str, amount: str, call: Callable[[], httpx.Response]
) -> httpx.Response:
    """The answer to a request that had to wait while `amount` came into the wallet, or left it."""
    kind = "deposit" if Decimal(amount) > 0 else "withdrawal"
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND application_name IN ('PlaceBet', 'DepositFunds')"
    )
    with (
        ThreadPoolExecutor(1) as background,
        psycopg.connect(platform.stack.database_url) as mover,
    ):
        mover.execute(
            "WITH moved AS (UPDATE wallets SET balance = balance + %(amount)s"
            "  WHERE user_id = %(user)s RETURNING balance)"
            " INSERT INTO wallet_transactions"
            "  (user_id, type, amount, balance_before, balance_after, created_at)"
            " SELECT %(user)s, %(kind)s, abs(%(amount)s), balance - %(amount)s, balance,"
            "  clock_timestamp() FROM moved",
            {"user": user, "kind": kind, "amount": Decimal(amount)},
        )
        answer = background.submit(call)
        wait_until(lambda: platform.row(waiting) == (1,), 30, "the request waits for the wallet")
        mover.commit()
        return answer.result()


def test_a_bet_that_waited_for_a_deposit_may_spend_it(platform: Platform) -> None:
    user = platform.new_user("2.00")

    answer = while_the_wallet_moves(platform, user, "1.50", partial(platform.bet, user, "3.00"))

    assert answer.status_code == 200, answer.text
    assert content(answer)["newBalance"] == Decimal("0.50")


def test_a_bet_that_waited_for_a_withdrawal_is_refused_on_what_is_left(platform: Platform) -> None:
    user = platform.new_user("3.00")

    answer = while_the_wallet_moves(platform, user, "-0.01", partial(platform.bet, user, "3.00"))

    assert answer.status_code == 409, answer.text
    assert content(answer)["currentBalance"] == Decimal("2.99")


def test_a_deposit_that_waited_for_a_withdrawal_may_fill_the_wallet(platform: Platform) -> None:
    user = platform.new_user("999999999999.99")

    answer = while_the_wallet_moves(
        platform, user, "-1.00", partial(platform.deposit, user, "1.00")
    )

    assert answer.status_code == 200, answer.text
    assert content(answer)["newBalance"] == Decimal("999999999999.99")


def test_no_bet_slips_past_the_closing_of_its_game(platform: Platform) -> None:
    user, game = platform.new_user("1000.00"), str(uuid4())
    platform.row(
        "INSERT INTO games (id, name, type, starts_at)"
        " VALUES (%s, 'Closing', 'tennis', now() + interval '1 day') RETURNING id",
        [game],
    )
    on_this_game: LiteralString = "SELECT count(*) FROM bets WHERE game_id = %s"
    calls = [partial(platform.bet, user, "1.00", gameId=game)] * 40

    with ThreadPoolExecutor(1) as background:
        bets = background.submit(at_once, calls)
        wait_until(lambda: platform.row(on_this_game, [game]) > (0,), 30, "the first bet is there")
        platform.row("UPDATE games SET status = 'closed' WHERE id = %s RETURNING id", [game])
        at_closing = platform.row(on_this_game, [game])
        answers = bets.result()

    assert platform.row(on_this_game, [game]) == at_closing
    assert statuses(answers)[200] == at_closing[0]
    refusals = [content(answer)["code"] for answer in answers if answer.status_code != 200]
    assert set(refusals) <= {"game_not_open"}


def test_the_demo_data_is_audited(platform: Platform) -> None:
    assert platform.row(
        "SELECT count(*), min(balance), max(balance) FROM wallets JOIN users ON id = user_id"
        " WHERE username LIKE 'load_user_%%'"
    ) == (1000, Decimal("1000000.00"), Decimal("1000000.00"))
    platform.audit()
