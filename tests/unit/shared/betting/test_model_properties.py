"""The rules of money and odds, by example and for every number Hypothesis can think of."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.betting.deposit_funds import DepositFunds
from shared.betting.model import AMOUNT_MAX, CENT, ODDS_MAX, ODDS_MIN, potential_win, to_cents
from shared.betting.place_bet import PlaceBet
from shared.idempotency import RequestKey
from shared.json_text import read_json_object

USER = "31c13867-275d-4890-a097-5945199642e4"
GAME = "f783c034-82a0-4da5-b94a-06662871f974"
ANY_NUMBER = st.decimals() | st.integers().map(Decimal)


def bet(**members: Any) -> dict[str, Any]:
    """A valid bet but for `members`."""
    valid = {
        "userId": USER,
        "gameId": GAME,
        "amount": Decimal("10.5"),
        "betType": "win",
        "odds": Decimal("2.5"),
    }
    return {**valid, **members}


def faults(**members: Any) -> list[str]:
    """The members that a bet is refused for."""
    try:
        PlaceBet.model_validate(bet(**members))
    except ValidationError as error:
        return [str((*fault["loc"], "")[0]) for fault in error.errors()]
    return []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("0.005", "0.01"),
        ("0.01", "0.01"),
        ("10.5", "10.50"),
        ("10.504", "10.50"),
        ("10.505", "10.51"),
        ("100000", "100000.00"),
        ("100000.004", "100000.00"),
        ("1E+2", "100.00"),
        ("10." + "0" * 5_000, "10.00"),
    ],
)
def test_amounts_are_rounded_half_up(sent: str, kept: str) -> None:
    amount = PlaceBet.model_validate(bet(amount=Decimal(sent))).amount
    assert str(amount) == kept


@pytest.mark.parametrize(
    "sent",
    [
        *("0", "-0", "0.004", "0.0049999", "-1", "100000.005", "100000.01"),
        *("1e400", "1e-400", "-1e400", "1e999999999", "9" * 60_000),
        *("NaN", "sNaN", "Infinity", "-Infinity"),
    ],
)
def test_amounts_outside_of_the_limits_are_refused(sent: str) -> None:
    assert faults(amount=Decimal(sent)) == ["amount"]


@pytest.mark.parametrize("sent", ["1.01", "1.005", "999.99", "999.994", "2"])
def test_odds_within_the_limits_are_taken(sent: str) -> None:
    odds = PlaceBet.model_validate(bet(odds=Decimal(sent))).odds
    assert ODDS_MIN <= odds <= ODDS_MAX


@pytest.mark.parametrize("sent", ["1", "1.004", "0", "-2", "999.995", "1000", "NaN", "1e400"])
def test_odds_outside_of_the_limits_are_refused(sent: str) -> None:
    assert faults(odds=Decimal(sent)) == ["odds"]


@pytest.mark.parametrize("value", ["10.5", True, False, None, [], {}, 10.5, 10])
@pytest.mark.parametrize("member", ["amount", "odds"])
def test_only_numbers_are_numbers(member: str, value: object) -> None:
    assert faults(**{member: value}) == [member]


@pytest.mark.parametrize("value", [None, 1, "", "win ", "WIN", "fixed", True, ["win"], "\ud800"])
def test_unknown_bet_types_are_refused(value: object) -> None:
    assert faults(betType=value) == ["betType"]


@pytest.mark.parametrize(
    "value",
    [None, "", "2-1", "x" * 100, "🎲" * 100, "Ünïcødé", "'; DROP TABLE bets; --", "%s", "a b"],
)
def test_bet_values_of_all_sorts_are_taken(value: str | None) -> None:
    assert PlaceBet.model_validate(bet(betValue=value)).bet_value == value


@pytest.mark.parametrize(
    "value", ["x" * 101, "🎲" * 101, "\0", "a\nb", "\x7f", "\x85", "\ud800", "a\udfff", 1, True, []]
)
def test_bet_values_that_nobody_can_read_are_refused(value: object) -> None:
    assert faults(betValue=value) == ["betValue"]


@pytest.mark.parametrize(
    "value",
    [
        *(None, 1, "", "1", USER[:-1], USER + "0", USER + "\n", USER.replace("-", "")),
        *(f"{{{USER}}}", f"urn:uuid:{USER}", "\0" * 36, "ä" * 36, "'" + USER[1:]),
        USER.replace("3", "\u0663"),  # a digit, but not ours
    ],
)
@pytest.mark.parametrize("member", ["userId", "gameId"])
def test_only_uuids_are_ids(member: str, value: object) -> None:
    assert faults(**{member: value}) == [member]


def test_an_id_is_kept_in_lower_case() -> None:
    assert PlaceBet.model_validate(bet(userId=USER.upper())).user_id == USER


@pytest.mark.parametrize("name", ["user_id", "stake", "AMOUNT", "", "replayed"])
def test_unknown_members_are_refused(name: str) -> None:
    assert faults(**{name: 1}) == [name]


def test_a_member_whose_name_nobody_can_write_is_refused() -> None:
    assert faults(**{"\ud800": 1}) == [""]


@pytest.mark.parametrize("missing", ["userId", "gameId", "amount", "betType", "odds"])
def test_missing_members_are_refused(missing: str) -> None:
    members = bet()
    del members[missing]
    with pytest.raises(ValidationError) as refused:
        PlaceBet.model_validate(members)
    assert [fault["loc"] for fault in refused.value.errors()] == [(missing,)]


@pytest.mark.parametrize(("sent", "taken"), [("1000000", True), ("1000000.005", False)])
def test_deposits_have_a_limit_of_their_own(sent: str, *, taken: bool) -> None:
    try:
        DepositFunds.model_validate({"amount": Decimal(sent)})
    except ValidationError:
        assert not taken
    else:
        assert taken


@given(ANY_NUMBER)
def test_every_amount_is_refused_or_a_positive_number_of_cents(number: Decimal) -> None:
    try:
        amount = PlaceBet.model_validate(bet(amount=number)).amount
    except ValidationError:
        return
    assert CENT <= amount <= AMOUNT_MAX
    assert amount.as_tuple().exponent == -2
    with localcontext() as context:
        context.prec = 1_000
        assert abs(amount - number) <= Decimal("0.005")


@given(st.decimals(min_value="0.01", max_value="100000", places=2))
def test_every_amount_in_cents_is_taken_as_it_is(number: Decimal) -> None:
    assert PlaceBet.model_validate(bet(amount=number)).amount == number


@given(
    st.decimals(min_value="0.01", max_value="100000", places=2),
    st.decimals(min_value="1.01", max_value="999.99", places=2),
)
def test_a_win_pays_at_least_the_amount_and_is_exact_to_half_a_cent(
    amount: Decimal, odds: Decimal
) -> None:
    win = potential_win(amount, odds)
    assert win >= amount
    assert abs(win - amount * odds) <= Decimal("0.005")
    assert win == to_cents(win)


@given(st.decimals(min_value="0.01", max_value="100000", places=2))
def test_the_same_number_written_otherwise_is_the_same_request(amount: Decimal) -> None:
    once = PlaceBet.model_validate(bet(amount=amount))
    again = PlaceBet.model_validate(bet(amount=Decimal(f"{amount}000")))
    assert RequestKey.of(USER, "r", "k", once) == RequestKey.of(USER, "r", "k", again)


def test_another_bet_is_another_request() -> None:
    fingerprints = {
        RequestKey.of(USER, "r", "k", PlaceBet.model_validate(bet(**members))).fingerprint
        for members in (
            {},
            {"amount": Decimal("10.51")},
            {"odds": Decimal("2.51")},
            {"betType": "lose"},
            {"betValue": ""},
            {"betValue": "null"},
            {"gameId": USER},
        )
    }
    assert len(fingerprints) == 7


def test_a_bet_as_it_arrives_is_read_exactly() -> None:
    body = f'{{"userId":"{USER}","gameId":"{GAME}","amount":10.505,"betType":"win","odds":2.5}}'.encode()
    command = PlaceBet.model_validate(read_json_object(body))
    assert (str(command.amount), str(command.odds)) == ("10.51", "2.50")
