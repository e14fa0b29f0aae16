"""GET /api/bets/{userId} on a real database: newest first, page by page, nothing twice."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.load_function import HttpAnswer, http_caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.postgres import BettingDatabase

pytestmark = pytest.mark.integration

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def call(database: BettingDatabase) -> Callable[..., HttpAnswer]:
    return http_caller("list_user_bets")


@pytest.fixture(scope="module")
def bettor(database: BettingDatabase) -> str:
    """A user with 7 bets of 1.00 … 7.00 on a game of its own, the last of them closed since."""
    user, game = database.new_user("100.00"), database.new_game()
    place = http_caller("place_bet")
    for amount in range(1, 8):
        body = {"userId": user, "gameId": game, "amount": amount, "betType": "draw", "odds": 1.5}
        assert place("POST", "/api/bet", body=body).status == 200
    database.query("UPDATE games SET status = 'closed' WHERE id = %s", [game])
    return user


def page(call: Callable[..., HttpAnswer], user: str, **query: object) -> dict[str, Any]:
    answer = call("GET", f"/api/bets/{user}", query=query)
    assert answer.status == 200, answer.text
    told: dict[str, Any] = answer.json
    return told


def amounts(told: dict[str, Any]) -> list[int]:
    return [int(bet["amount"]) for bet in told["bets"]]


def test_a_page_is_as_the_contract_says(call: Callable[..., HttpAnswer], bettor: str) -> None:
    told = page(call, bettor)
    assert list(told) == ["userId", "bets", "pagination"]
    assert told["userId"] == bettor
    assert told["pagination"] == {"limit": 50, "offset": 0, "total": 7, "nextCursor": None}
    assert amounts(told) == [7, 6, 5, 4, 3, 2, 1]
    newest = told["bets"][0]
    assert {"gameName", "gameType", "gameStatus"} <= newest.keys()
    assert (newest["gameName"], newest["gameType"]) == ("A vs B", "football")
    assert newest["gameStatus"] == "closed"
    assert (newest["betType"], newest["betValue"]) == ("draw", None)
    assert (newest["odds"], newest["potentialWin"]) == (Decimal("1.50"), Decimal("10.50"))


def test_money_has_two_decimals(call: Callable[..., HttpAnswer], bettor: str) -> None:
    text = call("GET", f"/api/bets/{bettor}", query={"limit": 1}).text
    assert '"amount":7.00,' in text
    assert '"odds":1.50,' in text


def test_pages_by_offset(call: Callable[..., HttpAnswer], bettor: str) -> None:
    assert amounts(page(call, bettor, limit=3)) == [7, 6, 5]
    assert amounts(page(call, bettor, limit=3, offset=3)) == [4, 3, 2]
    last = page(call, bettor, limit=3, offset=6)
    assert amounts(last) == [1]
    assert last["pagination"] == {"limit": 3, "offset": 6, "total": 7, "nextCursor": None}
    assert amounts(page(call, bettor, offset=100_000)) == []


def test_pages_by_cursor(call: Callable[..., HttpAnswer], bettor: str) -> None:
    seen: list[int] = []
    told = page(call, bettor, limit=3)
    for _ in range(5):
        seen += amounts(told)
        cursor = told["pagination"]["nextCursor"]
        if cursor is None:
            break
        told = page(call, bettor, limit=3, cursor=cursor)
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    assert told["pagination"]["total"] == 7


def test_a_cursor_neither_repeats_nor_misses_while_bets_arrive(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user, place = database.new_user("100.00"), http_caller("place_bet")

    def bet(amount: int) -> None:
        body = {"userId": user, "gameId": game, "amount": amount, "betType": "win", "odds": 2}
        assert place("POST", "/api/bet", body=body).status == 200

    game = database.new_game()
    for amount in (1, 2, 3, 4):
        bet(amount)
    first = page(call, user, limit=2)
    bet(5)
    second = page(call, user, limit=2, cursor=first["pagination"]["nextCursor"])
    assert amounts(first) + amounts(second) == [4, 3, 2, 1]


def test_bets_of_one_moment_are_all_listed_once(
    call: Callable[..., HttpAnswer], database: BettingDatabase, bettor: str
) -> None:
    database.query("UPDATE bets SET created_at = '2026-01-01' WHERE user_id = %s", [bettor])
    told = page(call, bettor, limit=2)
    seen = amounts(told)
    while cursor := told["pagination"]["nextCursor"]:
        told = page(call, bettor, limit=2, cursor=cursor)
        seen += amounts(told)
    assert seen == [7, 6, 5, 4, 3, 2, 1]  # by id, which follows time


def test_a_user_without_bets_has_an_empty_page(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    told = page(call, database.new_user())
    assert told["bets"] == []
    assert told["pagination"] == {"limit": 50, "offset": 0, "total": 0, "nextCursor": None}


def test_the_largest_page_is_200_bets(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user, game = database.new_user("0.00"), database.new_game()
    database.query(
        "INSERT INTO bets (user_id, game_id, transaction_id, amount, odds, potential_win, bet_type)"
        " SELECT %s, %s, uuidv7(), 1, 2, 2, 'win' FROM generate_series(1, 201)",
        [user, game],
    )
    told = page(call, user, limit=200)
    assert len(told["bets"]) == 200
    assert len(page(call, user, limit=200, cursor=told["pagination"]["nextCursor"])["bets"]) == 1
    database.query("DELETE FROM bets WHERE user_id = %s", [user])


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"limit": 0}, "/limit"),
        ({"limit": 201}, "/limit"),
        ({"limit": "many"}, "/limit"),
        ({"limit": ""}, "/limit"),
        ({"limit": "1e2"}, "/limit"),
        ({"offset": -1}, "/offset"),
        ({"offset": 100_001}, "/offset"),
        ({"offset": "9" * 5_000}, "/offset"),
        ({"offset": "NaN"}, "/offset"),
        ({"cursor": ""}, "/cursor"),
        ({"cursor": "x" * 65}, "/cursor"),
        ({"cursor": "\0"}, "/cursor"),
        ({"cursor": "' OR 1=1 --"}, "/cursor"),
        ({"cursor": "A" * 32, "offset": 1}, "/cursor"),
    ],
)
def test_a_page_that_makes_no_sense_is_422(
    query: dict[str, object], pointer: str, call: Callable[..., HttpAnswer], bettor: str
) -> None:
    answer = call("GET", f"/api/bets/{bettor}", query=query)
    assert (answer.status, answer.json["code"]) == (422, "validation_failed")
    assert [fault["pointer"] for fault in answer.json["errors"]] == [pointer]


def test_an_unknown_user_is_404_and_no_uuid_is_422(call: Callable[..., HttpAnswer]) -> None:
    assert call("GET", f"/api/bets/{UNKNOWN}").json["code"] == "user_not_found"
    assert call("GET", "/api/bets/nobody").status == 422
    assert call("GET", "/api/bets/").status == 404
