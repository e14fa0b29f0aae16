"""POST /api/bet on a real database: what it takes, what it refuses, and that no cent is lost."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest

from shared.betting.events import BET_EVENTS_TOPIC, REQUEST_ID_HEADER, decode_bet_event
from tests.support.load_function import HttpAnswer, http_caller
from tests.support.postgres import BettingDatabase, Forked, behind_one_lock, in_processes
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration

GAME = "f783c034-82a0-4da5-b94a-06662871f974"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def call(database: BettingDatabase) -> Callable[..., HttpAnswer]:
    return http_caller("place_bet")


def bet(user: str, amount: object = 10, **members: object) -> dict[str, object]:
    """A bet of this user."""
    return {
        "userId": user,
        "gameId": GAME,
        "amount": amount,
        "betType": "win",
        "betValue": "home",
        "odds": 2.5,
        **members,
    }


def place(call: Callable[..., HttpAnswer], body: object, **options: Any) -> HttpAnswer:
    return call("POST", "/api/bet", body=body, **options)


def test_an_accepted_bet_is_answered_as_the_contract_says(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user("1000.00")
    answer = place(call, bet(user, 10.5))
    assert answer.status == 200
    told = answer.json
    assert list(told) == [
        "betId",
        "status",
        "transactionId",
        "newBalance",
        "potentialWin",
        "processingTime",
    ]
    assert told["status"] == "accepted"
    assert '"newBalance":989.50,"potentialWin":26.25' in answer.text
    assert 0 < told["processingTime"]["database"] <= told["processingTime"]["total"] < 10_000
    assert UUID(told["betId"]).version == 7
    assert UUID(told["transactionId"]).version == 7


def test_an_accepted_bet_is_in_the_books(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user("1000.00")
    told = place(call, bet(user, 10.5, betValue="2-1 🎲", betType="exact_score")).json
    stored = database.query(
        "SELECT id::text, transaction_id::text, game_id::text, amount, odds, potential_win,"
        " bet_type, bet_value, status FROM bets WHERE user_id = %s",
        [user],
    )
    money = [Decimal("10.50"), Decimal("2.50"), Decimal("26.25")]
    assert stored == [
        (told["betId"], told["transactionId"], GAME, *money, "exact_score", "2-1 🎲", "accepted")
    ]
    ledger = database.query(
        "SELECT id::text, bet_id::text, type, amount, balance_before, balance_after"
        " FROM wallet_transactions WHERE user_id = %s ORDER BY created_at DESC LIMIT 1",
        [user],
    )
    assert ledger == [
        (
            *(told["transactionId"], told["betId"], "bet"),
            *(Decimal("10.50"), Decimal("1000.00"), Decimal("989.50")),
        )
    ]
    assert database.balance(user) == Decimal("989.50")
    assert database.audit() == []


def test_an_accepted_bet_leaves_its_event_in_the_outbox(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user("1000.00")
    told = place(call, bet(user, 10.5, betValue=None), request_id="req-42").json
    rows = database.query(
        "SELECT topic, headers, payload FROM outbox WHERE key = %s ORDER BY id", [user]
    )
    assert len(rows) == 1
    topic, headers, payload = rows[0]
    assert topic == BET_EVENTS_TOPIC
    assert headers == {"content-type": "application/json", REQUEST_ID_HEADER: "req-42"}
    event = json.loads(payload)
    assert UUID(event.pop("eventId")).version == 7
    assert event.pop("occurredAt").endswith("+00:00")
    assert event == {
        "eventType": "bet.placed",
        "version": 1,
        "betId": told["betId"],
        "userId": user,
        "gameId": GAME,
        "amount": "10.50",
        "betType": "win",
        "betValue": None,
        "odds": "2.50",
        "potentialWin": "26.25",
        "transactionId": told["transactionId"],
        "newBalance": "989.50",
    }
    assert decode_bet_event(payload.encode()) is not None


def test_the_bet_and_its_event_tell_the_same_time(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user()
    place(call, bet(user))
    event = decode_bet_event(
        database.value("SELECT payload FROM outbox WHERE key = %s", [user]).encode()
    )
    assert event is not None
    assert event.occurred_at == database.value(
        "SELECT created_at FROM bets WHERE user_id = %s", [user]
    )


def test_a_bet_may_take_the_last_cent_but_not_one_more(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user("10.00")
    refused = place(call, bet(user, 10.01))
    assert (refused.status, refused.json["code"]) == (409, "insufficient_funds")
    assert '"currentBalance":10.00' in refused.text
    assert '"newBalance":0.00' in place(call, bet(user, 10)).text
    assert place(call, bet(user, 0.01)).json["currentBalance"] == 0


@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_a_user_who_is_not_active_is_refused(
    status: str, call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    assert_refused(call, database, bet(database.new_user(status=status)), 409, "user_not_active")


@pytest.mark.parametrize("status", ["closed", "settled"])
def test_a_game_that_is_not_open_is_refused(
    status: str, call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    wrong = bet(database.new_user(), gameId=database.new_game(status))
    assert_refused(call, database, wrong, 409, "game_not_open")


def test_unknown_users_and_games_are_refused(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user()
    assert_refused(call, database, bet(UNKNOWN), 404, "user_not_found")
    assert_refused(call, database, bet(user, gameId=UNKNOWN), 404, "game_not_found")
    assert_refused(call, database, bet(UNKNOWN, gameId=UNKNOWN), 404, "user_not_found")


RAW = '{{"userId":"31c13867-275d-4890-a097-5945199642e4","gameId":"' + GAME + '",{}}}'
REST = '"betType":"win","odds":2.5'


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        (f'"amount":NaN,{REST}', "/amount"),
        (f'"amount":Infinity,{REST}', "/amount"),
        (f'"amount":1e400,{REST}', "/amount"),
        (f'"amount":-1e400,{REST}', "/amount"),
        (f'"amount":1e-400,{REST}', "/amount"),
        (f'"amount":1e99999999999999999999,{REST}', "/amount"),
        (f'"amount":{"9" * 60_000},{REST}', "/amount"),
        (f'"amount":0,{REST}', "/amount"),
        (f'"amount":-5,{REST}', "/amount"),
        (f'"amount":0.004,{REST}', "/amount"),
        (f'"amount":100000.01,{REST}', "/amount"),
        (f'"amount":"10",{REST}', "/amount"),
        (f'"amount":true,{REST}', "/amount"),
        (f'"amount":null,{REST}', "/amount"),
        ('"amount":1,"betType":"win","odds":1.004', "/odds"),
        ('"amount":1,"betType":"win","odds":1000', "/odds"),
        ('"amount":1,"betType":"win","odds":NaN', "/odds"),
        ('"amount":1,"betType":"cheat","odds":2', "/betType"),
        (f'"amount":1,"betValue":"\\u0000",{REST}', "/betValue"),
        (f'"amount":1,"betValue":"\\ud800",{REST}', "/betValue"),
        (f'"amount":1,"betValue":"{"x" * 101}",{REST}', "/betValue"),
        (f'"amount":1,"betValue":7,{REST}', "/betValue"),
        (f'"amount":1,"extra":1,{REST}', "/extra"),
        (f'"amount":1,"\\ud800":1,{REST}', ""),
        (REST, "/amount"),
    ],
)
def test_an_invalid_bet_is_refused_and_changes_nothing(
    members: str, pointer: str, call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    told = assert_refused(call, database, RAW.format(members), 422, "validation_failed")
    assert [fault["pointer"] for fault in told["errors"]] == [pointer]
    assert all(fault["message"] for fault in told["errors"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        ('"bet"', 400),
        ("null", 400),
        (RAW.format(f'"amount":1,"amount":2,{REST}'), 400),
        (b"\xff\xfe", 400),
        ("[" * 60_000, 400),
        (RAW.format(f'"amount":{"9" * 1_000_000},{REST}'), 413),
    ],
)
def test_an_unreadable_body_is_refused_and_changes_nothing(
    body: object, status: int, call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    assert_refused(call, database, body, status)


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE bets; --", "%s %(amount)s", "{}", "\\", '"', "$1", "🎲", "é\u200b"]
)
def test_text_that_looks_like_code_is_only_text(
    text: str, call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user()
    assert place(call, bet(user, betValue=text)).status == 200
    assert database.value("SELECT bet_value FROM bets WHERE user_id = %s", [user]) == text
    payload = database.value("SELECT payload FROM outbox WHERE key = %s", [user])
    assert json.loads(payload)["betValue"] == text


def test_amounts_are_rounded_half_up_to_cents(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user("10.00")
    assert place(call, bet(user, 0.005)).json["newBalance"] == Decimal("9.99")
    assert place(call, bet(user, 1.005)).json["newBalance"] == Decimal("8.98")


def test_of_50_bets_on_a_wallet_for_10_exactly_10_are_accepted(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user("100.00")
    answers = behind_one_lock(database, user, 50, lambda _: place(call, bet(user, 10)))
    accepted = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status == 409]
    assert (len(accepted), len(refused)) == (10, 40)
    left = sorted(answer.json["newBalance"] for answer in accepted)
    assert left == [Decimal(10 * n) for n in range(10)]
    assert {answer.json["currentBalance"] for answer in refused} == {Decimal(0)}
    assert database.balance(user) == 0
    assert database.audit() == []


def test_every_refusal_tells_the_balance_it_was_refused_on(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user("100.00")
    # Of bets of 7 and 30, those of 30 are refused while there still is money: on what, exactly?
    answers = behind_one_lock(
        database, user, 50, lambda n: (n, place(call, bet(user, 30 if n % 2 else 7)))
    )
    balances = {
        row[0]
        for row in database.query(
            "SELECT balance_after FROM wallet_transactions WHERE user_id = %s", [user]
        )
    }
    final = database.balance(user)
    for number, answer in answers:
        if answer.status == 409:
            told = answer.json["currentBalance"]
            assert told < (30 if number % 2 else 7)
            assert told in balances
    # A bet of 7 is refused for good: the wallet held less than 7, and nothing was put in.
    assert {a.json["currentBalance"] for n, a in answers if a.status == 409 and not n % 2} <= {
        final
    }
    assert database.audit() == []


def test_a_refusal_after_waiting_tells_the_present_balance(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    """The other side of a race, one step at a time: the loser must not see the old balance."""
    user = database.new_user("10.00")
    with psycopg.connect(database.url) as winner:
        winner.execute("UPDATE wallets SET balance = balance - 4 WHERE user_id = %s", [user])
        winner.execute(
            "INSERT INTO wallet_transactions"
            " (user_id, type, amount, balance_before, balance_after)"
            " VALUES (%s, 'withdrawal', 4, 10, 6)",
            [user],
        )
        loser = Forked(lambda: place(call, bet(user, 8)))
        wait_until(
            lambda: database.query("SELECT 1 FROM pg_locks WHERE NOT granted"),
            5,
            "the bet waits for the wallet",
        )
    assert loser.result().json["currentBalance"] == Decimal("6.00")


def test_no_bet_slips_past_a_closing(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user, game = database.new_user(), database.new_game()
    with psycopg.connect(database.url) as closing:
        closing.execute("UPDATE games SET status = 'closed' WHERE id = %s", [game])
        late = Forked(lambda: place(call, bet(user, gameId=game)))
        wait_until(
            lambda: database.query("SELECT 1 FROM pg_locks WHERE NOT granted"),
            5,
            "the bet waits for the game",
        )
    assert late.result().json["code"] == "game_not_open"
    assert database.bet_count(user) == 0


def test_bets_of_many_users_at_once_are_all_accepted(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    users = [database.new_user("10.00") for _ in range(20)]
    answers = in_processes(20, lambda n: place(call, bet(users[n], 10)))
    assert [answer.status for answer in answers] == [200] * 20
    assert {answer.json["newBalance"] for answer in answers} == {Decimal(0)}


def test_bets_on_one_game_do_not_wait_for_each_other(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    game = database.new_game()
    with psycopg.connect(database.url) as other:
        other.execute("SELECT 1 FROM games WHERE id = %s FOR SHARE", [game])
        assert place(call, bet(database.new_user(), gameId=game)).status == 200


def test_an_accepted_bet_counts_and_logs_no_more(
    call: Callable[..., HttpAnswer],
    database: BettingDatabase,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place(call, bet(database.new_user()), request_id="req-43")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert json.loads(lines[0])["BetsAccepted"] == [1]
    assert json.loads(lines[0])["request_id"] == "req-43"


def assert_refused(
    call: Callable[..., HttpAnswer],
    database: BettingDatabase,
    body: object,
    status: int,
    code: str | None = None,
) -> dict[str, Any]:
    """It is refused so, with a key and without, and not a row changes."""
    before = database.rows_in_all_tables()
    told: dict[str, Any] = {}
    for headers in ({}, {"idempotency-key": str(uuid4())}):
        answer = place(call, body, headers=headers)
        assert answer.status == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json
        assert code is None or told["code"] == code
    assert database.rows_in_all_tables() == before
    return told
