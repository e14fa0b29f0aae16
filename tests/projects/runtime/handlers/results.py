"""Handlers that return something."""

from __future__ import annotations

from typing import Any


def echo(event: Any, context: object) -> Any:
    return event


def literal(event: dict[str, Any], context: object) -> Any:
    """Whatever `value` is: None, a text, a number, a list."""
    return event["value"]


def sized(event: dict[str, int], context: object) -> str:
    """A result of exactly `bytes` bytes of JSON."""
    return "x" * (event["bytes"] - 2)


def not_json(event: object, context: object) -> Any:
    return {1, 2}
