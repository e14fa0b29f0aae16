"""JSON in: one object, unique keys, exact numbers. JSON out: money with its two decimals."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from shared.errors import BodyMalformed
from shared.json_text import read_json_object, render_json


class Colour(StrEnum):
    RED = "red"


class Thing(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    some_money: Decimal
    colour: Colour = Colour.RED
    hidden: bool = Field(True, exclude=True)
    inner: list[Thing] = []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b"{]",
        b"nonsense",
        b'{"a":1}x',
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":01}',
        b'{"a":.5}',
        b'{"a":"\x00"}',
        b'{"a":"\n"}',
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{}",
        b'{"a":"\xc3"}',
        b'{"a":"\xed\xa0\x80"}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
    ],
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(BodyMalformed):
        read_json_object(body)


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"text"', b"true", b"[{}]", b"NaN"])
def test_json_that_is_no_object_is_malformed(body: bytes) -> None:
    with pytest.raises(BodyMalformed, match="not an object"):
        read_json_object(body)


@pytest.mark.parametrize("body", [b'{"a":1,"a":1}', b'{"a":{"b":1,"b":2}}', b'{"a":1,"\\u0061":2}'])
def test_a_repeated_key_is_malformed(body: bytes) -> None:
    with pytest.raises(BodyMalformed, match="repeats a key"):
        read_json_object(body)


def test_numbers_are_exact_decimals() -> None:
    read = read_json_object(b'{"a":0.1,"b":10,"c":1E2,"d":-0.005,"e":12345678901234567890.12}')
    assert read == {
        "a": Decimal("0.1"),
        "b": Decimal(10),
        "c": Decimal(100),
        "d": Decimal("-0.005"),
        "e": Decimal("12345678901234567890.12"),
    }
    assert all(type(value) is Decimal for value in read.values())


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e9999999999999999999"])
def test_what_is_no_number_is_left_to_validation(text: str) -> None:
    assert not read_json_object(f'{{"a":{text}}}'.encode())["a"].is_finite()


def test_a_huge_exponent_is_read_at_once() -> None:
    assert read_json_object(b'{"a":1e400}')["a"] > Decimal("1e399")


def test_a_number_of_a_million_digits_is_read_in_time() -> None:
    assert read_json_object(b'{"a":' + b"9" * 1_000_000 + b"}")["a"].adjusted() == 999_999


SCALARS = st.none() | st.booleans() | st.text(max_size=5) | st.decimals(-(10**12), 10**12, places=2)
KEYS = st.text(max_size=5)


@given(
    st.dictionaries(
        KEYS,
        SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(KEYS, SCALARS, max_size=3),
        max_size=4,
    )
)
def test_what_is_rendered_reads_the_same(value: dict[str, Any]) -> None:
    assert read_json_object(render_json(value).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(BodyMalformed):
        read_json_object(body)


def test_models_are_rendered_by_alias_with_money_as_it_is() -> None:
    thing = Thing(some_money=Decimal("999989.50"), inner=[Thing(some_money=Decimal("0.00"))])
    assert render_json(thing) == (
        '{"someMoney":999989.50,"colour":"red",'
        '"inner":[{"someMoney":0.00,"colour":"red","inner":[]}]}'
    )


def test_rendered_text_is_ascii_even_for_lone_surrogates() -> None:
    assert render_json({"\ud800": 'ü"\n'}) == '{"\\ud800":"\\u00fc\\"\\n"}'


def test_other_values_have_their_json_form() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    ident = UUID(int=1)
    value = {"at": moment, "id": ident, "yes": True, "none": None, "n": 3, "f": 0.25, "t": (1,)}
    assert json.loads(render_json(value)) == {
        "at": "2026-01-02T03:04:05.000006Z",
        "id": str(ident),
        "yes": True,
        "none": None,
        "n": 3,
        "f": 0.25,
        "t": [1],
    }


@pytest.mark.parametrize(
    "value",
    [
        Decimal("NaN"),
        float("inf"),
        float("nan"),
        datetime(2026, 1, 1),  # noqa: DTZ001 - without a zone: that is what is wrong with it
    ],
)
def test_what_json_cannot_say_is_a_defect(value: object) -> None:
    with pytest.raises(AssertionError):
        render_json(value)


def test_a_value_without_json_form_is_a_defect() -> None:
    with pytest.raises(TypeError, match="bytes"):
        render_json(b"")
