"""Depositing: credit a wallet and write it into the ledger."""

from pydantic import Field

from shared import observability
from shared.betting.model import Answer, Command, DepositAmount, Id, Money
from shared.betting.wallets import DepositAttempt, insert_deposit
from shared.errors import BalanceLimitReached, Rejected, UserNotActive, UserNotFound
from shared.idempotency import RequestKey, attempt_once
from shared.postgres import connection

ROUTE = "deposit_funds"


class DepositFunds(Command):
    """Money that somebody wants to put into a wallet."""

    amount: DepositAmount


class Deposited(Answer):
    """A deposit that was made, and what the wallet holds now."""

    transaction_id: Id
    new_balance: Money
    replayed: bool = Field(False, exclude=True)


def deposit_funds(
    user_id: str, command: DepositFunds, idempotency_key: str | None = None
) -> Deposited:
    """Credit a wallet, or give the first answer again when the key was used for this before.

    Raises `UserNotFound`, `UserNotActive` or `BalanceLimitReached` (with `currentBalance`);
    further `IdempotencyKeyReused`, `RequestInProgress` and `PostgresUnavailable`.
    """
    key = (
        None if idempotency_key is None else RequestKey.of(user_id, ROUTE, idempotency_key, command)
    )

    def attempt() -> DepositAttempt:
        with connection() as conn:
            return insert_deposit(conn, user_id, command.amount, key)

    outcome = attempt_once(key, attempt)
    if not isinstance(outcome, DepositAttempt):
        observability.count("DepositsReplayed")
        return Deposited(**outcome.answer, replayed=True)
    if outcome.transaction_id is None or outcome.new_balance is None:
        raise _refusal(outcome)
    observability.count("DepositsAccepted")
    return Deposited(transaction_id=outcome.transaction_id, new_balance=outcome.new_balance)


def _refusal(outcome: DepositAttempt) -> Rejected:
    """Why nothing was done, the most fundamental reason first."""
    if outcome.user_status is None:
        return UserNotFound()
    if outcome.user_status != "active":
        return UserNotActive()
    return BalanceLimitReached(currentBalance=outcome.balance)
