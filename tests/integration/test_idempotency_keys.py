"""A request that is repeated, at once or later, moves money once and is answered alike."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

from shared import idempotency
from shared.betting.deposit_funds import DepositFunds
from shared.errors import PostgresUnavailable
from shared.idempotency import RequestKey, delete_expired
from shared.postgres import connection
from tests.support.load_function import HttpAnswer, http_caller
from tests.support.postgres import BettingDatabase, Forked, behind_one_lock
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration

GAME = "f783c034-82a0-4da5-b94a-06662871f974"
REPEATS = 20


@pytest.fixture(autouse=True)
def _no_sweep_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "SWEEP_EVERY", 10**9)


@pytest.fixture(scope="module")
def place_bet(database: BettingDatabase) -> Callable[..., HttpAnswer]:
    return http_caller("place_bet")


@pytest.fixture(scope="module")
def deposit_funds(database: BettingDatabase) -> Callable[..., HttpAnswer]:
    return http_caller("deposit_funds")


@pytest.fixture(params=["bet", "deposit"])
def send(
    request: pytest.FixtureRequest,
    place_bet: Callable[..., HttpAnswer],
    deposit_funds: Callable[..., HttpAnswer],
) -> Callable[..., HttpAnswer]:
    """Sends a request that moves 10 (or `amount`) of a user's money under a key."""

    def bet(user: str, key: str, amount: object = 10, **members: object) -> HttpAnswer:
        body = {"userId": user, "gameId": GAME, "amount": amount, "betType": "win", "odds": 2}
        return place_bet(
            "POST", "/api/bet", body={**body, **members}, headers={"Idempotency-Key": key}
        )

    def deposit(user: str, key: str, amount: object = 10) -> HttpAnswer:
        path = f"/api/wallets/{user}/deposits"
        return deposit_funds(
            "POST", path, body={"amount": amount}, headers={"Idempotency-Key": key}
        )

    return bet if request.param == "bet" else deposit


def new_key() -> str:
    return str(uuid4())


def essence(answer: HttpAnswer) -> dict[str, Any]:
    """The answer but for what may differ: how long it took."""
    assert answer.status == 200, answer.text
    return {name: value for name, value in answer.json.items() if name != "processingTime"}


def movements(database: BettingDatabase, user: str) -> int:
    """How often money moved, beside the deposit that the test began with."""
    return int(
        database.value("SELECT count(*) - 1 FROM wallet_transactions WHERE user_id = %s", [user])
    )


def test_a_repeated_key_replays_the_first_answer(
    send: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user, key = database.new_user(), new_key()
    first, second = send(user, key), send(user, key)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert essence(first) == essence(second)
    assert list(first.json) == list(second.json)
    assert movements(database, user) == 1
    assert database.audit() == []


def test_a_replay_tells_the_balance_of_then(
    send: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user, key = database.new_user(), new_key()
    first = send(user, key)
    send(user, new_key())
    assert essence(send(user, key)) == essence(first)


@pytest.mark.parametrize("balance", ["10.00", "100.00", "1000.00"])
def test_20_repeats_at_once_are_one_movement_and_20_equal_answers(
    balance: str, send: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user, key = database.new_user(balance), new_key()
    answers = behind_one_lock(database, user, REPEATS, lambda _: send(user, key))
    assert [answer.status for answer in answers] == [200] * REPEATS
    assert all(essence(answer) == essence(answers[0]) for answer in answers)
    replayed = [answer for answer in answers if "idempotent-replayed" in answer.headers]
    assert len(replayed) == REPEATS - 1
    assert movements(database, user) == 1
    assert database.audit() == []


def test_keys_of_many_requests_at_once_do_not_mix(
    place_bet: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user("40.00")
    body = {"userId": user, "gameId": GAME, "amount": 10, "betType": "win", "odds": 2}
    keys = [new_key() for _ in range(8)]

    def twice(index: int) -> HttpAnswer:
        headers = {"Idempotency-Key": keys[index // 2]}
        return place_bet("POST", "/api/bet", body=body, headers=headers)

    answers = behind_one_lock(database, user, 16, twice)
    pairs = [(answers[n], answers[n + 1]) for n in range(0, 16, 2)]
    accepted = [pair for pair in pairs if pair[0].status == 200 or pair[1].status == 200]
    assert len(accepted) == 4
    assert all(essence(one) == essence(other) for one, other in accepted)
    assert movements(database, user) == 4
    assert database.balance(user) == 0
    assert database.audit() == []


def test_a_replay_waits_for_nobody(
    send: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user, key = database.new_user(), new_key()
    first = send(user, key)
    with psycopg.connect(database.url) as other:
        other.execute("SELECT 1 FROM wallets WHERE user_id = %s FOR UPDATE", [user])
        assert essence(send(user, key)) == essence(first)


def test_a_key_with_another_body_is_refused(
    send: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user, key = database.new_user(), new_key()
    send(user, key)
    other = send(user, key, 11)
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    assert movements(database, user) == 1


def test_a_key_with_another_body_at_once_is_refused(
    send: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user, key = database.new_user(), new_key()
    answers = behind_one_lock(database, user, 10, lambda n: send(user, key, 10 + n))
    assert sorted(answer.status for answer in answers) == [200] + [422] * 9
    assert movements(database, user) == 1


def test_the_same_number_written_otherwise_is_the_same_request(
    place_bet: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user, key = database.new_user(), new_key()
    texts = ("10.5", "10.50", "1.05e1", "10.4999")
    frame = '{{"odds":2.0,"userId":"{}","gameId":"{}","betType":"win","amount":{}}}'
    answers = [
        place_bet(
            "POST",
            "/api/bet",
            body=frame.format(who, GAME, text),
            headers={"Idempotency-Key": key},
        )
        for who, text in zip((user, user.upper(), user, user), texts, strict=True)
    ]
    assert [answer.status for answer in answers] == [200] * 4
    assert movements(database, user) == 1


def test_a_key_belongs_to_its_user(
    send: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    one, two, key = database.new_user(), database.new_user(), new_key()
    send(one, key)
    assert "idempotent-replayed" not in send(two, key).headers


def test_a_key_belongs_to_its_route(
    place_bet: Callable[..., HttpAnswer],
    deposit_funds: Callable[..., HttpAnswer],
    database: BettingDatabase,
) -> None:
    user, headers = database.new_user(), {"Idempotency-Key": new_key()}
    path = f"/api/wallets/{user}/deposits"
    assert deposit_funds("POST", path, body={"amount": 1}, headers=headers).status == 200
    body = {"userId": user, "gameId": GAME, "amount": 1, "betType": "win", "odds": 2}
    assert place_bet("POST", "/api/bet", body=body, headers=headers).status == 200


def test_a_refusal_leaves_the_key_free(
    place_bet: Callable[..., HttpAnswer],
    deposit_funds: Callable[..., HttpAnswer],
    database: BettingDatabase,
) -> None:
    user, headers = database.new_user("5.00"), {"Idempotency-Key": new_key()}
    body = {"userId": user, "gameId": GAME, "amount": 8, "betType": "win", "odds": 2}
    refused = place_bet("POST", "/api/bet", body=body, headers=headers)
    assert (refused.status, refused.json["currentBalance"]) == (409, Decimal("5.00"))
    deposit_funds("POST", f"/api/wallets/{user}/deposits", body={"amount": 3})
    accepted = place_bet("POST", "/api/bet", body=body, headers=headers)
    assert (accepted.status, accepted.json["newBalance"]) == (200, 0)
    assert "idempotent-replayed" not in accepted.headers
    assert place_bet("POST", "/api/bet", body=body, headers=headers).status == 200


def test_a_replay_does_not_ask_whether_it_would_be_taken_today(
    place_bet: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user, game, headers = database.new_user(), database.new_game(), {"Idempotency-Key": new_key()}
    body = {"userId": user, "gameId": game, "amount": 8, "betType": "win", "odds": 2}
    first = place_bet("POST", "/api/bet", body=body, headers=headers)
    database.query("UPDATE games SET status = 'closed' WHERE id = %s", [game])
    database.query("UPDATE users SET status = 'suspended' WHERE id = %s", [user])
    assert essence(place_bet("POST", "/api/bet", body=body, headers=headers)) == essence(first)


def test_a_twin_that_keeps_running_is_told_after_the_lock_timeout(
    send: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user()
    with psycopg.connect(database.url) as twin:
        twin.execute("SELECT 1 FROM wallets WHERE user_id = %s FOR UPDATE", [user])
        began_s = time.monotonic()
        answer = send(user, new_key())
        waited_s = time.monotonic() - began_s
    assert (answer.status, answer.json["code"]) == (409, "request_in_progress")
    assert answer.headers["retry-after"] == "1"
    assert 1.9 < waited_s < 4
    assert movements(database, user) == 0


def test_a_twin_that_ends_in_time_is_waited_for(
    send: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user()
    with psycopg.connect(database.url) as twin:
        twin.execute("SELECT 1 FROM wallets WHERE user_id = %s FOR UPDATE", [user])
        waiting = Forked(lambda: send(user, "waits"))
        wait_until(
            lambda: database.query("SELECT 1 FROM pg_locks WHERE NOT granted"), 5, "it waits"
        )
    assert waiting.result().status == 200


def test_an_expired_key_can_be_used_again(
    send: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user, key = database.new_user(), new_key()
    first = send(user, key)
    lifetime = database.value(
        "SELECT expires_at - now() FROM idempotency_keys WHERE key = %s", [key]
    )
    assert 23.9 < lifetime.total_seconds() / 3600 <= 24
    expire(database, key)
    second = send(user, key, 11)
    assert second.status == 200
    assert essence(second) != essence(first)
    assert essence(send(user, key, 11)) == essence(second)
    assert movements(database, user) == 2


def test_repeats_at_once_on_an_expired_key_move_money_once(
    send: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user, key = database.new_user(), new_key()
    send(user, key)
    expire(database, key)
    answers = behind_one_lock(database, user, 8, lambda _: send(user, key))
    assert all(essence(answer) == essence(answers[0]) for answer in answers)
    assert movements(database, user) == 2


def test_expired_keys_are_deleted_in_bounded_batches(
    send: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user, keys = database.new_user(), [new_key() for _ in range(5)]
    for key in keys:
        send(user, key)
    for key in keys[:4]:
        expire(database, key)
    with connection() as conn:
        assert [delete_expired(conn, limit=3) for _ in range(3)] == [3, 1, 0]
    left = database.query("SELECT key FROM idempotency_keys WHERE user_id = %s", [user])
    assert left == [(keys[4],)]


def test_requests_sweep_up_what_expired(
    send: Callable[..., HttpAnswer], database: BettingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, old, new = database.new_user(), new_key(), new_key()
    send(user, old)
    expire(database, old)
    monkeypatch.setattr(idempotency, "SWEEP_EVERY", 1)
    send(user, new)
    left = database.query("SELECT key FROM idempotency_keys WHERE user_id = %s", [user])
    assert left == [(new,)]


def test_a_key_that_never_comes_to_rest_is_given_up(database: BettingDatabase) -> None:
    """Bounded: whatever the table does, a request looks at it a few times only."""
    attempts: list[int] = []

    class Known:
        accepted = False
        key_known = True

    def attempt() -> Known:
        attempts.append(1)
        return Known()

    key = RequestKey.of(str(uuid4()), "route", "key", DepositFunds(amount=Decimal("1.00")))
    with pytest.raises(PostgresUnavailable):
        idempotency.attempt_once(key, attempt)
    assert len(attempts) == idempotency.ROUNDS_MAX


def expire(database: BettingDatabase, key: str) -> None:
    """A day passes for this key."""
    database.query(
        "UPDATE idempotency_keys SET expires_at = now() - interval '1 second' WHERE key = %s",
        [key],
    )
