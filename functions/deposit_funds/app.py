"""POST /api/wallets/{userId}/deposits — put money into a wallet and write it into the ledger.

One statement, one round trip, one commit. Repeating it with the same Idempotency-Key replays the
first answer.
"""

from typing import Annotated

from fastapi import Path

from shared.betting.deposit_funds import Deposited, DepositFunds, deposit_funds
from shared.betting.model import Id
from shared.errors import (
    BalanceLimitReached,
    IdempotencyKeyReused,
    PostgresUnavailable,
    RequestInProgress,
    UserNotActive,
    UserNotFound,
)
from shared.http_app import IdempotencyKey, create_app, lambda_handler, problems

app = create_app(title="deposit-funds")


@app.post(
    "/api/wallets/{userId}/deposits",
    responses=problems(
        UserNotFound,
        UserNotActive,
        BalanceLimitReached,
        RequestInProgress,
        IdempotencyKeyReused,
        PostgresUnavailable,
    ),
)
async def post_deposit(
    user_id: Annotated[Id, Path(alias="userId")],
    command: DepositFunds,
    idempotency_key: IdempotencyKey = None,
) -> Deposited:
    """Deposit money."""
    return deposit_funds(user_id, command, idempotency_key)


handler = lambda_handler(app)
