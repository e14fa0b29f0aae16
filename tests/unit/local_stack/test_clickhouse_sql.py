"""What the front sees in a statement before the engine does."""

from __future__ import annotations

import pytest

from local_stack.services.clickhouse.errors import ClickHouseError
from local_stack.services.clickhouse.sql import (
    STATEMENT_BYTES_MAX,
    parse_insert,
    parse_statement,
)


@pytest.mark.parametrize(
    ("text", "target", "settings", "fmt", "data"),
    [
        (b"INSERT INTO t FORMAT Native\n\x00\x01;", b"INSERT INTO t ", b"", "Native", b"\x00\x01;"),
        (b"insert into `a b`.t (x, y) format CSV\r\n1,2", None, b"", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT CSV 1,2", None, b"", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT TSV\n\n1", None, b"", "TSV", b"\n1"),
        (b"INSERT INTO t FORMAT CSV", None, b"", "CSV", b""),
        (b"INSERT INTO t VALUES (1), (2)", b"INSERT INTO t ", b"", "Values", b" (1), (2)"),
        (b"INSERT INTO db.values (format) VALUES (1)", None, b"", "Values", b" (1)"),
        (b"INSERT INTO format FORMAT CSV\n1", b"INSERT INTO format ", b"", "CSV", b"1"),
        (b"-- why\n/* FORMAT x */ INSERT INTO t FORMAT CSV\n1", None, b"", "CSV", b"1"),
        (
            b"INSERT INTO t (a) SETTINGS x = 'FORMAT y', z = 1 FORMAT CSV\n1",
            b"INSERT INTO t (a) ",
            b"SETTINGS x = 'FORMAT y', z = 1 ",
            "CSV",
            b"1",
        ),
        (b"INSERT INTO FUNCTION null('a Int8') FORMAT CSV\n1", None, b"", "CSV", b"1"),
        (b"INSERT INTO TABLE FUNCTION null('a Int8') VALUES (1)", None, b"", "Values", b" (1)"),
    ],
)
def test_an_inserts_data_is_told_from_its_head(
    text: bytes, target: bytes | None, settings: bytes, fmt: str, data: bytes
):
    insert = parse_insert(text)

    assert insert is not None
    assert (insert.settings, insert.format, text[insert.data_start :]) == (settings, fmt, data)
    assert target is None or insert.target == target


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT 1 FORMAT CSV",
        b"INSERT INTO t SELECT 1",
        b"INSERT INTO t (SELECT 1 FORMAT CSV)",
        b"INSERT INTO t WITH 1 AS x SELECT x",
        b"INSERT INTO t",
        b"INSERT INTO t FORMAT",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"EXPLAIN INSERT INTO t VALUES (1)",
        b"",
        b"/* INSERT INTO t VALUES (1)",
    ],
)
def test_anything_else_is_no_insert_with_data(text: bytes):
    assert parse_insert(text) is None


@pytest.mark.parametrize(
    ("text", "fmt"),
    [
        (b"SELECT 1", None),
        (b"SELECT 1 FORMAT JSON", "JSON"),
        (b"SELECT 1\n FORMAT  Native ;", "Native"),
        (b"SELECT 1 FORMAT JSON SETTINGS max_threads = 1", "JSON"),
        (b"SELECT 'FORMAT CSV'", None),
        (b"SELECT 1 -- FORMAT CSV", None),
        (b"SELECT format('{}', 1)", None),
        (b"SELECT $$ FORMAT CSV $$ FORMAT TSV", "TSV"),
        (b"SELECT a$b$c FORMAT TSV", "TSV"),
    ],
)
def test_the_format_of_an_answer_is_found(text: bytes, fmt: str | None):
    assert parse_statement(text).format == fmt


@pytest.mark.parametrize(
    ("text", "reads", "streams", "changes_session"),
    [
        (b"SELECT 1", True, True, False),
        (b"(SELECT 1) UNION ALL (SELECT 2)", True, True, False),
        (b"WITH 1 AS x SELECT x", False, True, False),
        (b"WITH 1 AS x INSERT INTO t SELECT x", False, False, False),
        (b"show tables", True, False, False),
        (b"DESCRIBE TABLE t", True, False, False),
        (b"CREATE TABLE t (a Int8) ENGINE = Memory", False, False, False),
        (b"CREATE TEMPORARY TABLE t (a Int8)", False, False, True),
        (b"set max_threads = 1", False, False, True),
        (b"USE x", False, False, True),
        (b"INSERT INTO t SELECT 1", False, False, False),
    ],
)
def test_statements_are_told_apart(text: bytes, reads: bool, streams: bool, changes_session: bool):
    statement = parse_statement(text)

    assert (statement.reads, statement.changes_session) == (reads, changes_session)
    assert statement.streams == streams


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", 62),
        (b" ; ", 62),
        (b"-- nothing", 62),
        (b"SELECT 1; SELECT 2", 62),
        (b"SELECT 1; -- then\n DROP TABLE t", 62),
        (b"SELECT 1 INTO OUTFILE 'x'", 358),
        (b"INSERT INTO t FROM INFILE 'x' FORMAT CSV", 78),
        (b"INSERT INTO t SELECT * FROM input('a Int8') FORMAT CSV 1", 48),
    ],
)
def test_what_http_does_not_allow_is_refused(text: bytes, code: int):
    with pytest.raises(ClickHouseError) as refused:
        parse_statement(text)

    assert refused.value.code == code


@pytest.mark.parametrize(
    "text",
    [b"SELECT 1;", b"SELECT ';' ;\n-- done\n", b"SELECT 1; /* ; */ ;", b'SELECT ";" FROM t'],
)
def test_one_statement_may_end_in_semicolons(text: bytes):
    assert parse_statement(text).keyword == b"SELECT"


def test_a_statement_may_be_as_long_as_the_limit_and_no_longer():
    longest = b"SELECT '" + b"x" * (STATEMENT_BYTES_MAX - 9) + b"'"

    assert parse_statement(longest).keyword == b"SELECT"
    with pytest.raises(ClickHouseError) as refused:
        parse_statement(longest + b" ")
    assert refused.value.code == 229


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "piece",
    [b"/*", b"'\\", b'"\\', b"`\\", b" $a", b"$$", b" $x$y", b"FORMAT ", b"-- ", b"(", b"''"],
)
def test_looking_through_rubbish_takes_no_longer_than_through_sense(piece: bytes):
    text = b"SELECT " + piece * (500_000 // len(piece))

    assert parse_statement(text).keyword == b"SELECT"
    parse_insert(b"INSERT INTO t " + text[7:])
