"""A function whose module is named as another function's."""

from __future__ import annotations

from names import NAME


def handler(event: object, context: object) -> str:
    return NAME
