"""Which records FilterCriteria lets through, by the table of the developer guide."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_stack.triggers.kafka.filters import read_filters
from tests.support.kafka_records import a_record

JSON_PATTERN = {"value": {"device_ID": [{"prefix": "AB"}]}}
TEXT_PATTERN = {"value": [{"anything-but": ["error"]}]}
NOT_UTF8 = "ok".encode("utf-16")
TABLE = [
    # message, pattern, passes: what the guide's table says
    (b"error", TEXT_PATTERN, False),  # plain text, plain pattern
    (b"fine", TEXT_PATTERN, True),
    (b"error", JSON_PATTERN, True),  # plain text, JSON pattern: metadata only
    (b'{"device_ID": "CD"}', TEXT_PATTERN, True),  # JSON, plain pattern: metadata only
    (b'{"device_ID": "AB1"}', JSON_PATTERN, True),  # JSON, JSON pattern
    (b'{"device_ID": "CD1"}', JSON_PATTERN, False),
    (b'{"other": 1}', JSON_PATTERN, False),
    (NOT_UTF8, JSON_PATTERN, True),  # no UTF-8: metadata only
    (NOT_UTF8, TEXT_PATTERN, True),
    (b"\xff\xfe", JSON_PATTERN, True),
    (None, JSON_PATTERN, True),  # a tombstone has no format at all
    (None, TEXT_PATTERN, True),
    (b"", TEXT_PATTERN, True),
    (b"123", {"value": ["123"]}, True),  # a number is no JSON object: plain text
    (b"124", {"value": ["123"]}, False),
]


def _passes(*patterns: Any, **record: Any) -> bool:
    passes = read_filters([json.dumps(pattern) for pattern in patterns])
    assert passes is not None
    return passes(a_record(**record))


@pytest.mark.parametrize(("message", "pattern", "passes"), TABLE)
def test_a_message_is_judged_by_its_format_and_the_patterns(
    message: bytes | None, pattern: Any, *, passes: bool
) -> None:
    assert _passes(pattern, value=message) is passes


@pytest.mark.parametrize(("message", "pattern", "passes"), TABLE)
def test_metadata_is_judged_whatever_the_message_is(
    message: bytes | None, pattern: Any, *, passes: bool
) -> None:
    assert _passes({**pattern, "topic": ["orders"]}, value=message) is passes
    assert not _passes({**pattern, "topic": ["others"]}, value=message)


def test_metadata_and_key_can_be_asked_for() -> None:
    record = {"partition": 2, "offset": 15, "key": b"user-7", "timestamp": 5}

    assert _passes({"partition": [2], "offset": [{"numeric": [">=", 15]}]}, **record)
    assert not _passes({"partition": [1]}, **record)
    assert _passes({"key": [{"prefix": "user-"}]}, **record)
    assert not _passes({"key": ["user-8"]}, **record)
    assert _passes({"timestampType": ["CREATE_TIME"]}, **record)
    assert _passes({"key": {"id": [1]}}, key=b'{"id": 1}')
    assert not _passes({"key": {"id": [1]}}, key=b'{"id": 2}')


def test_any_one_of_the_patterns_is_enough() -> None:
    assert _passes({"partition": [9]}, JSON_PATTERN, value=b'{"device_ID": "AB"}')
    assert not _passes({"partition": [9]}, JSON_PATTERN, value=b'{"device_ID": "C"}')


def test_or_reaches_into_the_value() -> None:
    pattern = {"$or": [{"value": {"a": [1]}}, {"partition": [9]}]}

    assert _passes(pattern, value=b'{"a": 1}')
    assert _passes(pattern, value=b'{"a": 2}', partition=9)
    assert not _passes(pattern, value=b'{"a": 2}')


def test_deep_json_is_no_defect() -> None:
    assert _passes(JSON_PATTERN, value=b'{"a":' * 100_000)


def test_without_patterns_there_is_nothing_to_judge() -> None:
    assert read_filters([]) is None
