"""The ClickHouse front, judged by clickhouse-connect: queries, settings, sessions, errors."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from tests.support.clickhouse import ClickHouseFront, running_clickhouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client

pytestmark = pytest.mark.integration

COLUMNS = {"id": "UUID", "amount": "Decimal(18, 2)", "kind": "LowCardinality(String)"}


@pytest.fixture(scope="module")
def front() -> Iterator[ClickHouseFront]:
    with running_clickhouse() as running:
        yield running


@pytest.fixture(scope="module")
def client(front: ClickHouseFront) -> Client:
    return front.client()


@pytest.fixture
def table(client: Client) -> str:
    name = f"t_{uuid.uuid4().hex[:12]}"
    columns = ", ".join(f"{column} {kind}" for column, kind in COLUMNS.items())
    client.command(f"CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY id")
    return name


def test_a_client_learns_who_it_talks_to(client: Client):
    assert client.ping()
    assert client.server_version is not None
    assert client.server_version.startswith("26.")
    assert str(client.server_tz) == "UTC"
    assert client.server_settings["max_threads"].readonly == 0


def test_parameters_bound_by_the_client_arrive_as_they_are(client: Client):
    values = {"text": "it's \\ \t\n ; -- é", "number": 7}

    rows = client.query("SELECT %(text)s, %(number)s", parameters=values).result_rows

    assert rows == [("it's \\ \t\n ; -- é", 7)]


def test_parameters_bound_by_the_server_arrive_as_they_are(client: Client):
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC).replace(tzinfo=None)
    values = {
        "text": "it's \\ \t\n ; FORMAT CSV",
        "at": moment,
        "list": ["a'b", "c\\d", "e\tf"],
        "none": None,
        "amount": Decimal("12345678901234.56"),
        "id": uuid.UUID(int=5),
        "unused": 1,
    }
    query = """SELECT {text:String}, {at:DateTime64(3)}, {list:Array(String)}, {none:Nullable(Int8)},
                      {amount:Decimal(18, 2)}, {id:UUID}"""

    row = client.query(query, parameters=values).result_rows[0]

    assert row == (
        values["text"],
        moment,
        values["list"],
        None,
        values["amount"],
        values["id"],
    )


def test_parameters_too_long_for_a_url_come_as_a_form(client: Client):
    ids = [str(uuid.UUID(int=index)) for index in range(3000)]
    query = "SELECT length({ids:Array(UUID)}), {ids:Array(UUID)}[-1]"

    assert client.query(query, parameters={"ids": ids}).result_rows[0] == (3000, uuid.UUID(ids[-1]))


def test_rows_can_be_streamed(client: Client):
    query = "SELECT number, toString(number) FROM numbers(500000)"

    with client.query_row_block_stream(query) as stream:
        total = sum(number for block in stream for number, _ in block)

    assert total == 500_000 * 499_999 // 2


def test_a_stream_that_fails_on_the_way_says_so(client: Client):
    query = "SELECT number, throwIf(number = 900000) FROM numbers(1000000)"

    with (
        pytest.raises(StreamFailureError, match="Code: 395"),
        client.query_row_block_stream(query) as stream,
    ):
        for _ in stream:
            pass


def test_a_query_that_fails_late_is_an_error_with_its_code(client: Client):
    with pytest.raises(DatabaseError) as failure:
        client.query("SELECT number, throwIf(number = 900000) FROM numbers(1000000)")

    assert failure.value.code == 395


def test_a_stream_left_early_frees_its_place(front: ClickHouseFront, client: Client):
    for _ in range(20):  # more than there are places
        streaming = front.client()
        with streaming.query_row_block_stream("SELECT number FROM numbers(3000000)") as stream:
            next(iter(stream))
        streaming.close()

    assert client.command("SELECT 1") == 1


@pytest.mark.parametrize(
    ("query", "code", "name"),
    [
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", 62, "SYNTAX_ERROR"),
        ("SELECT * FROM nowhere", 60, "UNKNOWN_TABLE"),
        ("SELECT nothing", 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT throwIf(1)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SELECT 1 INTO OUTFILE 'x'", 358, "INTO_OUTFILE_NOT_ALLOWED"),
    ],
)
def test_errors_arrive_with_their_code(client: Client, query: str, code: int, name: str):
    with pytest.raises(DatabaseError) as failure:
        client.query(query)

    assert (failure.value.code, failure.value.name) == (code, name)


def test_commands_and_empty_results(client: Client, table: str):
    assert client.command(f"EXISTS {table}") == 1
    assert client.command(f"SELECT id FROM {table}") == ""
    assert client.query(f"SELECT id FROM {table}").result_rows == []
    assert client.query(f"SELECT * FROM {table} LIMIT 0").column_names == tuple(COLUMNS)
    assert client.query(f"DESCRIBE TABLE {table}").row_count == len(COLUMNS)
    union = client.query("(SELECT 1 AS a) UNION ALL (SELECT 2)")
    assert sorted(map(tuple, union.result_rows)) == [(1,), (2,)]


def test_a_setting_of_one_request_does_not_reach_another(front: ClickHouseFront):
    question = "SELECT getSetting('max_threads'), getSetting('insert_deduplication_token')"
    one = front.client()
    other = front.client(autogenerate_session_id=False)
    plain = [other.query(question).result_rows[0]]

    marked = one.query(
        question, settings={"max_threads": 7, "insert_deduplication_token": "o'clock"}
    ).result_rows[0]

    assert marked == (7, "o'clock")
    for client in (one, other, front.client()):
        plain += [client.query(question).result_rows[0] for _ in range(20)]
    assert len(set(plain)) == 1
    assert plain[0][1] == ""


def test_an_unknown_setting_is_refused(client: Client):
    with pytest.raises(DatabaseError) as failure:
        client.command("SELECT 1", settings={"no_such_setting": 1})

    assert failure.value.code == 115


def test_every_request_has_the_database_that_it_names(client: Client, front: ClickHouseFront):
    client.command("CREATE DATABASE IF NOT EXISTS elsewhere")
    client.command("CREATE OR REPLACE TABLE elsewhere.only (a Int8) ENGINE = Memory")
    there = front.client(database="elsewhere")

    assert there.command("SELECT currentDatabase()") == "elsewhere"
    assert there.insert("only", [[1]], column_names=["a"]).written_rows == 1
    assert there.query("SELECT a FROM only").result_rows == [(1,)]
    assert client.command("SELECT currentDatabase()") == "default"
    with pytest.raises(DatabaseError) as failure:
        front.client(database="nowhere").command("SELECT 1")
    assert failure.value.code == 81


def test_a_session_keeps_what_was_set_in_it(front: ClickHouseFront):
    session = front.client(session_id=uuid.uuid4().hex)
    other = front.client()
    threads = "SELECT getSetting('max_threads')"
    before = other.command(threads)

    session.command("SET max_threads = 5")
    session.command("CREATE TEMPORARY TABLE mine (a Int8)")
    session.command("INSERT INTO mine VALUES (1), (2)")

    assert session.command(threads) == 5
    assert session.command(threads, settings={"max_threads": 3}) == 3
    with pytest.raises(DatabaseError):
        session.command("SELECT throwIf(1)", settings={"max_threads": 4})
    with pytest.raises(DatabaseError):
        session.command("SELECT 1", settings={"max_threads": 4, "no_such_setting": 1})
    assert session.command(threads) == 5
    assert session.command("SELECT count() FROM mine") == 2
    assert other.command(threads) == before
    with pytest.raises(DatabaseError) as failure:
        other.command("SELECT count() FROM mine")
    assert failure.value.code == 60


def test_a_session_remembers_its_database(front: ClickHouseFront, client: Client):
    client.command("CREATE DATABASE IF NOT EXISTS remembered")
    session = front.client(session_id=uuid.uuid4().hex)
    session.database = None  # else every request names it

    session.command("USE remembered")

    assert session.command("SELECT currentDatabase()") == "remembered"
    session.database = "default"
    assert session.command("SELECT currentDatabase()") == "default"
    session.database = None
    assert session.command("SELECT currentDatabase()") == "remembered"


def test_readers_and_writers_do_not_wait_for_each_other(front: ClickHouseFront):
    client = front.client(autogenerate_session_id=False)
    client.command("CREATE OR REPLACE TABLE busy (a UInt64) ENGINE = MergeTree ORDER BY a")
    failures: list[BaseException] = []
    counts: list[int] = []

    def work(write: bool) -> None:
        own = front.client()
        try:
            for index in range(15):
                if write:
                    own.insert("busy", [[index]] * 100, column_names=["a"])
                else:
                    counts.append(int(own.query("SELECT count() FROM busy").result_rows[0][0]))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(index % 2 == 0,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert client.command("SELECT count() FROM busy") == 3 * 15 * 100
    assert all(count % 100 == 0 for count in counts)
