"""A module that raises when it is imported."""

from __future__ import annotations

VALUE = int("forty-two")


def handler(event: object, context: object) -> int:
    return VALUE
