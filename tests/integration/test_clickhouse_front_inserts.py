"""Inserts through the ClickHouse front, judged by clickhouse-connect: formats, errors, repeats."""

from __future__ import annotations

import gzip
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.support.clickhouse import ClickHouseFront, running_clickhouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client

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
    "pair": "Tuple(UInt8, String)",
    "level": "Enum8('low' = 1, 'high' = 2)",
    "flag": "Bool",
    "ratio": "Float64",
}


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


@pytest.mark.parametrize("compress", [True, False, "lz4", "zstd", "gzip"])
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


def test_an_insert_of_several_blocks_is_one_part(client: Client):
    client.command("CREATE OR REPLACE TABLE blocks (text String) ENGINE = MergeTree ORDER BY text")
    rows = [[f"{index:04}" * 250] for index in range(10_000)]  # 10 MB: several blocks of the client

    assert client.insert("blocks", rows, column_names=["text"]).written_rows == 10_000

    parts = "SELECT count() FROM system.parts WHERE table = 'blocks' AND active"
    assert client.command(parts) == 1
    assert client.command("SELECT count() FROM blocks") == 10_000


def test_raw_inserts_and_queries_take_any_format(client: Client, table: str):
    names = ["id", "amount"]
    one, two, three = (str(uuid.UUID(int=index)) for index in range(1, 4))

    client.raw_insert(table, names, f"{one},1.25\n", fmt="CSV")
    client.raw_insert(table, names, f'{{"id":"{two}","amount":"2.50"}}'.encode(), fmt="JSONEachRow")
    packed = gzip.compress(f"{three}\t3.75\n".encode())
    client.raw_insert(table, names, packed, fmt="TabSeparated", compression="gzip")
    client.command(
        f"INSERT INTO {table} (id, amount) VALUES", data=f"('{uuid.UUID(int=4)}', 1 + 4)"
    )

    answer = client.raw_query(f"SELECT amount FROM {table} ORDER BY amount", fmt="CSV")
    assert answer == b"1.25\n2.5\n3.75\n5\n"


def test_an_insert_with_parameters_and_settings_of_its_own(client: Client, table: str):
    insert = "INSERT INTO {t:Identifier} (id, amount) SETTINGS max_threads = 1 VALUES (generateUUIDv4(), {a:Decimal(18, 2)})"

    client.command(insert, parameters={"t": table, "a": Decimal("7.25")})

    assert client.query(f"SELECT amount FROM {table}").result_rows == [(Decimal("7.25"),)]


def test_an_insert_from_a_select_needs_no_data(client: Client, table: str):
    client.command(f"INSERT INTO {table} (amount) SELECT number FROM numbers(10)")
    client.command(f"INSERT INTO {table} (amount) WITH 1 AS x SELECT x")

    assert client.command(f"SELECT count() FROM {table}") == 11


def test_bad_data_is_refused_as_a_whole(client: Client, table: str):
    with pytest.raises(DatabaseError) as failure:
        client.raw_insert(table, ["amount"], "1.25\n2.50\nthree\n", fmt="CSV")

    assert failure.value.code in {6, 27, 72, 117}
    assert client.command(f"SELECT count() FROM {table}") == 0


DEDUPLICATE = {"deduplicate_blocks_in_dependent_materialized_views": 1}


class TestDeduplication:
    """Delivered once or ten times, a block counts once, in the table and in what views make of it."""

    @pytest.fixture
    def events(self, client: Client) -> str:
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

    def insert(self, client: Client, name: str, token: str, rows: int = 100) -> None:
        at = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
        data = [[uuid.uuid4(), index % 5, Decimal("0.10"), at] for index in range(rows)]
        settings = {**DEDUPLICATE, "insert_deduplication_token": token}
        client.insert(name, data, column_names=["id", "game", "stake", "at"], settings=settings)

    def counted(self, client: Client, name: str) -> tuple[Any, ...]:
        query = f"""SELECT (SELECT count() FROM {name}), (SELECT sum(bets) FROM {name}_hourly),
                           (SELECT countMerge(bets) FROM {name}_daily),
                           (SELECT sum(stakes) FROM {name}_hourly),
                           (SELECT sumMerge(stakes) FROM {name}_daily)"""
        return tuple(client.query(query).result_rows[0])

    def test_a_repeated_token_changes_nothing(self, client: Client, events: str):
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
        self, client: Client, events: str, view: str, settings: dict[str, Any], code: int
    ):
        client.command(f"CREATE TABLE {events}_bad (a UInt64) ENGINE = MergeTree ORDER BY a")
        select = view.format(name=events)
        client.command(f"CREATE MATERIALIZED VIEW {events}_bad_view TO {events}_bad AS {select}")
        data = [[uuid.uuid4(), 1, Decimal("0.10"), datetime(2026, 1, 1, tzinfo=UTC)]] * 5
        names = ["id", "game", "stake", "at"]
        settings = {**DEDUPLICATE, "insert_deduplication_token": "bad", **settings}

        with pytest.raises(DatabaseError) as failure:
            client.insert(events, data, column_names=names, settings=settings)
        assert failure.value.code == code

        client.command(f"DROP VIEW {events}_bad_view")
        client.insert(events, data, column_names=names, settings=settings)
        assert self.counted(client, events)[:3] == (5, 5, 5)
