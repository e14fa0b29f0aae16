"""Placing a bet: debit the wallet, record the bet, announce it; all of it or nothing."""

from typing import Any, Literal

from pydantic import Field

from shared import clock, observability
from shared.betting.bets import BetAttempt, insert_bet
from shared.betting.model import (
    Amount,
    Answer,
    BetType,
    BetValue,
    Command,
    Id,
    Money,
    Odds,
    potential_win,
)
from shared.errors import (
    GameNotFound,
    GameNotOpen,
    InsufficientFunds,
    Rejected,
    UserNotActive,
    UserNotFound,
)
from shared.idempotency import RequestKey, attempt_once
from shared.postgres import connection

ROUTE = "place_bet"


class PlaceBet(Command):
    """A bet that somebody wants to place."""

    user_id: Id
    game_id: Id
    amount: Amount
    bet_type: BetType
    bet_value: BetValue = None
    odds: Odds


class ProcessingTime(Answer):
    """How long it took, in milliseconds: in the database, and from event to answer."""

    database: float
    total: float


class PlacedBet(Answer):
    """A bet that was placed, and what is left in the wallet."""

    bet_id: Id
    status: Literal["accepted"] = "accepted"
    transaction_id: Id
    new_balance: Money
    potential_win: Money
    processing_time: ProcessingTime
    replayed: bool = Field(False, exclude=True)


def place_bet(command: PlaceBet, idempotency_key: str | None = None) -> PlacedBet:
    """Place a bet, or give the first answer again when the key was used for this bet before.

    Raises the reason of a refusal: `UserNotFound`, `GameNotFound`, `UserNotActive`, `GameNotOpen`
    or `InsufficientFunds` (with `currentBalance`, the balance it was refused on); further
    `IdempotencyKeyReused`, `RequestInProgress` and `PostgresUnavailable`.
    """
    invocation = observability.invocation()
    win = potential_win(command.amount, command.odds)
    bet = {**command.__dict__, "bet_type": command.bet_type.value, "potential_win": win}
    key = None
    if idempotency_key is not None:
        key = RequestKey.of(command.user_id, ROUTE, idempotency_key, command)

    def attempt() -> BetAttempt:
        with connection() as conn:
            return insert_bet(conn, bet, invocation.request_id, key)

    began_s = clock.monotonic_s()
    outcome = attempt_once(key, attempt)
    database_ms = round((clock.monotonic_s() - began_s) * 1000, 3)

    if isinstance(outcome, BetAttempt):
        answer = _accepted(outcome)
        observability.count("BetsAccepted")
    else:
        answer = {**outcome.answer, "replayed": True}
        observability.count("BetsReplayed")
    return PlacedBet(
        **answer,
        potential_win=win,
        processing_time=ProcessingTime(database=database_ms, total=invocation.elapsed_ms()),
    )


def _accepted(outcome: BetAttempt) -> dict[str, Any]:
    if not outcome.accepted:
        raise _refusal(outcome)
    return {
        "bet_id": outcome.bet_id,
        "transaction_id": outcome.transaction_id,
        "new_balance": outcome.new_balance,
    }


def _refusal(outcome: BetAttempt) -> Rejected:
    """Why nothing was done, the most fundamental reason first."""
    if outcome.user_status is None:
        return UserNotFound()
    if outcome.game_status is None:
        return GameNotFound()
    if outcome.user_status != "active":
        return UserNotActive()
    if outcome.game_status != "open":
        return GameNotOpen()
    return InsufficientFunds(currentBalance=outcome.balance)
