"""Bring tables and topics up to date, and load the demo data if asked. Repeating it is harmless.

It waits for nothing: a store that is away is an error, and whoever invoked it tries again.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TypedDict

from shared.betting.demo_data import load_demo_data
from shared.kafka import ensure_topics
from shared.migrations.clickhouse_schema import migrate_clickhouse
from shared.migrations.postgres_schema import migrate_postgres
from shared.observability import logger
from shared.settings import postgres_settings


class MigrateSchema(TypedDict, total=False):
    """What is asked for."""

    demoData: bool


class MigrationReport(TypedDict):
    """What was done: names of what was applied or created; None for what was not asked for."""

    postgres: list[str]
    clickhouse: list[str]
    topics: list[str]
    demoData: dict[str, int] | None


def migrate_schema(command: MigrateSchema) -> MigrationReport:
    """Do what is missing. Raises the `Unavailable` error of the first store that is away."""
    url = postgres_settings().database_url.get_secret_value()
    report: MigrationReport = {
        "postgres": migrate_postgres(url),
        "clickhouse": migrate_clickhouse(),
        "topics": ensure_topics(),
        "demoData": asdict(load_demo_data()) if command.get("demoData") is True else None,
    }
    logger().info("schema migrated", extra={"report": report})
    return report
