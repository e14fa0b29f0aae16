"""The ClickHouse front, judged by clickhouse-connect: queries, inserts, settings, errors."""

from __future__ import annotations

import gzip
import threading
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from tests.support.clickhouse import ClickHouseFront, running_clickhouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.httpclient import HttpClient

pytestmark = pytest.mark.integration

COLUMNS = {
    "id": "UUID",
    "amount": "Decimal(18, 2)",
    "at": "DateTime64(3, 'UTC')",
    "kind": "LowCardinality(String)",
    "note": "Nullable(String)",
    "mood": "LowCardinality(Nullable(String))",
    "tags": "Array(String)",
    "counts": "Map(String, UInt8)",
    "pair": "Tuple(a UInt8, b String)",
    "level": "Enum8('low' = 1, 'high' = 2)",
    "flag": "Bool",
    "ratio": "Float64",
}


@pytest.fixture(scope="module")
def front() -> Iterator[ClickHouseFront]:
    with running_clickhouse() as running:
        yield running


@pytest.fixture(scope="module")
def client(front: ClickHouseFront) -> HttpClient:
    return front.client()


@pytest.fixture
def table(client: HttpClient) -> str:
    name = f"t_{uuid.uuid4().hex[:12]}"
    columns = ", ".join(f"{column} {kind}" for column, kind in COLUMNS.items())
    client.command(f"CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY id")
    return name


def a_row(index: int) -> list[Any]:
    return [
        uuid.UUID(int=index),
        Decimal("12345678.99") + index,
        datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC),
        f"kind {index % 3}",
        None if index % 2 else "it's\ta \\ note;\n",
        None if index % 2 else "ü",
        ["a'b", ""],
        {"x": index % 250},
        (1, "t"),
        "high",
        index % 2 == 0,
        0.5,
    ]


def test_a_client_learns_who_it_talks_to(client: HttpClient):
    assert client.ping()
    assert client.server_version is not None
    assert client.server_version.startswith("26.")
    assert str(client.server_tz) == "UTC"
    assert client.server_settings["max_threads"].readonly == 0


def test_parameters_bound_by_the_client_arrive_as_they_are(client: HttpClient):
    values = {"text": "it's \\ \t\n ; -- é", "number": 7}

    rows = client.query("SELECT %(text)s, %(number)s", parameters=values).result_rows

    assert rows == [("it's \\ \t\n ; -- é", 7)]


def test_parameters_bound_by_the_server_arrive_as_they_are(client: HttpClient):
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_000)
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

    row = client.query(query, parameters=values).first_row

    assert row == (
        values["text"],
        moment,
        values["list"],
        None,
        values["amount"],
        values["id"],
    )


def test_parameters_too_long_for_a_url_come_as_a_form(client: HttpClient):
    ids = [str(uuid.UUID(int=index)) for index in range(3000)]
    query = "SELECT length({ids:Array(UUID)}), {ids:Array(UUID)}[-1]"

    assert client.query(query, parameters={"ids": ids}).first_row == (3000, uuid.UUID(ids[-1]))


@pytest.mark.parametrize("compress", [True, False, "lz4", "zstd", "gzip", "deflate"])
def test_native_inserts_come_back_as_they_went(
    front: ClickHouseFront, table: str, compress: bool | str
):
    client = front.client(compress=compress)
    rows = [a_row(index) for index in range(2000)]

    summary = client.insert(table, rows, column_names=list(COLUMNS))
    found = client.query(f"SELECT * FROM {table} ORDER BY reinterpretAsUInt128(id), amount")

    assert summary.written_rows == 2000
    assert found.column_names == tuple(COLUMNS)
    expected = [(*row[:2], row[2].replace(tzinfo=None), *row[3:]) for row in rows]
    assert sorted(found.result_rows, key=lambda row: row[1]) == [tuple(row) for row in expected]


def test_an_insert_of_several_blocks_is_one_part(client: HttpClient):
    client.command("CREATE OR REPLACE TABLE blocks (text String) ENGINE = MergeTree ORDER BY text")
    rows = [[f"{index:04}" * 250] for index in range(10_000)]  # 10 MB: several blocks of the client

    assert client.insert("blocks", rows, column_names=["text"]).written_rows == 10_000

    parts = "SELECT count() FROM system.parts WHERE table = 'blocks' AND active"
    assert client.command(parts) == 1
    assert client.command("SELECT count() FROM blocks") == 10_000


def test_raw_inserts_and_queries_take_any_format(client: HttpClient, table: str):
    names = ["id", "amount"]
    one, two, three = (str(uuid.UUID(int=index)) for index in range(1, 4))

    client.raw_insert(table, names, f"{one},1.25\n", fmt="CSV")
    client.raw_insert(table, names, f'{{"id":"{two}","amount":"2.50"}}'.encode(), fmt="JSONEachRow")
    packed = gzip.compress(f"{three}\t3.75\n".encode())
    client.raw_insert(table, names, packed, fmt="TabSeparated", compression="gzip")
    client.command(f"INSERT INTO {table} (id, amount) VALUES", data=f"('{uuid.UUID(int=4)}', 1 + 4)")

    answer = client.raw_query(f"SELECT amount FROM {table} ORDER BY amount", fmt="CSV")
    assert answer == b"1.25\n2.5\n3.75\n5\n"


def test_an_insert_with_parameters_and_settings_of_its_own(client: HttpClient, table: str):
    insert = "INSERT INTO {t:Identifier} (id, amount) SETTINGS max_threads = 1 VALUES (generateUUIDv4(), {a:Decimal(18, 2)})"

    client.command(insert, parameters={"t": table, "a": Decimal("7.25")})

    assert client.query(f"SELECT amount FROM {table}").result_rows == [(Decimal("7.25"),)]


def test_an_insert_from_a_select_needs_no_data(client: HttpClient, table: str):
    client.command(f"INSERT INTO {table} (amount) SELECT number FROM numbers(10)")
    client.command(f"INSERT INTO {table} (amount) WITH 1 AS x SELECT x")

    assert client.command(f"SELECT count() FROM {table}") == 11


def test_rows_can_be_streamed(client: HttpClient):
    query = "SELECT number, toString(number) FROM numbers(500000)"

    with client.query_row_block_stream(query) as stream:
        total = sum(number for block in stream for number, _ in block)

    assert total == 500_000 * 499_999 // 2


def test_a_stream_that_fails_on_the_way_says_so(client: HttpClient):
    query = "SELECT number, throwIf(number = 900000) FROM numbers(1000000)"

    with (
        pytest.raises(StreamFailureError, match="Code: 395"),
        client.query_row_block_stream(query) as stream,
    ):
        for _ in stream:
            pass


def test_a_query_that_fails_late_is_an_error_with_its_code(client: HttpClient):
    with pytest.raises(DatabaseError) as failure:
        client.query("SELECT number, throwIf(number = 900000) FROM numbers(1000000)")

    assert failure.value.code == 395


def test_a_stream_left_early_frees_its_place(front: ClickHouseFront, client: HttpClient):
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
def test_errors_arrive_with_their_code(client: HttpClient, query: str, code: int, name: str):
    with pytest.raises(DatabaseError) as failure:
        client.query(query)

    assert (failure.value.code, failure.value.name) == (code, name)


def test_bad_data_is_refused_as_a_whole(client: HttpClient, table: str):
    with pytest.raises(DatabaseError) as failure:
        client.raw_insert(table, ["amount"], "1.25\n2.50\nthree\n", fmt="CSV")

    assert failure.value.code in {6, 27, 72, 117}
    assert client.command(f"SELECT count() FROM {table}") == 0


def test_commands_and_empty_results(client: HttpClient, table: str):
    assert client.command(f"EXISTS {table}") == 1
    assert client.command(f"SELECT id FROM {table}") == ""
    assert client.query(f"SELECT id FROM {table}").result_rows == []
    assert client.query(f"SELECT * FROM {table} LIMIT 0").column_names == tuple(COLUMNS)
    assert client.query(f"DESCRIBE TABLE {table}").row_count == len(COLUMNS)
    union = client.query("(SELECT 1 AS a) UNION ALL (SELECT 2) ORDER BY a")
    assert union.result_rows == [(1,), (2,)]


def test_a_setting_of_one_request_does_not_reach_another(front: ClickHouseFront):
    question = "SELECT getSetting('max_threads'), getSetting('insert_deduplication_token')"
    one = front.client()
    other = front.client(autogenerate_session_id=False)
    plain = [other.query(question).first_row]

    marked = one.query(
        question, settings={"max_threads": 7, "insert_deduplication_token": "o'clock"}
    ).first_row

    assert marked == (7, "o'clock")
    for client in (one, other, front.client()):
        plain += [client.query(question).first_row for _ in range(20)]
    assert len(set(plain)) == 1
    assert plain[0][1] == ""


def test_an_unknown_setting_is_refused(client: HttpClient):
    with pytest.raises(DatabaseError) as failure:
        client.command("SELECT 1", settings={"no_such_setting": 1})

    assert failure.value.code == 115


def test_every_request_has_the_database_that_it_names(client: HttpClient, front: ClickHouseFront):
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


def test_a_session_remembers_its_database(front: ClickHouseFront, client: HttpClient):
    client.command("CREATE DATABASE IF NOT EXISTS remembered")
    session = front.client(session_id=uuid.uuid4().hex, database="__default__")

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
                    counts.append(int(own.query("SELECT count() FROM busy").first_row[0]))
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


class TestDeduplication:
    """Delivered once or ten times, a block counts once, in the table and in what views make of it."""

    SETTINGS = {"deduplicate_blocks_in_dependent_materialized_views": 1}

    @pytest.fixture
    def events(self, client: HttpClient) -> str:
        name = f"events_{uuid.uuid4().hex[:12]}"
        window = "SETTINGS non_replicated_deduplication_window = 100"
        for statement in (
            f"""CREATE TABLE {name} (id UUID, game UInt8, stake Decimal(18, 2), at DateTime64(3, 'UTC'))
                ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY (at, id) {window}""",
            f"""CREATE TABLE {name}_hourly (hour DateTime('UTC'), game UInt8, bets UInt64,
                stakes Decimal(38, 2)) ENGINE = SummingMergeTree ORDER BY (hour, game) {window}""",
            f"""CREATE TABLE {name}_daily (day Date, bets AggregateFunction(count),
                stakes AggregateFunction(sum, Decimal(18, 2)))
                ENGINE = AggregatingMergeTree ORDER BY day {window}""",
            f"""CREATE MATERIALIZED VIEW {name}_hourly_view TO {name}_hourly AS
                SELECT toStartOfHour(at) AS hour, game, count() AS bets, sum(stake) AS stakes
                FROM {name} GROUP BY hour, game""",
            f"""CREATE MATERIALIZED VIEW {name}_daily_view TO {name}_daily AS
                SELECT toDate(at) AS day, countState() AS bets, sumState(stake) AS stakes
                FROM {name} GROUP BY day""",
        ):
            client.command(statement)
        return name

    def insert(self, client: HttpClient, name: str, token: str, rows: int = 100) -> None:
        at = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
        data = [[uuid.uuid4(), index % 5, Decimal("0.10"), at] for index in range(rows)]
        settings = {**self.SETTINGS, "insert_deduplication_token": token}
        client.insert(name, data, column_names=["id", "game", "stake", "at"], settings=settings)

    def counted(self, client: HttpClient, name: str) -> tuple[Any, ...]:
        query = f"""SELECT (SELECT count() FROM {name}), (SELECT sum(bets) FROM {name}_hourly),
                           (SELECT countMerge(bets) FROM {name}_daily),
                           (SELECT sum(stakes) FROM {name}_hourly),
                           (SELECT sumMerge(stakes) FROM {name}_daily)"""
        return tuple(client.query(query).first_row)

    def test_a_repeated_token_changes_nothing(self, client: HttpClient, events: str):
        for _ in range(3):
            self.insert(client, events, "one")
        self.insert(client, events, "two")

        assert self.counted(client, events) == (200, 200, 200, Decimal("20.00"), Decimal("20.00"))

    def test_tokens_outlive_a_killed_engine(self, front: ClickHouseFront):
        with running_clickhouse() as first:
            client = first.client()
            client.command(
                "CREATE TABLE kept (a UInt8) ENGINE = MergeTree ORDER BY a "
                "SETTINGS non_replicated_deduplication_window = 10"
            )
            settings = {"insert_deduplication_token": "one"}
            client.insert("kept", [[1], [2]], column_names=["a"], settings=settings)
            first.process.kill()
            first.process.wait()
            with running_clickhouse(first.data_dir) as second:
                again = second.client()
                assert again.command("SELECT count() FROM kept") == 2
                again.insert("kept", [[3], [4]], column_names=["a"], settings=settings)
                assert again.query("SELECT a FROM kept ORDER BY a").result_columns == [[1, 2]]

    @pytest.mark.parametrize(
        ("view", "settings", "code"),
        [
            ("SELECT throwIf(stake > 0) AS a FROM {name}", {}, 395),
            ("SELECT sleepEachRow(0.2) AS a FROM {name}", {"max_execution_time": 0.3}, 159),
            (
                "SELECT length(range(30000000)) AS a FROM {name}",
                {"max_memory_usage": 50_000_000},
                241,
            ),
        ],
        ids=["throws", "takes too long", "takes too much memory"],
    )
    def test_an_insert_whose_view_fails_is_an_error_and_can_be_repeated(
        self, client: HttpClient, events: str, view: str, settings: dict[str, Any], code: int
    ):
        client.command(f"CREATE TABLE {events}_bad (a UInt64) ENGINE = MergeTree ORDER BY a")
        select = view.format(name=events)
        client.command(f"CREATE MATERIALIZED VIEW {events}_bad_view TO {events}_bad AS {select}")
        data = [[uuid.uuid4(), 1, Decimal("0.10"), datetime(2026, 1, 1, tzinfo=UTC)]] * 5
        names = ["id", "game", "stake", "at"]
        settings = {**self.SETTINGS, "insert_deduplication_token": "bad", **settings}

        with pytest.raises(DatabaseError) as failure:
            client.insert(events, data, column_names=names, settings=settings)
        assert failure.value.code == code

        client.command(f"DROP VIEW {events}_bad_view")
        client.insert(events, data, column_names=names, settings=settings)
        assert self.counted(client, events)[:3] == (5, 5, 5)
