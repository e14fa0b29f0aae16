"""POST /api/bet — place a bet: debit the wallet, record the bet, announce it through the outbox.

One statement, one round trip, one commit. Repeating it with the same Idempotency-Key replays the
first answer.
"""

from shared.betting.place_bet import PlaceBet, PlacedBet, place_bet
from shared.errors import (
    GameNotFound,
    GameNotOpen,
    IdempotencyKeyReused,
    InsufficientFunds,
    PostgresUnavailable,
    RequestInProgress,
    UserNotActive,
    UserNotFound,
)
from shared.http_app import IdempotencyKey, create_app, lambda_handler, problems

app = create_app(title="place-bet")


@app.post(
    "/api/bet",
    responses=problems(
        UserNotFound,
        GameNotFound,
        UserNotActive,
        GameNotOpen,
        InsufficientFunds,
        RequestInProgress,
        IdempotencyKeyReused,
        PostgresUnavailable,
    ),
)
async def post_bet(command: PlaceBet, idempotency_key: IdempotencyKey = None) -> PlacedBet:
    """Place a bet."""
    return place_bet(command, idempotency_key)


handler = lambda_handler(app)
