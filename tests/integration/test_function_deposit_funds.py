"""POST /api/wallets/{userId}/deposits on a real database."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from tests.support.load_function import HttpAnswer, http_caller
from tests.support.postgres import BettingDatabase, behind_one_lock

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def call(database: BettingDatabase) -> Callable[..., HttpAnswer]:
    return http_caller("deposit_funds")


def deposit(call: Callable[..., HttpAnswer], user: str, body: object, **more: Any) -> HttpAnswer:
    return call("POST", f"/api/wallets/{user}/deposits", body=body, **more)


def test_a_deposit_is_answered_as_the_contract_says_and_is_in_the_books(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user("1.00")
    answer = deposit(call, user, '{"amount":12.345}')
    assert answer.status == 200
    assert list(answer.json) == ["transactionId", "newBalance"]
    assert '"newBalance":13.35' in answer.text
    assert UUID(answer.json["transactionId"]).version == 7
    entries = database.query(
        "SELECT type, amount, balance_before, balance_after, bet_id FROM wallet_transactions"
        " WHERE id = %s",
        [answer.json["transactionId"]],
    )
    money = [Decimal("12.35"), Decimal("1.00"), Decimal("13.35")]
    assert entries == [("deposit", *money, None)]
    assert database.balance(user) == Decimal("13.35")
    assert database.audit() == []


@pytest.mark.parametrize(
    ("amount", "added"), [("0.005", "0.01"), ("1000000", "1000000"), ("1000000.004", "1000000")]
)
def test_deposits_at_the_limits_are_taken(
    amount: str, added: str, call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user("0.00")
    assert deposit(call, user, f'{{"amount":{amount}}}').json["newBalance"] == Decimal(added)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"amount":0.004}', 422),
        ('{"amount":0}', 422),
        ('{"amount":-1}', 422),
        ('{"amount":1000000.005}', 422),
        ('{"amount":NaN}', 422),
        ('{"amount":1e400}', 422),
        ('{"amount":"1"}', 422),
        ('{"amount":true}', 422),
        ('{"amount":1,"currency":"USD"}', 422),
        ("{}", 422),
        ("", 400),
        ("[1]", 400),
        ('{"amount":1,"amount":1}', 400),
    ],
)
def test_a_deposit_that_makes_no_sense_is_refused_and_changes_nothing(
    body: str, status: int, call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    assert_refused(call, database, database.new_user(), body, status)


@pytest.mark.parametrize("user", ["nobody", "1", "%00", "%F0%9F%8E%B2", "a'b", UNKNOWN[:-1]])
def test_a_user_that_is_no_uuid_is_422(
    user: str, call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    told = assert_refused(call, database, user, '{"amount":1}', 422)
    assert told["errors"] == [{"pointer": "/userId", "message": "must be a UUID"}]


def test_an_unknown_user_is_404(call: Callable[..., HttpAnswer], database: BettingDatabase) -> None:
    assert assert_refused(call, database, UNKNOWN, '{"amount":1}', 404)["code"] == "user_not_found"


@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_a_user_who_is_not_active_is_409(
    status: str, call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user(status=status)
    assert assert_refused(call, database, user, '{"amount":1}', 409)["code"] == "user_not_active"


def test_a_balance_stays_below_its_limit(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user("999999999999.00")
    told = assert_refused(call, database, user, '{"amount":1}', 409)
    assert told["code"] == "balance_limit_reached"
    assert told["currentBalance"] == Decimal("999999999999.00")
    assert deposit(call, user, '{"amount":0.99}').status == 200


def test_deposits_at_once_stay_below_the_limit(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user("999999999998.00")
    answers = behind_one_lock(database, user, 5, lambda _: deposit(call, user, '{"amount":1}'))
    told = sorted(
        (answer.status, answer.json.get("newBalance", answer.json.get("currentBalance")))
        for answer in answers
    )
    full = Decimal("999999999999.00")
    assert told == [(200, full)] + [(409, full)] * 4


def test_deposits_at_once_all_count(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user("0.00")
    answers = behind_one_lock(database, user, 20, lambda _: deposit(call, user, '{"amount":0.1}'))
    balances = sorted(answer.json["newBalance"] for answer in answers)
    assert balances == [Decimal(n) / 10 for n in range(1, 21)]
    assert database.balance(user) == Decimal("2.00")
    assert database.audit() == []


def assert_refused(
    call: Callable[..., HttpAnswer],
    database: BettingDatabase,
    user: str,
    body: str,
    status: int,
) -> dict[str, Any]:
    """It is refused so, with a key and without, and not a row changes."""
    before = database.rows_in_all_tables()
    told: dict[str, Any] = {}
    for headers in ({}, {"idempotency-key": str(uuid4())}):
        answer = deposit(call, user, body, headers=headers)
        assert answer.status == status, answer.text
        told = answer.json
    assert database.rows_in_all_tables() == before
    return told
