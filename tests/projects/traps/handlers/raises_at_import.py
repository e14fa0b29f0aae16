"""A module that raises when it is imported, with words before it."""

from __future__ import annotations

import sys

sys.stdout.write("about to raise\n")
VALUE = int("forty-two")


def handler(event: object, context: object) -> int:
    return VALUE
