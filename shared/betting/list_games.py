"""Reading the games that take bets."""

from datetime import datetime

from shared.betting.games import select_open_games
from shared.betting.model import Answer, Id
from shared.postgres import connection

GAMES_MAX = 200


class Game(Answer):
    """A game that takes bets."""

    game_id: Id
    game_name: str
    game_type: str
    game_status: str
    starts_at: datetime


class Games(Answer):
    """The games that take bets, the next to start first."""

    games: list[Game]


def list_games() -> Games:
    """Up to `GAMES_MAX` open games."""
    with connection() as conn:
        rows = select_open_games(conn, GAMES_MAX)
    return Games(games=[Game(**row._asdict()) for row in rows])
