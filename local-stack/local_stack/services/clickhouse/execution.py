"""One request on one connection: from a body as it came in to an answer as it goes out.

Everything here blocks and runs on a worker thread, one call at a time; `kill` alone comes from
elsewhere. Whatever happens, the connection goes back clean or not at all.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.services.clickhouse.encodings import decoded, encoder
from local_stack.services.clickhouse.engine import Scope
from local_stack.services.clickhouse.errors import ClickHouseError, Code, exception_trailer
from local_stack.services.clickhouse.protocol import (
    DEFAULT_DATABASE,
    Summary,
    parse_form,
    with_form_fields,
)
from local_stack.services.clickhouse.sessions import lend
from local_stack.services.clickhouse.sql import (
    STATEMENT_BYTES_MAX,
    STREAMABLE_FORMATS,
    parse_insert,
    parse_statement,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from local_stack.services.clickhouse.encodings import Encoder
    from local_stack.services.clickhouse.engine import Connection, Engine
    from local_stack.services.clickhouse.library import Result
    from local_stack.services.clickhouse.protocol import Request
    from local_stack.services.clickhouse.sessions import Session
    from local_stack.services.clickhouse.sql import Insert, Statement

# A result is held back until it is known to be whole, so that an error in it is an HTTP status;
# beyond this much it is sent on and an error can only be its ending.
HELD_BYTES = 1024 * 1024
HELD_BYTES_WAIT_END = 32 * 1024 * 1024  # with wait_end_of_query=1
# Results in formats that cannot be streamed stand in memory as a whole.
WHOLE_RESULT_BYTES_MAX = 64 * 1024 * 1024
COMPRESSED_BYTES_MIN = 1024  # less fits one packet anyway


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, or when it is not complete its beginning."""

    body: bytes
    complete: bool
    format: str | None  # None when the statement has no result
    encoding: str | None
    summary: Summary


class Execution:
    """Runs one request: `begin`, then `more` until it says it was the last, then `close`."""

    def __init__(
        self,
        engine: Engine,
        request: Request,
        body: bytes,
        *,
        form: bytes | None = None,
        session: Session | None = None,
        may_keep: bool = True,
    ) -> None:
        self._engine = engine
        self._request = request
        self._body = body
        self._form = form
        self._session = session
        self._may_keep = may_keep  # whether its session may have a connection of its own
        self._connection: Connection | None = None
        self._undo: list[str] = []
        self._stream: Generator[Result, None, None] | None = None
        self._encoder: Encoder | None = None
        self._reusable = False
        self._turn = threading.Lock()  # a close may come while a call is still running
        self.cancellable = False  # may be killed when the client is gone
        self.closed = False

    def begin(self) -> Answer:
        """Run it. An answer that is complete needs no `close` any more, nor does an error."""
        with self._turn:
            answer = None
            try:
                answer = self._begin()
            finally:
                if answer is None or answer.complete:
                    self._close()
            return answer

    def more(self) -> tuple[bytes, bool]:
        """The next bytes of an answer that was not complete, and whether they are the last."""
        with self._turn:
            assert self._stream is not None
            for chunk in self._stream:
                data = self._encoded(chunk.bytes())
                if data:
                    return data, False
            self._stream = None
            self._reusable = True
            return b"" if self._encoder is None else self._encoder.flush(), True

    def ending(self, text: str, tag: str) -> bytes:
        """The ending of an answer whose query failed on the way."""
        trailer = self._encoded(exception_trailer(text, tag))
        return trailer + (self._encoder.flush() if self._encoder else b"")

    def kill(self) -> None:
        """Cancel the query; comes from another thread. Harmless when there is none."""
        connection = self._connection
        if connection is not None:
            self._engine.kill(connection.tag)

    def close(self) -> None:
        """Give the connection back: to its session, for reuse, or to the engine."""
        with self._turn:
            self._close()

    def _close(self) -> None:
        self.closed = True
        stream, self._stream = self._stream, None
        if stream is not None:
            self._reusable = False
            stream.close()
        connection, self._connection = self._connection, None
        if connection is None:
            return
        session = self._session
        if session is not None and session.connection is connection:
            self._give_back(session, connection)
        elif self._reusable:
            self._engine.release(connection)
        else:
            connection.close()

    def _begin(self) -> Answer:
        chunks = decoded(self._body, self._request.body_encoding)
        if self._form is not None:
            form = b"".join(decoded(self._body, self._request.body_encoding, STATEMENT_BYTES_MAX))
            self._request = with_form_fields(self._request, parse_form(form, self._form))
            chunks = iter(())
        head = self._request.query.encode()
        first = next(chunks, b"")
        text = head + b"\n" + first if head and first else head or first
        insert = parse_insert(text)
        if insert is not None:
            return self._run_insert(insert, itertools.chain([text[insert.data_start :]], chunks))
        for chunk in chunks:
            text += chunk
            if len(text) > STATEMENT_BYTES_MAX:
                break
        return self._run_statement(text, parse_statement(text))

    def _run_insert(self, insert: Insert, data: Iterator[bytes]) -> Answer:
        self._refuse_writing()
        request = self._request
        connection = self._connect(request.database, tuple(request.settings.items()))
        result = connection.insert(insert, data, request.parameters)
        self._reusable_in_session()
        return Answer(b"", complete=True, format=None, encoding=None, summary=_summary([result]))

    def _run_statement(self, text: bytes, statement: Statement) -> Answer:
        request = self._request
        named = statement.format or ""
        fmt = self._engine.formats.get(named.lower()) or request.default_format
        fmt = self._engine.formats.get(fmt.lower(), fmt)
        streams = statement.streams and fmt in STREAMABLE_FORMATS
        settings = dict(request.settings)
        database = request.database
        if statement.returns_rows and not streams:
            settings.setdefault("max_result_bytes", str(WHOLE_RESULT_BYTES_MAX))
        if statement.changes_session and self._session is not None:
            self._keep_session()
            if not statement.temporary:  # SET and USE are for the session, not for this query
                settings, database = {}, None
        connection = self._connect(database, tuple(settings.items()))
        if request.read_only and not statement.reads:
            self._refuse_writing(connection.may_change(text))
        self.cancellable = statement.returns_rows
        if streams:
            return self._run_stream(connection, text, fmt)
        result = connection.run(text, fmt, request.parameters)
        self._reusable = statement.reads
        self._reusable_in_session()
        body = result.bytes()
        has_result = statement.returns_rows or bool(body)
        return self._complete(body, fmt if has_result else None, [result])

    def _run_stream(self, connection: Connection, text: bytes, fmt: str) -> Answer:
        held_max = HELD_BYTES_WAIT_END if self._request.wait_end else HELD_BYTES
        held: list[bytes] = []
        counted: list[Result] = []
        self._stream = connection.stream(text, fmt, self._request.parameters)
        size = 0
        for chunk in self._stream:
            data = chunk.bytes()
            counted.append(chunk)
            held.append(data)
            size += len(data)
            if size > held_max:
                break
        else:
            self._stream = None
            self._reusable = True
            return self._complete(b"".join(held), fmt, counted)
        encoding = self._request.answer_encoding
        if encoding is not None:
            self._encoder = encoder(encoding)
        body = self._encoded(b"".join(held))
        return Answer(body, False, fmt, encoding, _summary(counted))

    def _complete(self, body: bytes, fmt: str | None, results: list[Result]) -> Answer:
        encoding = self._request.answer_encoding
        if encoding is None or len(body) < COMPRESSED_BYTES_MIN:
            return Answer(body, True, fmt, None, _summary(results))
        compressor = encoder(encoding)
        packed = compressor.compress(body) + compressor.flush()
        return Answer(packed, True, fmt, encoding, _summary(results))

    def _encoded(self, data: bytes) -> bytes:
        return data if self._encoder is None else self._encoder.compress(data)

    def _connect(self, database: str | None, settings: tuple[tuple[str, str], ...]) -> Connection:
        session = self._session
        if session is not None and session.connection is not None:
            self._connection = session.connection
            lend(session.connection, database, settings, self._undo)
        else:
            scope = Scope(database or DEFAULT_DATABASE, tuple(sorted(settings)))
            self._connection = self._engine.lease(scope)
        return self._connection

    def _keep_session(self) -> None:
        assert self._session is not None
        if self._session.connection is None:
            if not self._may_keep:
                msg = "Too many sessions with settings or temporary tables of their own"
                raise ClickHouseError(Code.TOO_MANY_SIMULTANEOUS_QUERIES, msg)
            connection = self._engine.connect()
            connection.enter(Scope())
            self._session.connection = connection

    def _give_back(self, session: Session, connection: Connection) -> None:
        undo, self._undo = self._undo, []
        try:
            if not self._reusable:
                connection.settle()
            for statement in undo:
                connection.run(statement)
        except ClickHouseError:
            # It would leak into the session's next request: better no session than that.
            session.connection = None
            connection.close()

    def _reusable_in_session(self) -> None:
        session = self._session
        if session is not None and session.connection is self._connection:
            self._reusable = True

    def _refuse_writing(self, kind: str | None = "MUTATING") -> None:
        for_session = kind == "CONTROL" and self._session is not None
        if self._request.read_only and kind is not None and not for_session:
            msg = (
                "Cannot execute query in readonly mode. For queries over HTTP, method GET implies "
                "readonly. You should use method POST for modifying queries"
            )
            raise ClickHouseError(Code.READONLY, msg)


def _summary(results: list[Result]) -> Summary:
    return Summary(
        read_rows=max(result.storage_rows_read() for result in results),
        read_bytes=max(result.storage_bytes_read() for result in results),
        written_rows=sum(result.rows_written() for result in results),
        written_bytes=sum(result.bytes_written() for result in results),
        result_rows=sum(result.rows_read() for result in results),
        result_bytes=sum(result.size() for result in results),
        elapsed_ns=int(max(result.elapsed() for result in results) * 1e9),
    )
