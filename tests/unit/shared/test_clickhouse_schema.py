"""ClickHouse's migrations as files."""

from shared.migrations.clickhouse_schema import migration_files, statements


def test_statements_end_with_a_semicolon_at_the_end_of_a_line() -> None:
    sql = "-- a; comment;\nCREATE TABLE a\n(x String);\n\nSELECT ';' AS semicolon\n;\n-- end\n"
    assert statements(sql) == ["CREATE TABLE a\n(x String)", "SELECT ';' AS semicolon"]


def test_files_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in migration_files()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_statement_may_be_repeated() -> None:
    for path in migration_files():
        for statement in statements(path.read_text()):
            assert "IF NOT EXISTS" in statement, path.name
