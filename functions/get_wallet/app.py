"""GET /api/wallets/{userId} — what a wallet holds.

Reads one row; never waits for a lock.
"""

from typing import Annotated

from fastapi import Path

from shared.betting.get_wallet import Wallet, get_wallet
from shared.betting.model import Id
from shared.errors import PostgresUnavailable, UserNotFound
from shared.http_app import create_app, lambda_handler, problems

app = create_app(title="get-wallet")


@app.get("/api/wallets/{userId}", responses=problems(UserNotFound, PostgresUnavailable))
async def get_user_wallet(user_id: Annotated[Id, Path(alias="userId")]) -> Wallet:
    """Read a wallet."""
    return get_wallet(user_id)


handler = lambda_handler(app)
