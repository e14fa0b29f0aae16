"""JSON as this platform reads and writes it: numbers are `Decimal`, never floats; keys come once.

`json.loads` alone takes the last of two equal keys, makes floats of numbers (so `1e400` becomes
infinity) and refuses integers of more than 4,300 digits with an error that is not about JSON.
Pydantic and FastAPI write a Decimal as a string. Hence this module; pure, standard library only
beside pydantic's models.
"""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import BaseModel

from shared.errors import BodyMalformed

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_A_NUMBER = Decimal("NaN")


def read_json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body` (UTF-8), every number in it a Decimal.

    What JSON cannot say but Python reads (`NaN`, `Infinity`, a number out of every range) becomes
    a Decimal that is not finite, so that whoever validates names the member it stands in.
    Raises `BodyMalformed` for anything that is not one object with unique keys.
    """
    try:
        value = _decode(body.decode())
    except UnicodeDecodeError:
        raise BodyMalformed("The body is not UTF-8.") from None
    except RecursionError:
        raise BodyMalformed("The body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        msg = f"The body is not JSON: {error.msg} at character {error.pos}."
        raise BodyMalformed(msg) from None
    if not isinstance(value, dict):
        raise BodyMalformed("The body is JSON, but not an object.")
    return value


def render_json(value: object) -> str:
    """`value` as JSON in ASCII: models by their aliases, Decimals as numbers with their digits."""
    return _renderer(type(value))(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BodyMalformed("The body repeats a key.")
    return members


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond 10^18
        return NOT_A_NUMBER


_decode = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_number, parse_int=_number, parse_constant=Decimal
).decode

_string = json.encoder.encode_basestring_ascii


def _decimal(value: Decimal) -> str:
    assert value.is_finite(), value
    return str(value)


def _float(value: float) -> str:
    assert value - value == 0, value  # neither NaN nor infinite
    return float.__repr__(value)


def _moment(value: datetime) -> str:
    assert value.tzinfo is not None, value
    return f'"{value.isoformat().replace("+00:00", "Z")}"'


def _members(value: dict[str, object]) -> str:
    return "{" + ",".join([f"{_string(k)}:{render_json(v)}" for k, v in value.items()]) + "}"


def _items(value: list[object] | tuple[object, ...]) -> str:
    return "[" + ",".join([_renderer(type(item))(item) for item in value]) + "]"


_RENDERERS: dict[type, Callable[[Any], str]] = {
    str: _string,
    int: int.__repr__,
    float: _float,
    bool: lambda value: "true" if value else "false",
    type(None): lambda _: "null",
    Decimal: _decimal,
    UUID: lambda value: f'"{value}"',
    datetime: _moment,
    dict: _members,
    list: _items,
    tuple: _items,
}


def _renderer(kind: type) -> Callable[[Any], str]:
    return _RENDERERS.get(kind) or _learn(kind)


def _learn(kind: type) -> Callable[[Any], str]:
    """Make and remember the renderer of a model or an enumeration."""
    render: Callable[[Any], str]
    if issubclass(kind, BaseModel):
        render = _model_renderer(kind)
    elif issubclass(kind, Enum) and issubclass(kind, str):
        render = {member: _string(member.value) for member in kind}.__getitem__
    else:
        msg = f"{kind.__name__} has no JSON form here"
        raise TypeError(msg)
    return _RENDERERS.setdefault(kind, render)


def _model_renderer(model: type[BaseModel]) -> Callable[[BaseModel], str]:
    fields = [
        (f"{_string(field.alias or name)}:", name)
        for name, field in model.model_fields.items()
        if not field.exclude
    ]

    def render(value: BaseModel) -> str:
        held = value.__dict__
        return "{" + ",".join([key + render_json(held[name]) for key, name in fields]) + "}"

    return render
