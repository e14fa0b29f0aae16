"""Customers who bet at a steady rate, repeat what was not answered, and note what they were told."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import httpx

if TYPE_CHECKING:
    from collections.abc import Sequence

GIVE_UP_S = 40.0
ANSWER_TIMEOUT_S = 8.0  # longer than a SIGSTOP lasts
PAUSE_S, PAUSE_S_MAX = 0.05, 0.5
OPEN_MAX = 400  # bets under way at once; a fault makes them pile up
_AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})


@dataclass(slots=True)
class Told:
    """What one customer wanted, and what they were told in the end."""

    key: str
    user_id: str
    amount: Decimal
    outcome: Literal["accepted", "refused", "unknown"] = "unknown"
    bet_id: str = ""
    transaction_id: str = ""
    code: str = ""
    attempts: int = 0
    answered_at: float = 0.0  # time.monotonic()


@dataclass(slots=True)
class Journal:
    """Everything that all customers were told."""

    told: list[Told] = field(default_factory=list)

    def accepted(self) -> list[Told]:
        """Bets that were acknowledged."""
        return [each for each in self.told if each.outcome == "accepted"]

    def first_success_after(self, moment: float) -> float | None:
        """When the first bet was acknowledged at or after `moment` (monotonic seconds)."""
        later = [t.answered_at for t in self.accepted() if t.answered_at >= moment]
        return min(later) if later else None


class Customers:
    """Runs the load in the background of an event loop."""

    def __init__(
        self, url: str, users: Sequence[str], games: Sequence[str], *, rate: float, seed: int
    ) -> None:
        self.journal = Journal()
        self._url = url
        self._users = users
        self._games = games
        self._rate = rate
        self._random = random.Random(seed)
        self._stopping = False

    async def run(self) -> None:
        """Bet until `stop`; then wait until every customer has an answer or has given up."""
        limits = httpx.Limits(max_connections=OPEN_MAX, max_keepalive_connections=64)
        async with httpx.AsyncClient(
            base_url=self._url, timeout=ANSWER_TIMEOUT_S, limits=limits, trust_env=False
        ) as client:
            open_bets: set[asyncio.Task[None]] = set()
            next_at = time.monotonic()
            while not self._stopping:
                next_at += 1 / self._rate
                await asyncio.sleep(max(0.0, next_at - time.monotonic()))
                if len(open_bets) >= OPEN_MAX:
                    continue
                task = asyncio.create_task(self._bet(client))
                open_bets.add(task)
                task.add_done_callback(open_bets.discard)
            if open_bets:
                await asyncio.wait(open_bets)

    def stop(self) -> None:
        """Take no new bets."""
        self._stopping = True

    async def _bet(self, client: httpx.AsyncClient) -> None:
        amount = Decimal(self._random.randrange(100, 3_000)) / 100
        told = Told(str(uuid.uuid4()), self._random.choice(self._users), amount)
        self.journal.told.append(told)
        body = {
            "userId": told.user_id,
            "gameId": self._random.choice(self._games),
            "amount": float(amount),
            "betType": "win",
            "odds": 2.1,
        }
        until, pause_s = time.monotonic() + GIVE_UP_S, PAUSE_S
        while time.monotonic() < until:
            told.attempts += 1
            try:
                answer = await client.post(
                    "/api/bet", json=body, headers={"Idempotency-Key": told.key}
                )
            except httpx.TransportError:
                answer = None
            if answer is not None and _settle(told, answer):
                return
            await asyncio.sleep(pause_s * (0.5 + self._random.random()))
            pause_s = min(PAUSE_S_MAX, pause_s * 2)


def _settle(told: Told, answer: httpx.Response) -> bool:
    """Whether this is the last word."""
    try:
        document = answer.json()
    except ValueError:
        document = {}
    told.code = str(document.get("code", answer.status_code))
    if answer.status_code == 200:
        told.outcome = "accepted"
        told.bet_id, told.transaction_id = document["betId"], document["transactionId"]
    elif answer.status_code in _AGAIN and told.code != "insufficient_funds":
        return False
    else:
        told.outcome = "refused"
    told.answered_at = time.monotonic()
    return True
