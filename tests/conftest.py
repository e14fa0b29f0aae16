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
def event_loop_for_mangum() -> Iterator[None]:
    """A current event loop, as Mangum expects one, closed after the test.

    Mangum makes one where there is none, also when an application is built outside a test; the
    next `asyncio.run` would drop it unclosed.
    """
    with contextlib.suppress(RuntimeError):  # there is none
        asyncio.get_event_loop().close()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
