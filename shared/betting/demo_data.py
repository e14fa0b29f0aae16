"""Demo data: five people, a thousand more for load, and five games. Loading it twice is harmless.

The books are right from the first row on: every wallet's money came by a deposit in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, LiteralString, NamedTuple

from shared.postgres import transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.postgres import Tx

OPENING_BALANCE = Decimal("1000000.00")
LOAD_USERS_COUNT = 1_000


class DemoUser(NamedTuple):
    """Somebody who bets."""

    user_id: str
    username: str
    first_name: str
    last_name: str


class DemoGame(NamedTuple):
    """Something to bet on, and in how many days it starts."""

    game_id: str
    name: str
    type: str
    starts_in_days: int


PEOPLE = (
    DemoUser("31c13867-275d-4890-a097-5945199642e4", "john_doe", "John", "Doe"),
    DemoUser("e4fd9b5f-ca82-4e4b-86c3-c025fb2e2c4f", "jane_smith", "Jane", "Smith"),
    DemoUser("2838b441-6aad-4f7d-9c34-af3f37a8730f", "mike_wilson", "Mike", "Wilson"),
    DemoUser("c0b8e7f0-bdd6-4be4-abdb-32c85353da5a", "sarah_brown", "Sarah", "Brown"),
    DemoUser("d3c05720-b864-480c-947a-6c18e5d31589", "alex_jones", "Alex", "Jones"),
)

GAMES = (
    DemoGame("f783c034-82a0-4da5-b94a-06662871f974", "Real Madrid vs Barcelona", "football", 1),
    DemoGame("1be6aad2-fee9-4ce1-b9b0-a2ba066f802e", "Lakers vs Warriors", "basketball", 2),
    DemoGame("ab75e9c4-8c8e-4793-b048-6e37b8b3ace3", "Djokovic vs Nadal", "tennis", 3),
    DemoGame("2d9b0ed2-8cfa-41dc-aed5-b797c03742cd", "CS:GO Major Championship", "esports", 4),
    DemoGame("0caf8d8c-b77b-40c3-b152-8692010585fb", "Kentucky Derby", "horse_racing", 5),
)

# Whoever exists keeps the wallet as it is.
_INSERT_USERS: LiteralString = """
WITH new_users AS (
    INSERT INTO users (id, username, email, first_name, last_name)
    SELECT id, username, username || '@example.com', first_name, last_name
    FROM unnest(%(ids)s::uuid[], %(usernames)s::text[], %(first_names)s::text[],
        %(last_names)s::text[]) AS demo (id, username, first_name, last_name)
    ON CONFLICT DO NOTHING
    RETURNING id
), new_wallets AS (
    INSERT INTO wallets (user_id, balance) SELECT id, %(balance)s FROM new_users
)
INSERT INTO wallet_transactions (user_id, type, amount, balance_before, balance_after)
SELECT id, 'deposit', %(balance)s, 0, %(balance)s FROM new_users
"""

# A game of yesterday's demo that is still open starts in the coming days again.
_INSERT_GAMES: LiteralString = """
INSERT INTO games (id, name, type, starts_at)
SELECT id, name, type, date_trunc('hour', now()) + make_interval(days => starts_in_days)
FROM unnest(%(ids)s::uuid[], %(names)s::text[], %(types)s::text[], %(days)s::integer[])
    AS demo (id, name, type, starts_in_days)
ON CONFLICT (id) DO UPDATE SET starts_at = excluded.starts_at
WHERE games.status = 'open' AND games.starts_at < now()
"""


@dataclass(frozen=True, slots=True)
class Loaded:
    """How many rows a load added or moved."""

    users: int
    games: int


def load_user_id(number: int) -> str:
    """The id of load user `number`, from 1 to `LOAD_USERS_COUNT`: load scripts count them up."""
    assert 1 <= number <= LOAD_USERS_COUNT, number
    return f"d0000000-0000-4000-8000-{number:012d}"


def demo_users() -> Iterator[DemoUser]:
    """Everybody: the five people, then the load users by number."""
    yield from PEOPLE
    for number in range(1, LOAD_USERS_COUNT + 1):
        yield DemoUser(load_user_id(number), f"load_user_{number:04d}", "Load", f"User {number}")


def load_demo_data() -> Loaded:
    """Load whatever is missing, in one transaction. Raises `PostgresUnavailable`."""
    with transaction() as tx:
        return Loaded(users=_insert_users(tx), games=_insert_games(tx))


def _insert_users(tx: Tx) -> int:
    ids, usernames, first_names, last_names = (list(c) for c in zip(*demo_users(), strict=True))
    params = {
        "ids": ids,
        "usernames": usernames,
        "first_names": first_names,
        "last_names": last_names,
        "balance": OPENING_BALANCE,
    }
    return tx.execute(_INSERT_USERS, params).rowcount


def _insert_games(tx: Tx) -> int:
    ids, names, types, days = (list(column) for column in zip(*GAMES, strict=True))
    params = {"ids": ids, "names": names, "types": types, "days": days}
    return tx.execute(_INSERT_GAMES, params).rowcount
