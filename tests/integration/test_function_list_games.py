"""GET /api/games on a real database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.betting import list_games
from tests.support.load_function import HttpAnswer, http_caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.postgres import BettingDatabase

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def call(database: BettingDatabase) -> Callable[..., HttpAnswer]:
    return http_caller("list_games")


def test_open_games_are_listed_the_next_to_start_first(
    call: Callable[..., HttpAnswer], database: BettingDatabase
) -> None:
    closed, settled = database.new_game("closed"), database.new_game("settled")
    games = call("GET", "/api/games").json["games"]
    assert [game["gameName"] for game in games] == [
        "Real Madrid vs Barcelona",
        "Lakers vs Warriors",
        "Djokovic vs Nadal",
        "CS:GO Major Championship",
        "Kentucky Derby",
    ]
    assert {game["gameId"] for game in games}.isdisjoint({closed, settled})
    assert list(games[0]) == ["gameId", "gameName", "gameType", "gameStatus", "startsAt"]
    assert {game["gameStatus"] for game in games} == {"open"}


def test_the_list_is_bounded(
    call: Callable[..., HttpAnswer], database: BettingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_games, "GAMES_MAX", 3)
    assert len(call("GET", "/api/games").json["games"]) == 3
