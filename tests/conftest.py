"""Fixtures for every test, and a clean environment: no setting of ours leaks in from outside."""

from __future__ import annotations

import os

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
