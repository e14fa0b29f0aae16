"""Event patterns of EventBridge, as far as Lambda's event filtering has them. Pure.

Operators: Lambda developer guide, "Control which events Lambda sends to your function", table of
comparison operators. Numbers are equal when they are written alike (300 is not 300.0); `numeric`
compares their values. An array in the document matches when one of its items does.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

PATTERN_LENGTH_MAX = 4096
OR_BRANCHES_MAX = 100  # `$or` inside `$or` multiplies; EventBridge has a bound of its own
_COMPARISONS: Mapping[str, Callable[[Decimal, Decimal], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ABSENT = object()
Rule = Callable[[Any], bool]
Node = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number as it was written."""

    text: str


class BadPattern(ValueError):
    """A pattern that Lambda would not take; the text says where and why."""


def read_json(text: str) -> Any:
    """Parse JSON with numbers as `Number`. Raises `ValueError`, also for `NaN` and `Infinity`."""
    return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_refuse_constant)


def read_pattern(text: str) -> Mapping[str, Any]:
    """The pattern in `text`, checked to the last operator. Raises `BadPattern`."""
    if len(text) > PATTERN_LENGTH_MAX:
        msg = f"a pattern has {PATTERN_LENGTH_MAX} characters at most"
        raise BadPattern(msg)
    try:
        pattern = read_json(text)
    except (ValueError, RecursionError) as error:
        msg = f"the pattern is no JSON: {error}"
        raise BadPattern(msg) from error
    if not isinstance(pattern, dict) or not pattern:
        raise BadPattern("a pattern is a JSON object with at least one field")
    compile_fields(pattern, "")
    return pattern


def compile_fields(pattern: Mapping[str, Any], path: str) -> Node:
    """What tells whether a document has all the fields that `pattern` asks for."""
    nodes = [_field(name, wanted, f"{path}.{name}") for name, wanted in pattern.items()]
    return lambda document: all(node(document) for node in nodes)


def compile_rules(rules: Any, path: str) -> Rule:
    """What tells whether a value satisfies one of `rules`; `path` is for messages."""
    if not isinstance(rules, list) or not rules:
        msg = f'{path.lstrip(".")}: values stand in a list, such as ["a"]'
        raise BadPattern(msg)
    compiled = [_rule(rule, path.lstrip(".")) for rule in rules]
    return lambda value: any(rule(value) for rule in compiled)


def _field(name: str, wanted: Any, path: str) -> Node:
    if name == "$or":
        return _either(wanted, path)
    if isinstance(wanted, dict):
        if not wanted:
            msg = f"{path.lstrip('.')}: an empty object matches nothing"
            raise BadPattern(msg)
        inner = compile_fields(wanted, path)
        return lambda document: _inside(document.get(name), inner)
    rules = compile_rules(wanted, path)
    return lambda document: _leaf(document.get(name, _ABSENT), rules)


def _either(branches: Any, path: str) -> Node:
    is_list = isinstance(branches, list) and 1 < len(branches) <= OR_BRANCHES_MAX
    if not is_list or not all(isinstance(branch, dict) and branch for branch in branches):
        msg = f"{path.lstrip('.')}: is a list of 2 to {OR_BRANCHES_MAX} objects"
        raise BadPattern(msg)
    nodes = [compile_fields(branch, path) for branch in branches]
    return lambda document: any(node(document) for node in nodes)


def _inside(value: Any, inner: Node) -> bool:
    if isinstance(value, list):
        return any(isinstance(item, dict) and inner(item) for item in value)
    # What is not there may be asked for: {"exists": false} below a field that is missing.
    return inner(value if isinstance(value, dict) else {})


def _leaf(value: Any, rules: Rule) -> bool:
    if isinstance(value, dict):
        return rules(_ABSENT)  # operators see leaves only
    if isinstance(value, list):
        return any(rules(item) for item in value if not isinstance(item, dict | list))
    return rules(value)


def _rule(rule: Any, path: str) -> Rule:
    if isinstance(rule, dict):
        if len(rule) != 1:
            msg = f"{path}: one operator an object"
            raise BadPattern(msg)
        [(name, argument)] = rule.items()
        if name not in _OPERATORS:
            known = ", ".join(_OPERATORS)
            msg = f"{path}: {name!r} is no operator of Lambda's filters ({known})"
            raise BadPattern(msg)
        return _OPERATORS[name](argument, path)
    if isinstance(rule, list):
        msg = f"{path}: a list inside a list"
        raise BadPattern(msg)
    return lambda value: _same(value, rule)


def _same(value: Any, wanted: Any) -> bool:
    return type(value) is type(wanted) and bool(value == wanted)


def _text(argument: Any, path: str) -> str:
    if not isinstance(argument, str):
        msg = f"{path}: the operator takes a text"
        raise BadPattern(msg)
    return argument


def _prefix(argument: Any, path: str) -> Rule:
    start = _text(argument, path)
    return lambda value: isinstance(value, str) and value.startswith(start)


def _suffix(argument: Any, path: str) -> Rule:
    end = _text(argument, path)
    return lambda value: isinstance(value, str) and value.endswith(end)


def _ignore_case(argument: Any, path: str) -> Rule:
    wanted = _text(argument, path).casefold()
    return lambda value: isinstance(value, str) and value.casefold() == wanted


def _anything_but(argument: Any, path: str) -> Rule:
    if isinstance(argument, dict):
        if len(argument) != 1 or not set(argument) <= {"prefix", "suffix", "equals-ignore-case"}:
            msg = f"{path}: anything-but takes values, or one prefix, suffix or equals-ignore-case"
            raise BadPattern(msg)
        unwanted = _rule(argument, path)
    else:
        values = argument if isinstance(argument, list) else [argument]
        if not values or not all(isinstance(item, str | Number) for item in values):
            msg = f"{path}: anything-but takes texts and numbers"
            raise BadPattern(msg)
        unwanted = compile_rules(values, path)
    return lambda value: value is not _ABSENT and not unwanted(value)


def _exists(argument: Any, path: str) -> Rule:
    if not isinstance(argument, bool):
        msg = f"{path}: exists takes true or false"
        raise BadPattern(msg)
    return lambda value: (value is not _ABSENT) is argument


def _numeric(argument: Any, path: str) -> Rule:
    is_pairs = isinstance(argument, list) and len(argument) in (2, 4)
    names, numbers = (argument[::2], argument[1::2]) if is_pairs else ([], [])
    are_known = all(isinstance(name, str) and name in _COMPARISONS for name in names)
    if not is_pairs or not are_known or not all(isinstance(n, Number) for n in numbers):
        msg = f'{path}: numeric is a list such as [">", 10, "<=", 20]'
        raise BadPattern(msg)
    bounds = [
        (_COMPARISONS[name], Decimal(bound.text))
        for name, bound in zip(names, numbers, strict=True)
    ]

    def within(value: Any) -> bool:
        if not isinstance(value, Number):
            return False
        try:
            number = Decimal(value.text)
        except InvalidOperation:
            return False
        return all(compare(number, bound) for compare, bound in bounds)

    return within


_OPERATORS: Mapping[str, Callable[[Any, str], Rule]] = {
    "anything-but": _anything_but,
    "equals-ignore-case": _ignore_case,
    "exists": _exists,
    "numeric": _numeric,
    "prefix": _prefix,
    "suffix": _suffix,
}


def _refuse_constant(text: str) -> Any:
    msg = f"{text} is no JSON"
    raise ValueError(msg)
