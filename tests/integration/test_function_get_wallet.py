"""GET /api/wallets/{userId} on a real database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.support.load_function import HttpAnswer, http_caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.postgres import BettingDatabase

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def call(database: BettingDatabase) -> Callable[..., HttpAnswer]:
    return http_caller("get_wallet")


def test_a_wallet_tells_its_balance(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user("1234.50")
    answer = call("GET", f"/api/wallets/{user}")
    assert answer.status == 200
    assert list(answer.json) == ["userId", "balance", "currency", "betCount", "updatedAt"]
    assert f'"userId":"{user}","balance":1234.50,"currency":"EUR","betCount":0' in answer.text
    assert answer.json["updatedAt"].endswith("Z")


def test_reading_does_not_wait_for_a_bet(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    user = database.new_user("10.00")
    with psycopg.connect(database.url) as bet:
        bet.execute("UPDATE wallets SET balance = 0 WHERE user_id = %s", [user])
        assert call("GET", f"/api/wallets/{user}").json["balance"] == 10
        bet.rollback()


def test_an_unknown_user_is_404_and_no_uuid_is_422(call: Callable[..., HttpAnswer]) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    assert call("GET", f"/api/wallets/{unknown}").status == 404
    for wrong in ("nobody", "%00", "1' OR '1'='1", unknown + "0", "%2e%2e"):
        assert call("GET", f"/api/wallets/{wrong}").status == 422
