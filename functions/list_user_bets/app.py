"""GET /api/bets/{userId} — a user's bets, newest first, each with its game.

One query for page and total. Pages by offset or, without skipping anything, by cursor.
"""

from typing import Annotated

from fastapi import Path, Query

from shared.betting.list_user_bets import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    OFFSET_MAX,
    UserBets,
    list_user_bets,
)
from shared.betting.model import Id
from shared.errors import PostgresUnavailable, UserNotFound
from shared.http_app import create_app, lambda_handler, problems

app = create_app(title="list-user-bets")


@app.get("/api/bets/{userId}", responses=problems(UserNotFound, PostgresUnavailable))
async def get_user_bets(
    user_id: Annotated[Id, Path(alias="userId")],
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    offset: Annotated[int, Query(ge=0, le=OFFSET_MAX)] = 0,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> UserBets:
    """List a user's bets."""
    return list_user_bets(user_id, limit=limit, offset=offset, cursor=cursor)


handler = lambda_handler(app)
