"""The rules of betting that need neither a database nor a clock. Pure.

Money is a Decimal of two places, rounded half up as `numeric(18, 2)` does, and never a float.
Limits hold after rounding: 0.004 is nothing, 0.005 is a cent.
"""

import re
import unicodedata
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainValidator, WithJsonSchema
from pydantic.alias_generators import to_camel

CENT = Decimal("0.01")
AMOUNT_MIN = CENT
AMOUNT_MAX = Decimal("100000.00")
DEPOSIT_MAX = Decimal("1000000.00")
ODDS_MIN = Decimal("1.01")
ODDS_MAX = Decimal("999.99")
BALANCE_LIMIT = Decimal("1000000000000.00")  # every balance is below
BET_VALUE_CHARACTERS_MAX = 100
# Above this nothing is in any limit, and below it a number has few enough digits to be rounded.
_ROUNDABLE_MAX = Decimal("1e12")

_UUID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class BetType(StrEnum):
    """What is bet on."""

    WIN = "win"
    LOSE = "lose"
    DRAW = "draw"
    OVER = "over"
    UNDER = "under"
    EXACT_SCORE = "exact_score"
    TOTAL_GOALS = "total_goals"
    FIRST_GOAL = "first_goal"
    LAST_GOAL = "last_goal"


def to_cents(value: Decimal) -> Decimal:
    """`value` with two places, rounded half up. It must be finite and within ± 10^12."""
    assert -_ROUNDABLE_MAX <= value <= _ROUNDABLE_MAX, "bound a number before rounding it"
    return value.quantize(CENT, ROUND_HALF_UP)


def potential_win(amount: Decimal, odds: Decimal) -> Decimal:
    """What a bet pays if it is won, in cents."""
    return to_cents(amount * odds)


def _two_places(low: Decimal, high: Decimal) -> Callable[[object], Decimal]:
    """A validator of numbers between `low` and `high` (both included) after rounding."""

    def validate(value: object) -> Decimal:
        if not isinstance(value, Decimal):
            raise ValueError("must be a number")  # noqa: TRY004 - pydantic wants a ValueError
        # Compared, not abs(): arithmetic on a number like 1e999999999 raises Overflow.
        if value.is_finite() and -_ROUNDABLE_MAX <= value <= _ROUNDABLE_MAX:
            rounded = to_cents(value)
            if low <= rounded <= high:
                return rounded
        msg = f"must be a number from {low} to {high}"
        raise ValueError(msg)

    return validate


def _uuid_text(value: object) -> str:
    if isinstance(value, str) and _UUID.fullmatch(value):
        return value.lower()
    raise ValueError("must be a UUID")


def _bet_value(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 - pydantic wants a ValueError
    if len(value) > BET_VALUE_CHARACTERS_MAX:
        msg = f"must have at most {BET_VALUE_CHARACTERS_MAX} characters"
        raise ValueError(msg)
    # Cc: control characters, NUL among them. Cs: halves of surrogate pairs.
    if not value.isprintable() and any(unicodedata.category(c) in ("Cc", "Cs") for c in value):
        raise ValueError("must not contain control characters or lone surrogates")
    return value


def _number_schema(low: Decimal, high: Decimal) -> WithJsonSchema:
    return WithJsonSchema({"type": "number", "minimum": float(low), "maximum": float(high)})


Id = Annotated[
    str, PlainValidator(_uuid_text), WithJsonSchema({"type": "string", "format": "uuid"})
]
Amount = Annotated[
    Decimal,
    PlainValidator(_two_places(AMOUNT_MIN, AMOUNT_MAX)),
    _number_schema(AMOUNT_MIN, AMOUNT_MAX),
]
DepositAmount = Annotated[
    Decimal,
    PlainValidator(_two_places(AMOUNT_MIN, DEPOSIT_MAX)),
    _number_schema(AMOUNT_MIN, DEPOSIT_MAX),
]
Odds = Annotated[
    Decimal, PlainValidator(_two_places(ODDS_MIN, ODDS_MAX)), _number_schema(ODDS_MIN, ODDS_MAX)
]
BetValue = Annotated[
    str | None,
    PlainValidator(_bet_value),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "maxLength": BET_VALUE_CHARACTERS_MAX}, {"type": "null"}]}
    ),
]
# Money that leaves: a JSON number with two decimals.
Money = Annotated[Decimal, WithJsonSchema({"type": "number", "multipleOf": 0.01})]


class Command(BaseModel):
    """What a caller asks for: camelCase, and nothing that we do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class Answer(BaseModel):
    """What a caller gets: camelCase outside, snake_case inside."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        # What has a value already is in every answer all the same.
        json_schema_serialization_defaults_required=True,
    )
