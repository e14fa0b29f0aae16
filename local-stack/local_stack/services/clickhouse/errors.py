"""What the front answers when something is wrong, in ClickHouse's own words.

    LocalStackError
    └─ ClickHouseError      a code, a name and a message of ClickHouse; answered over HTTP

Pure. Never shows anything that is not for the client: a defect becomes a bare code 1001.
"""

from __future__ import annotations

import re
from enum import IntEnum
from http import HTTPStatus

from local_stack.errors import LocalStackError


class Code(IntEnum):
    """The codes that this front raises by itself (ClickHouse `src/Common/ErrorCodes.cpp`)."""

    NOT_IMPLEMENTED = 48
    SYNTAX_ERROR = 62
    UNKNOWN_TYPE_OF_QUERY = 78
    TIMEOUT_EXCEEDED = 159
    READONLY = 164
    TOO_MANY_SIMULTANEOUS_QUERIES = 202
    SOCKET_TIMEOUT = 209
    QUERY_IS_TOO_LARGE = 229
    ABORTED = 236
    CANNOT_DECOMPRESS = 271
    INTO_OUTFILE_NOT_ALLOWED = 358
    SESSION_NOT_FOUND = 372
    SESSION_IS_LOCKED = 373
    INVALID_SESSION_TIMEOUT = 374
    BAD_REQUEST_PARAMETER = 408
    ACCESS_DENIED = 497
    STD_EXCEPTION = 1001


# Which HTTP status goes with a code: ClickHouse's own table, by code
# (src/Server/HTTP/exceptionCodeToHTTPStatus.cpp); everything else is 500.
_STATUSES: dict[HTTPStatus, frozenset[int]] = {
    HTTPStatus.BAD_REQUEST: frozenset(
        {6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123}
        | {167, 168, 223, 321, 376, 427, 441, 675, 676}
    ),
    HTTPStatus.UNAUTHORIZED: frozenset({194}),
    HTTPStatus.FORBIDDEN: frozenset({192, 193, 497, 512, 516}),
    HTTPStatus.NOT_FOUND: frozenset({46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511}),
    HTTPStatus.REQUEST_TIMEOUT: frozenset({159}),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: frozenset({229}),
    HTTPStatus.NOT_IMPLEMENTED: frozenset({48}),
    HTTPStatus.SERVICE_UNAVAILABLE: frozenset({76, 209, 439}),
}
# Where the front is plainer than ClickHouse, which answers 500 to these.
_OUR_STATUSES: dict[int, HTTPStatus] = {
    Code.TOO_MANY_SIMULTANEOUS_QUERIES: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.ABORTED: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.SOCKET_TIMEOUT: HTTPStatus.REQUEST_TIMEOUT,
    Code.CANNOT_DECOMPRESS: HTTPStatus.BAD_REQUEST,
    Code.BAD_REQUEST_PARAMETER: HTTPStatus.BAD_REQUEST,
    Code.INVALID_SESSION_TIMEOUT: HTTPStatus.BAD_REQUEST,
}

_ENGINE_TEXT = re.compile(r"Code: (?P<code>\d+)\. DB::Exception: (?P<message>.*)", re.DOTALL)
_NAMED_ENDING = re.compile(r"\([A-Z0-9_]+\)\s*(?:\(version [^()]*(?:\([^()]*\))?\))?\s*$")
_VERSIONED_ENDING = re.compile(r"\(version [^()]*(?:\([^()]*\))?\)\s*$")


class ClickHouseError(LocalStackError):
    """A request that failed; `code` and `message` are ClickHouse's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = int(code)
        self.message = message

    @classmethod
    def from_engine(cls, text: str) -> ClickHouseError:
        """Read the text of an exception of the engine: `Code: 62. DB::Exception: …`."""
        match = _ENGINE_TEXT.search(text)
        if match is None:
            return cls(Code.STD_EXCEPTION, text)
        return cls(int(match["code"]), match["message"])

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status that ClickHouse answers this code with."""
        if self.code in _OUR_STATUSES:
            return _OUR_STATUSES[self.code]
        for status, codes in _STATUSES.items():
            if self.code in codes:
                return status
        return HTTPStatus.INTERNAL_SERVER_ERROR

    def text(self, version: str) -> str:
        """The line that ClickHouse would answer: code, message, name, version."""
        message = self.message.rstrip()
        if not _NAMED_ENDING.search(message):
            message = f"{message} ({_name(self.code)})"
        if not _VERSIONED_ENDING.search(message):
            message = f"{message} (version {version})"
        return f"Code: {self.code}. DB::Exception: {message}"


def exception_trailer(text: str, tag: str) -> bytes:
    """How ClickHouse (25.11 and later) ends an answer that fails after its head was sent.

    `tag` is the value of the header `X-ClickHouse-Exception-Tag` of the same answer.
    """
    message = text.encode(errors="replace") + b"\n"
    mark = tag.encode()
    return b"\r\n__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n" % (
        mark,
        message,
        len(message),
        mark,
    )


def _name(code: int) -> str:
    try:
        return Code(code).name
    except ValueError:
        return "UNKNOWN_EXCEPTION"
