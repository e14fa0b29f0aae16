"""The table `games`."""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from shared.postgres import Connection

_SELECT_OPEN: LiteralString = """
SELECT id::text, name, type, status, starts_at FROM games
WHERE status = 'open' ORDER BY starts_at, id LIMIT %(limit)s
"""


class GameRow(NamedTuple):
    """A game."""

    game_id: str
    game_name: str
    game_type: str
    game_status: str
    starts_at: datetime


def select_open_games(conn: Connection, limit: int) -> list[GameRow]:
    """Up to `limit` games that take bets, the next to start first."""
    return [GameRow._make(row) for row in conn.rows(_SELECT_OPEN, {"limit": limit})]
