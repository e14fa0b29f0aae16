"""GET /api/games — the games that take bets, the next to start first.

Bounded: at most 200 games.
"""

from shared.betting.list_games import Games, list_games
from shared.errors import PostgresUnavailable
from shared.http_app import create_app, lambda_handler, problems

app = create_app(title="list-games")


@app.get("/api/games", responses=problems(PostgresUnavailable))
async def get_games() -> Games:
    """List open games."""
    return list_games()


handler = lambda_handler(app)
