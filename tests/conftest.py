"""Fixtures for every test, and a clean environment: no setting of ours leaks in from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_OURS = ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL")

for _name in list(os.environ):
    if _name.startswith("LOCAL_STACK_") or _name in _OURS:
        del os.environ[_name]

pytest_plugins = (
    "tests.support.services",
    "tests.support.stack",
    "tests.support.postgres",
    "tests.support.events",
)


@pytest.fixture(autouse=True)
def no_event_loop_left() -> Iterator[None]:
    """Close the loop that Mangum leaves as the current one, or the next `asyncio.run` drops it."""
    yield
    with contextlib.suppress(RuntimeError):  # there is none
        asyncio.get_event_loop().close()
    asyncio.set_event_loop(None)
