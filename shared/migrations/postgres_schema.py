"""PostgreSQL's schema: applies what `migrations/postgres` has and the database has not.

Migrations are SQL files named `NNNN.what-they-do.sql`, each with its `.rollback.sql`, applied in
order by yoyo and never edited once released. Runs exclude each other by an advisory lock, not by
yoyo's lock table: a row in a table outlives a run that was killed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from typing_extensions import override
from yoyo import read_migrations  # type: ignore[import-untyped]
from yoyo.backends import PostgresqlPsycopgBackend  # type: ignore[import-untyped]
from yoyo.connections import parse_uri  # type: ignore[import-untyped]
from yoyo.migrations import default_migration_table  # type: ignore[import-untyped]

from shared import clock
from shared.postgres import advisory_lock

MIGRATIONS = Path(__file__).parent / "postgres"
MIGRATION_LOCK = 0x6D696772617465  # "migrate"
LOCK_TIMEOUT_S = 60.0


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]
    """yoyo's backend without asking who and where we are: in Lambda neither has a name."""

    @override
    def get_log_data(self, migration: Any = None, operation: str = "apply") -> dict[str, Any]:
        return {
            "id": str(uuid4()),
            "migration_id": migration.id if migration else None,
            "migration_hash": migration.hash if migration else None,
            "username": "migrate",
            "hostname": "migrate",
            "created_at_utc": clock.now().replace(tzinfo=None),
            "operation": operation,
        }


def migrate_postgres(database_url: str) -> list[str]:
    """Bring the database up to date and return the ids of the migrations that were applied.

    Raises `PostgresUnavailable` without a database, or when another run holds the lock too long.
    """
    with advisory_lock(database_url, MIGRATION_LOCK, timeout_s=LOCK_TIMEOUT_S):
        uri = parse_uri(database_url)._replace(scheme="postgresql+psycopg")
        with _Backend(uri, default_migration_table) as backend:
            backend.init_database()
            pending = backend.to_apply(read_migrations(str(MIGRATIONS)))
            backend.apply_migrations(pending)
            return [migration.id for migration in pending]
