"""Just enough of ClickHouse's grammar to know what to do with a statement.

Pure. It decides how a statement is handed to the engine (an INSERT's data goes another way than
its head, a SELECT may be streamed) and what the HTTP interface refuses. It never rewrites one: the
engine parses every statement itself, and is the one that says what is wrong with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from local_stack.services.clickhouse.errors import ClickHouseError, Code

STATEMENT_BYTES_MAX = 1024 * 1024  # the engine itself stops at `max_query_size`, 256 KiB
INSERT_HEAD_BYTES_MAX = 256 * 1024

# Anything that is not closed goes on to the end: the engine will say so, and looking stays linear.
_COMMENT = rb"--[^\n]*|\#[\ !][^\n]*|/\*.*?(?:\*/|\Z)"
_QUOTED = (
    rb"'(?:[^'\\]++|\\.?|'')*+(?:'|\Z)"
    rb'|"(?:[^"\\]++|\\.?|"")*+(?:"|\Z)'
    rb"|`(?:[^`\\]++|\\.?|``)*+(?:`|\Z)"
    rb"|(?<![\w$])\$(?P<heredoc>\w*)\$.*?(?:\$(?P=heredoc)\$|\Z)"
)
_TOKEN = re.compile(
    rb"(?P<blank>(?:\s|" + _COMMENT + rb")+)"
    rb"|(?P<quoted>" + _QUOTED + rb")"
    rb"|(?P<word>[A-Za-z_]\w*)"
    rb"|(?P<other>.)",
    re.DOTALL,
)
_SCAN = re.compile(
    rb"(?:"
    + _COMMENT
    + rb"|"
    + _QUOTED
    + rb")"
    + rb"|\bFORMAT\s+(?P<format>[A-Za-z]\w*)"
    + rb"|(?P<outfile>\bINTO\s+OUTFILE\b)"
    + rb"|(?P<infile>\bFROM\s+INFILE\b)"
    + rb"|(?P<input>\binput\s*\()"
    + rb"|(?P<temporary>\bTEMPORARY\b)"
    + rb"|(?P<insert>\bINSERT\s+INTO\b)"
    + rb"|(?P<end>;)",
    re.DOTALL | re.IGNORECASE,
)
_BLANK = re.compile(rb"(?:[\s;]|" + _COMMENT + rb")*", re.DOTALL)
_FORMAT_NAME = re.compile(rb"\s+([A-Za-z]\w*)")
_AFTER_FORMAT = re.compile(rb"[ \t\f]*\r?\n?")

_READS = frozenset({b"SELECT", b"SHOW", b"DESCRIBE", b"DESC", b"EXISTS", b"EXPLAIN"})
_NAME_FOLLOWS = frozenset({b"INTO", b"TABLE", b"FUNCTION", b"."})

# Formats of which several documents, one after the other, are one document. The engine formats
# every chunk of a streamed result by itself, so only these may be streamed.
STREAMABLE_FORMATS = frozenset(
    {"Native", "RowBinary", "TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "Raw", "CSV"}
    | {"TSKV", "JSONEachRow", "JSONLines", "NDJSON", "JSONStringsEachRow"}
    | {"JSONCompactEachRow", "JSONCompactStringsEachRow", "Null"}
)


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT with data: `INSERT INTO t (a, b)`, `SETTINGS x = 1`, its format, its data's start."""

    target: bytes
    settings: bytes
    format: str
    data_start: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What there is to know about any other statement."""

    keyword: bytes  # upper case: SELECT, CREATE, …
    format: str | None  # of its FORMAT clause
    inserts: bool
    temporary: bool

    @property
    def reads(self) -> bool:
        """It returns rows and cannot change anything, not even its own connection."""
        return self.keyword in _READS

    @property
    def returns_rows(self) -> bool:
        """It answers in an output format even when there are no rows."""
        return self.reads or (self.keyword == b"WITH" and not self.inserts)

    @property
    def streams(self) -> bool:
        """The engine can return its result chunk by chunk."""
        return self.keyword in {b"SELECT", b"WITH"} and not self.inserts

    @property
    def changes_session(self) -> bool:
        """It leaves something in its session: a setting, a database, a temporary table."""
        return self.keyword in {b"SET", b"USE", b"BEGIN"} or (
            self.temporary and self.keyword == b"CREATE"
        )


def parse_insert(text: bytes) -> Insert | None:
    """Where the data of `INSERT INTO … FORMAT x` or `… VALUES` begins; None for anything else."""
    depth = 0
    before = b""
    settings_start: int | None = None
    for match in _TOKEN.finditer(text, 0, INSERT_HEAD_BYTES_MAX):
        if match.lastgroup in {"blank", "heredoc"}:
            continue
        token = match[0].upper()
        if not before and token != b"INSERT":
            return None
        if match.lastgroup == "word" and before not in _NAME_FOLLOWS:
            if token in {b"SELECT", b"WITH", b"INFILE"}:
                return None
            if token == b"SETTINGS" and depth == 0:
                settings_start = match.start()
            if token in {b"VALUES", b"FORMAT"} and depth == 0:
                return _insert_with_data(text, match, settings_start)
        depth += (token == b"(") - (token == b")")
        before = token
    return None


def _insert_with_data(
    text: bytes, keyword: re.Match[bytes], settings_start: int | None
) -> Insert | None:
    fmt, data_start = "Values", keyword.end()
    if keyword[0].upper() == b"FORMAT":
        name = _FORMAT_NAME.match(text, keyword.end())
        if name is None:
            return None
        # As ClickHouse: data starts after the first newline, or after the blanks if there is none.
        blanks = _AFTER_FORMAT.match(text, name.end())
        assert blanks is not None
        fmt, data_start = name[1].decode("ascii"), blanks.end()
    target_end = keyword.start() if settings_start is None else settings_start
    return Insert(text[:target_end], text[target_end : keyword.start()], fmt, data_start)


def parse_statement(text: bytes) -> Statement:
    """Look through a whole statement. Raises `ClickHouseError` for what HTTP does not allow."""
    if len(text) > STATEMENT_BYTES_MAX:
        msg = f"The statement is over {STATEMENT_BYTES_MAX} bytes"
        raise ClickHouseError(Code.QUERY_IS_TOO_LARGE, msg)
    keyword = _keyword(text)
    if not keyword:
        raise ClickHouseError(Code.SYNTAX_ERROR, "Empty query")
    found: dict[str, bytes] = {}
    for match in _SCAN.finditer(text):
        name = match.lastgroup
        if name is None or name == "heredoc":
            continue
        if name == "end":
            _refuse_more_statements(text, match.end())
            break
        found[name] = match[name]
    _refuse_files(found, inserts=keyword == b"INSERT" or "insert" in found)
    return Statement(
        keyword=keyword,
        format=found["format"].decode() if "format" in found else None,
        inserts=keyword == b"INSERT" or "insert" in found,
        temporary="temporary" in found,
    )


def _keyword(text: bytes) -> bytes:
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "blank" or match[0] in {b";", b"("}:
            continue
        return match[0].upper()
    return b""


def _refuse_more_statements(text: bytes, start: int) -> None:
    blank = _BLANK.match(text, start)
    if blank is not None and blank.end() < len(text):
        msg = f"Syntax error (Multi-statements are not allowed): failed at position {start}"
        raise ClickHouseError(Code.SYNTAX_ERROR, msg)


def _refuse_files(found: dict[str, bytes], *, inserts: bool) -> None:
    if "outfile" in found:
        raise ClickHouseError(Code.INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
    if "infile" in found:
        msg = "Query has infile and was send directly to server"
        raise ClickHouseError(Code.UNKNOWN_TYPE_OF_QUERY, msg)
    if "input" in found and inserts:
        msg = "INSERT … SELECT FROM input() is not supported by the embedded engine"
        raise ClickHouseError(Code.NOT_IMPLEMENTED, msg)
