"""Reading a wallet."""

from datetime import datetime

from shared.betting.model import Answer, Id, Money
from shared.betting.wallets import select_wallet
from shared.errors import UserNotFound
from shared.postgres import connection


class Wallet(Answer):
    """What a user's wallet holds, and how many bets were paid from it."""

    user_id: Id
    balance: Money
    currency: str
    bet_count: int
    updated_at: datetime


def get_wallet(user_id: str) -> Wallet:
    """The wallet of a user. Raises `UserNotFound`."""
    with connection() as conn:
        row = select_wallet(conn, user_id)
    if row is None:
        raise UserNotFound
    return Wallet(user_id=user_id, **row._asdict())
