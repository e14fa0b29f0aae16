"""EventBridge's patterns, operator by operator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_stack.template.event_patterns import (
    PATTERN_LENGTH_MAX,
    BadPattern,
    compile_fields,
    read_json,
    read_pattern,
)


def _matches(pattern: Any, document: str) -> bool:
    return compile_fields(read_pattern(json.dumps(pattern)), "")(read_json(document))


@pytest.mark.parametrize(
    ("rule", "value", "matches"),
    [
        (["Alice"], '"Alice"', True),
        (["Alice"], '"alice"', False),
        (["a", "b"], '"b"', True),
        ([None], "null", True),
        ([None], '""', False),
        ([""], '""', True),
        ([""], "null", False),
        ([True], "true", True),
        ([True], "1", False),
        ([300], "300", True),
        ([300], "300.0", False),
        ([300], "3.0e2", False),
        (["300"], "300", False),
        ([{"equals-ignore-case": "alice"}], '"ALICE"', True),
        ([{"prefix": "us-"}], '"us-east-1"', True),
        ([{"prefix": "us-"}], '"eu-us-1"', False),
        ([{"prefix": "1"}], "12", False),
        ([{"suffix": ".png"}], '"a.png"', True),
        ([{"suffix": ".png"}], '"a.jpg"', False),
        ([{"anything-but": ["Raining"]}], '"Sunny"', True),
        ([{"anything-but": ["Raining"]}], '"Raining"', False),
        ([{"anything-but": "Raining"}], '"Raining"', False),
        ([{"anything-but": [1, 2]}], "3", True),
        ([{"anything-but": [1, 2]}], "2", False),
        ([{"anything-but": {"prefix": "a"}}], '"b"', True),
        ([{"anything-but": {"prefix": "a"}}], '"ab"', False),
        ([{"numeric": ["=", 100]}], "1.0e2", True),
        ([{"numeric": [">", 10, "<=", 20]}], "20", True),
        ([{"numeric": [">", 10, "<=", 20]}], "10", False),
        ([{"numeric": [">", 10]}], '"11"', False),
        ([{"exists": True}], "null", True),
        ([{"exists": False}], '"x"', False),
        (["b", {"prefix": "x"}], '"xyz"', True),
        (["a"], '["b", "a"]', True),
        (["a"], '["b"]', False),
        (["a"], '{"x": "a"}', False),
        ([{"exists": True}], '{"x": "a"}', False),
    ],
)
def test_a_rule_judges_a_value(rule: Any, value: str, *, matches: bool) -> None:
    assert _matches({"field": rule}, f'{{"field": {value}}}') is matches


def test_what_is_missing_exists_not() -> None:
    assert _matches({"a": [{"exists": False}]}, "{}")
    assert _matches({"a": {"b": [{"exists": False}]}}, '{"a": {"c": 1}}')
    assert _matches({"a": {"b": [{"exists": False}]}}, "{}")
    assert not _matches({"a": [{"exists": True}]}, "{}")
    assert not _matches({"a": [{"anything-but": ["x"]}]}, "{}")
    assert not _matches({"a": [None]}, "{}")


def test_fields_are_anded_and_nested() -> None:
    pattern = {"order": {"type": ["buy"], "stock": [{"prefix": "A"}]}, "desk": [1]}

    assert _matches(pattern, '{"order": {"type": "buy", "stock": "AB", "more": 1}, "desk": 1}')
    assert not _matches(pattern, '{"order": {"type": "buy", "stock": "B"}, "desk": 1}')
    assert not _matches(pattern, '{"order": {"type": "buy", "stock": "AB"}, "desk": 2}')
    assert not _matches(pattern, '{"order": "buy", "desk": 1}')


def test_objects_in_an_array_are_looked_into() -> None:
    pattern = {"items": {"kind": ["a"], "size": [1]}}

    assert _matches(pattern, '{"items": [{"kind": "b"}, {"kind": "a", "size": 1}]}')
    assert not _matches(pattern, '{"items": [{"kind": "a"}, {"size": 1}]}')


def test_or_stands_beside_other_fields() -> None:
    pattern = {"x": [1], "$or": [{"city": ["Rome"]}, {"day": ["Monday"]}]}

    assert _matches(pattern, '{"x": 1, "day": "Monday"}')
    assert _matches(pattern, '{"x": 1, "city": "Rome", "day": "Sunday"}')
    assert not _matches(pattern, '{"x": 1, "day": "Sunday"}')
    assert not _matches(pattern, '{"x": 2, "city": "Rome"}')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the pattern is no JSON"),
        ("[]", "a pattern is a JSON object with at least one field"),
        ("{}", "a pattern is a JSON object with at least one field"),
        ('{"a": NaN}', "NaN is no JSON"),
        ('{"a": "text"}', "a: values stand in a list"),
        ('{"a": []}', "a: values stand in a list"),
        ('{"a": {}}', "a: an empty object matches nothing"),
        ('{"a": {"b": 1}}', "a.b: values stand in a list"),
        ('{"a": [[1]]}', "a: a list inside a list"),
        ('{"a": [{"wildcard": "x*"}]}', "a: 'wildcard' is no operator of Lambda's filters"),
        ('{"a": [{"prefix": "x", "suffix": "y"}]}', "a: one operator an object"),
        ('{"a": [{"prefix": 1}]}', "a: the operator takes a text"),
        ('{"a": [{"exists": 1}]}', "a: exists takes true or false"),
        ('{"a": [{"exists": "true"}]}', "a: exists takes true or false"),
        ('{"a": [{"numeric": [">"]}]}', "a: numeric is a list such as"),
        ('{"a": [{"numeric": ["~", 1]}]}', "a: numeric is a list such as"),
        ('{"a": [{"numeric": [">", "1"]}]}', "a: numeric is a list such as"),
        ('{"a": [{"numeric": [[], 1]}]}', "a: numeric is a list such as"),
        ('{"a": [{"numeric": 1}]}', "a: numeric is a list such as"),
        ('{"a": [{"anything-but": []}]}', "a: anything-but takes texts and numbers"),
        ('{"a": [{"anything-but": [null]}]}', "a: anything-but takes texts and numbers"),
        ('{"a": [{"anything-but": {"numeric": ["=", 1]}}]}', "a: anything-but takes values, or"),
        ('{"$or": [{"a": [1]}]}', "$or: is a list of 2 to 100 objects"),
        ('{"$or": {"a": [1]}}', "$or: is a list of 2 to 100 objects"),
    ],
)
def test_what_lambda_would_not_take_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadPattern) as caught:
        read_pattern(text)

    assert message in str(caught.value)


def test_a_pattern_has_4096_characters() -> None:
    longest = json.dumps({"a": ["x" * (PATTERN_LENGTH_MAX - len(json.dumps({"a": [""]})))]})
    assert len(longest) == PATTERN_LENGTH_MAX

    assert read_pattern(longest)
    with pytest.raises(BadPattern, match="4096 characters at most"):
        read_pattern(longest + " ")
