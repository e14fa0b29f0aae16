"""Brings ClickHouse's tables up to date: numbered SQL files, each applied once and recorded.

ClickHouse has no transactions for this, so every statement has to be harmless when repeated
(`IF NOT EXISTS`): a file that failed half-way is run again from its beginning.
"""

from __future__ import annotations

import re
from pathlib import Path

from shared import clickhouse

FOLDER = Path(__file__).parent / "clickhouse"
STATEMENT_TIMEOUT_S = 30.0

_FILE_NAME = re.compile(r"\d{4}\.[a-z0-9-]+\.sql")


def migrate_clickhouse() -> list[str]:
    """Apply what is missing, in order, and return the names of what was applied.

    Raises `ClickHouseUnavailable` when the server does not answer.
    """
    clickhouse.command(
        "CREATE TABLE IF NOT EXISTS schema_migrations"
        " (name String, applied_at DateTime('UTC') DEFAULT now('UTC'))"
        " ENGINE = MergeTree ORDER BY name",
        timeout_s=STATEMENT_TIMEOUT_S,
    )
    rows = clickhouse.query("SELECT name FROM schema_migrations", timeout_s=STATEMENT_TIMEOUT_S)
    known = {row[0] for row in rows}
    applied = []
    for path in migration_files():
        if path.stem in known:
            continue
        for statement in statements(path.read_text()):
            clickhouse.command(statement, timeout_s=STATEMENT_TIMEOUT_S)
        clickhouse.insert(
            "schema_migrations",
            [clickhouse.Column("name", "String", [path.stem])],
            timeout_s=STATEMENT_TIMEOUT_S,
        )
        applied.append(path.stem)
    return applied


def migration_files() -> list[Path]:
    """The files in the order of their numbers."""
    files = sorted(FOLDER.glob("*.sql"))
    assert files, f"no migrations in {FOLDER}"
    assert all(_FILE_NAME.fullmatch(path.name) for path in files), "names are 0001.what-it-does.sql"
    return files


def statements(sql: str) -> list[str]:
    """The statements of a file: separated by a semicolon at the end of a line, comments dropped."""
    lines = [line for line in sql.splitlines() if not line.lstrip().startswith("--")]
    parts = re.split(r";\s*$", "\n".join(lines), flags=re.MULTILINE)
    return [part.strip() for part in parts if part.strip()]
