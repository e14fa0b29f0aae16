"""A package of the function's own, with the name of one that is installed beside the stack."""

from __future__ import annotations

__version__ = "0.0.1"


def encode(text: str) -> bytes:
    return text.encode("ascii")
