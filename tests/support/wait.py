"""Waiting for something to become true, instead of sleeping and hoping."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def wait_until(
    predicate: Callable[[], object], timeout_s: float, message: str, *, interval_s: float = 0.01
) -> None:
    """Return once `predicate()` is true; fail with `message` after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() > deadline:
            msg = f"not true within {timeout_s} s: {message}"
            raise AssertionError(msg)
        time.sleep(interval_s)
