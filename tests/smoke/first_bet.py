"""One bet through the running stack: placed over HTTP, followed into ClickHouse, books audited.

    .venv/bin/python -m tests.smoke.first_bet

The last step of `make up`. Exit code 1, with one line, for whatever is not as it should be.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import clickhouse_connect
import psycopg
from rich.console import Console

from local_stack.settings import Settings, load_settings
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

USER = "31c13867-275d-4890-a097-5945199642e4"  # john_doe
GAME = "f783c034-82a0-4da5-b94a-06662871f974"  # Real Madrid vs Barcelona
BET = {"userId": USER, "gameId": GAME, "amount": 10.5, "betType": "win", "odds": 2.1}
ARRIVAL_TIMEOUT_S = 30
_AUDITS = {
    "a wallet differs from the sum of its ledger": """
        SELECT count(*) FROM wallets
        LEFT JOIN (
            SELECT user_id, sum(balance_after - balance_before) AS total
            FROM wallet_transactions GROUP BY user_id
        ) AS ledger USING (user_id)
        WHERE balance <> coalesce(total, 0)
    """,
    "a bet has no ledger row, or another amount": """
        SELECT count(*) FROM bets WHERE NOT EXISTS (
            SELECT FROM wallet_transactions AS ledger
            WHERE ledger.bet_id = bets.id AND ledger.type = 'bet' AND ledger.amount = bets.amount
        )
    """,
}

T = TypeVar("T")
out = Console(highlight=False, soft_wrap=True)


def main() -> None:
    """Place, follow, audit, and say what to try next."""
    settings = _running_settings()
    addresses = settings.addresses()
    try:
        bet = _timed("Bet placed", lambda: place(addresses["http.url"]), describe_bet)
        _timed(
            "In ClickHouse",
            lambda: follow(addresses["clickhouse.url"], bet["betId"]),
            lambda event_id: f"eventId {event_id}",
        )
        _timed(
            "Books audited",
            lambda: audited(addresses["postgres.url"]),
            lambda count: f"{count} bets, every wallet in balance",
        )
    except (AssertionError, OSError, psycopg.Error) as error:
        Console(stderr=True, highlight=False).print(f"[red]error:[/red] {error}")
        sys.exit(1)
    show_next_steps(settings)


def place(url: str) -> dict[str, Any]:
    """POST the bet with a key of its own; the answer."""
    request = urllib.request.Request(
        f"{url}/api/bet",
        data=json.dumps(BET).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())},
        method="POST",
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=15) as response:
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        msg = f"the bet was refused: {error.code} {error.read().decode(errors='replace')}"
        raise AssertionError(msg) from error
    assert answer["status"] == "accepted", answer
    return answer


def describe_bet(bet: dict[str, Any]) -> str:
    """What was bet, in a line."""
    return f"betId {bet['betId']}, balance {bet['newBalance']:.2f} EUR"


def follow(url: str, bet_id: str) -> str:
    """Wait until the event of this bet is in ClickHouse, once; its id."""
    client = clickhouse_connect.get_client(dsn=url, autogenerate_session_id=False)
    found: list[str] = []

    def arrived() -> bool:
        query = "SELECT toString(event_id) FROM bet_events WHERE bet_id = {id:UUID}"
        found[:] = [row[0] for row in client.query(query, {"id": bet_id}).result_rows]
        return bool(found)

    try:
        wait_until(arrived, ARRIVAL_TIMEOUT_S, f"bet {bet_id} is in ClickHouse", interval_s=0.02)
    finally:
        client.close()
    assert len(found) == 1, f"bet {bet_id} is in ClickHouse {len(found)} times: {found}"
    return found[0]


def audited(url: str) -> int:
    """Check the books; how many bets they hold."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        for finding, query in _AUDITS.items():
            row = connection.execute(query).fetchone()
            assert row == (0,), f"{finding} ({row[0] if row else '?'} times)"
        row = connection.execute("SELECT count(*) FROM bets").fetchone()
    assert row is not None
    return int(row[0])


def show_next_steps(settings: Settings) -> None:
    """The addresses, and commands that work when pasted."""
    addresses = settings.addresses()
    http = addresses["http.url"]
    out.print()
    for name, address in (
        ("HTTP API", http),
        ("Lambda API", addresses["lambda_api.url"]),
        ("PostgreSQL", addresses["postgres.url"]),
        ("Kafka", addresses["kafka.bootstrap_servers"]),
        ("ClickHouse", addresses["clickhouse.url"]),
    ):
        out.print(f"  {name:<11} {address}")
    out.print("\nTry:")
    for command in (
        f"curl {http}/api/health",
        f"curl {http}/api/bets/{USER}",
        f"curl {http}/metrics",
        ".venv/bin/local-stack status",
        ".venv/bin/local-stack logs PlaceBet",
        ".venv/bin/local-stack generate-event http /api/games"
        " | .venv/bin/local-stack invoke ListGames --event - --log",
        "make load",
        "make down",
    ):
        out.print(f"  [bold]{command}[/bold]")


def _timed(title: str, action: Callable[[], T], describe: Callable[[T], str]) -> T:
    started = time.monotonic()
    result = action()
    seconds = time.monotonic() - started
    out.print(f"[green]✓[/green] {title:<18} {seconds:6.2f} s  [dim]{describe(result)}[/dim]")
    return result


def _running_settings() -> Settings:
    settings = load_settings(Path(__file__).parents[2])
    path = settings.run_dir / "settings.json"
    return Settings.read(path) if path.exists() else settings


if __name__ == "__main__":
    main()
