"""The door to ClickHouse: one client an execution environment, made on first use.

Every call says how long it may take; the server gives up first (`max_execution_time`), so that no
insert outlives the invocation that sent it. clickhouse-connect's errors end here: what repeating
may cure leaves as `ClickHouseUnavailable`, anything else is a defect and stays what it is.
"""

from __future__ import annotations

import http.client
import logging
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError
from urllib3 import Timeout

from shared.errors import ClickHouseUnavailable
from shared.settings import clickhouse_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from clickhouse_connect.driver.httpclient import HttpClient

CONNECT_TIMEOUT_S = 2
# How much later than the server the client gives up.
ANSWER_MARGIN_S = 1.0
# A native insert is sent in blocks of about 2 MB; one block means one part and one token.
INSERT_ROWS_MAX = 10_000

# Server errors that pass: timeouts, limits, a server that is stopping, tables not made yet.
# https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
PASSING_ERROR_CODES = frozenset(
    {
        60,  # UNKNOWN_TABLE: MigrateSchema has not run
        81,  # UNKNOWN_DATABASE
        159,  # TIMEOUT_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        252,  # TOO_MANY_PARTS
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        999,  # KEEPER_EXCEPTION
    }
)


class Column(NamedTuple):
    """A column of an insert."""

    name: str
    type: str
    values: Sequence[Any]


@cache
def _client() -> HttpClient:
    # It logs what it then raises; what matters is in the error.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    client = clickhouse_connect.get_client(
        dsn=clickhouse_settings().clickhouse_url.get_secret_value(),
        connect_timeout=CONNECT_TIMEOUT_S,
        send_receive_timeout=5,
        # A batch is 60 KB, next door: compressing it costs both sides more than it saves.
        compress=False,
        query_limit=0,
        autogenerate_session_id=False,  # statements of one session would wait for each other
        dedicated_pool=True,
    )
    return cast("HttpClient", client)


def query(
    sql: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    timeout_s: float,
    settings: Mapping[str, object] | None = None,
) -> Sequence[Sequence[Any]]:
    """The rows of a SELECT; parameters are bound as `{name:Type}`."""
    with _translated():
        client = _within(timeout_s)
        result = client.query(
            sql,
            parameters=dict(parameters or {}),
            settings={**(settings or {}), "max_execution_time": timeout_s},
        )
        return result.result_rows


def command(sql: str, *, timeout_s: float) -> None:
    """Run a statement that returns nothing."""
    with _translated():
        _within(timeout_s).command(sql, settings={"max_execution_time": timeout_s})


def insert(
    table: str,
    columns: Sequence[Column],
    *,
    timeout_s: float,
    settings: Mapping[str, object] | None = None,
) -> None:
    """Insert columns in one native block, so that it is stored as a whole or not at all."""
    assert 0 < len(columns[0].values) <= INSERT_ROWS_MAX, "one block"
    with _translated():
        client = _within(timeout_s)
        context = client.create_insert_context(
            table,
            column_names=[column.name for column in columns],
            column_type_names=[column.type for column in columns],
            column_oriented=True,
            settings={**(settings or {}), "max_execution_time": timeout_s},
        )
        context.req_block_size = INSERT_ROWS_MAX
        context.data = [column.values for column in columns]
        client.insert(context=context)


def close() -> None:
    """Drop the client; the next call makes a new one."""
    if _client.cache_info().currsize:
        _client().close()
        _client.cache_clear()


class Pinger:
    """Asks `/ping` on a connection that it keeps: 60 µs, without the client and its set-up."""

    def __init__(self) -> None:
        self._connection: http.client.HTTPConnection | None = None

    def ping(self, timeout_s: float) -> None:
        """Return when the server answered; raises `ClickHouseUnavailable`.

        `timeout_s` bounds each wait; who needs a hard deadline bounds the call.
        """
        was_kept = self._connection is not None
        try:
            self._ask(timeout_s)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not was_kept or isinstance(error, TimeoutError):
                raise ClickHouseUnavailable from error
            # The server may have closed a connection that rested: once more on a new one.
            self.ping(timeout_s)

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, timeout_s: float) -> None:
        if self._connection is None:
            url = urlsplit(clickhouse_settings().clickhouse_url.get_secret_value())
            secure = url.scheme == "https"
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            port = url.port or (8443 if secure else 8123)
            self._connection = kind(url.hostname or "", port, timeout=timeout_s)
        self._connection.request("GET", "/ping")
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != 200:
            msg = f"/ping answered {answer.status}"
            raise http.client.HTTPException(msg)


def _within(timeout_s: float) -> HttpClient:
    """The client, told how long it may wait."""
    if timeout_s <= 0:
        raise ClickHouseUnavailable("No time is left to ask the analytics store.")
    client = _client()
    client.timeout = Timeout(connect=CONNECT_TIMEOUT_S, read=timeout_s + ANSWER_MARGIN_S)
    return client


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        close()
        raise ClickHouseUnavailable from error
    except ClickHouseError as error:
        if getattr(error, "code", None) in PASSING_ERROR_CODES:
            raise ClickHouseUnavailable from error
        raise
