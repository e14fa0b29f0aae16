"""The ClickHouse front as curl and raw sockets see it: formats, headers, encodings, limits."""

from __future__ import annotations

import gzip
import json
import select
import shutil
import socket
import subprocess
import zlib
from typing import TYPE_CHECKING

import lz4.frame  # type: ignore[import-untyped]
import pytest
from backports import zstd

from tests.support.clickhouse import ClickHouseFront, running_clickhouse
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]

BODY_BYTES_MAX = 2 * 1024 * 1024
HEAD_BYTES_MAX = 64 * 1024
SLOW = "SELECT count() FROM numbers(100000000000) WHERE NOT ignore(sipHash64(number))"


@pytest.fixture(scope="module")
def front() -> Iterator[ClickHouseFront]:
    flags = [
        *("--limit-running", "2", "--limit-waiting", "1", "--limit-wait-s", "30"),
        *("--limit-body-bytes", str(BODY_BYTES_MAX), "--limit-head-bytes", str(HEAD_BYTES_MAX)),
        *("--limit-body-s", "0.5"),
    ]
    with running_clickhouse(None, *flags) as running:
        yield running


class Answer:
    """What curl brought back."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            head, _, self.body = self.body.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines)


def curl(
    front: ClickHouseFront, path: str = "/", *options: str, data: bytes | None = None
) -> Answer:
    command = ["curl", "-sS", "-i", "--max-time", "30", f"http://127.0.0.1:{front.port}{path}"]
    if data is not None:
        command += ["--data-binary", "@-"]
    done = subprocess.run([*command, *options], input=data or b"", capture_output=True, check=True)
    return Answer(done.stdout)


def test_ping(front: ClickHouseFront):
    for path in ("/ping", "/", "/replicas_status"):
        answer = curl(front, path)
        assert (answer.status, answer.body) == (200, b"Ok.\n")
    assert curl(front, "/ping", "--head").status == 200


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/?query=SELECT%201", None),
        ("/", b"SELECT 1"),
        ("/?query=SELECT", b"1"),
        ("/?user=me&password=secret", b"SELECT 1 -- done"),
        ("/query?query=SELECT+1%3B", None),
    ],
)
def test_a_query_comes_in_the_url_or_in_the_body(
    front: ClickHouseFront, path: str, data: bytes | None
):
    assert curl(front, path, data=data).body == b"1\n"


def test_an_answer_tells_about_itself(front: ClickHouseFront):
    answer = curl(front, "/?query_id=mine-1", data=b"SELECT number FROM numbers(5)")

    assert answer.headers["content-length"] == "10"
    assert answer.headers["content-type"] == "text/tab-separated-values; charset=utf-8"
    assert answer.headers["x-clickhouse-query-id"] == "mine-1"
    assert answer.headers["x-clickhouse-format"] == "tabseparated"
    assert answer.headers["x-clickhouse-timezone"] == "utc"
    assert answer.headers["x-clickhouse-server-display-name"] == "local-stack"
    summary = json.loads(answer.headers["x-clickhouse-summary"])
    assert (summary["result_rows"], summary["read_rows"]) == ("5", "5")


@pytest.mark.parametrize(
    ("query", "options", "content_type", "body"),
    [
        ("SELECT 1 AS a FORMAT JSONEachRow", (), "application/x-ndjson", b'{"a":1}\n'),
        ("SELECT 1 AS a FORMAT CSVWithNames", (), "text/csv", b'"a"\n1\n'),
        ("SELECT 1 AS a format tsv", (), "text/tab-separated-values", b"1\n"),
        ("SELECT 1 AS a FORMAT Null", (), "text/plain", b""),
        ("SELECT 1 AS a", ("-H", "X-ClickHouse-Format: CSV"), "text/csv", b"1\n"),
    ],
)
def test_the_format_is_the_clients_choice(
    front: ClickHouseFront,
    query: str,
    options: tuple[str, ...],
    content_type: str,
    body: bytes,
):
    answer = curl(front, "/", *options, data=query.encode())

    assert answer.headers["content-type"].split(";")[0] == content_type
    assert answer.body == body


def test_the_default_format_can_be_named(front: ClickHouseFront):
    answer = curl(front, "/?default_format=JSON", data=b"SELECT number AS n FROM numbers(3)")

    document = json.loads(answer.body)
    assert [int(row["n"]) for row in document["data"]] == [0, 1, 2]
    assert curl(front, "/?default_format=Nonsense", data=b"SELECT 1").status == 404


def test_a_large_document_is_one_document(front: ClickHouseFront):
    answer = curl(front, data=b"SELECT number AS n FROM numbers(300000) FORMAT JSONCompact")

    document = json.loads(answer.body)
    assert document["rows"] == len(document["data"]) == 300_000


def test_a_document_too_large_to_stand_in_memory_is_refused(front: ClickHouseFront):
    query = "SELECT repeat(toString(number % 10), 1000000) FROM numbers({}) FORMAT {}"

    too_large = curl(front, data=query.format(80, "JSON").encode())
    streamed = curl(front, data=query.format(80, "JSONEachRow").encode())

    assert too_large.headers["x-clickhouse-exception-code"] == "396"
    assert curl(front, data=query.format(30, "JSON").encode()).status == 200
    assert len(streamed.body) > 80_000_000


def test_a_large_table_is_streamed_with_one_header(front: ClickHouseFront):
    rows = curl(front, data=b"SELECT number FROM numbers(3000000) FORMAT CSV")
    named = curl(front, data=b"SELECT number FROM numbers(300000) FORMAT CSVWithNames")

    assert rows.headers["transfer-encoding"] == "chunked"
    assert rows.body.count(b"\n") == 3_000_000
    assert named.body.count(b'"number"') == 1


@pytest.mark.parametrize("method", [("-G",), ("--head",)])
def test_get_may_only_read(front: ClickHouseFront, method: tuple[str, ...]):
    for query in (
        "CREATE TABLE forbidden (a Int8) ENGINE = Memory",
        "INSERT INTO forbidden VALUES (1)",
        "WITH 1 AS x INSERT INTO forbidden SELECT x",
        "SET max_threads = 1",
    ):
        answer = curl(front, "/", "-G", "--data-urlencode", f"query={query}", *method)
        assert answer.headers["x-clickhouse-exception-code"] == "164", query
    allowed = "WITH 1 AS x SELECT x"
    answer = curl(front, "/", "-G", "--data-urlencode", f"query={allowed}", *method)
    assert answer.status == 200


def test_an_error_is_in_status_header_and_body(front: ClickHouseFront):
    answer = curl(front, "/?query=SELEC+1")

    assert answer.status == 400
    assert answer.headers["x-clickhouse-exception-code"] == "62"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.body.startswith(b"Code: 62. DB::Exception: Syntax error")
    assert answer.body.rstrip().endswith(b"(SYNTAX_ERROR) (version 26.9.2.1)")


@pytest.mark.parametrize(
    ("path", "options", "data", "status"),
    [
        ("/", (), b"", 400),
        ("/nothing", (), None, 404),
        ("/", ("-X", "PUT"), b"SELECT 1", 405),
        ("/?query=%ff", (), None, 400),
        ("/?compress=1", (), b"SELECT 1", 501),
        ("/?query_id=a%0d%0ab", (), b"SELECT 1", 400),
        ("/?max_threads=many", (), b"SELECT 1", 400),
        ("/?database=nowhere", (), b"SELECT 1", 404),
        ("/?session_id=a&session_check=1", (), b"SELECT 1", 500),
        ("/", ("-H", "Content-Encoding: br"), b"SELECT 1", 501),
        ("/", ("-H", "Content-Encoding: gzip"), b"SELECT 1", 400),
        ("/", ("-H", "Content-Type: multipart/form-data; boundary=x"), b"SELECT 1", 400),
        ("/", ("-H", "Origin: http://evil.example"), b"SELECT 1", 403),
        ("/ping", ("-H", "Host: evil.example"), None, 403),
        ("/?query=SELECT+1", ("-H", "Host: localhost:1"), None, 200),
    ],
)
def test_bad_requests_get_a_clear_answer(
    front: ClickHouseFront, path: str, options: tuple[str, ...], data: bytes | None, status: int
):
    assert curl(front, path, *options, data=data).status == status


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", zstd.compress),
        ("lz4", lz4.frame.compress),
    ],
)
def test_bodies_may_be_compressed_both_ways(front: ClickHouseFront, encoding: str, compress):
    decompress = {
        "gzip": gzip.decompress,
        "deflate": zlib.decompress,
        "zstd": zstd.decompress,
        "lz4": lz4.frame.decompress,
    }[encoding]
    headers = ("-H", f"Content-Encoding: {encoding}", "-H", f"Accept-Encoding: {encoding}")
    for count in (10_000, 1_000_000):  # held back, and streamed
        query = f"SELECT number FROM numbers({count}) FORMAT TSV".encode()

        packed = curl(front, "/?enable_http_compression=1", *headers, data=compress(query))
        plain = curl(front, "/?enable_http_compression=0", *headers, data=compress(query))

        assert packed.headers["content-encoding"] == encoding
        assert "content-encoding" not in plain.headers
        assert decompress(packed.body) == plain.body
        assert plain.body.count(b"\n") == count


def test_an_answer_that_fails_on_the_way_ends_in_its_tag(front: ClickHouseFront):
    answer = curl(front, data=b"SELECT throwIf(number = 2500000) FROM numbers(3000000)")

    tag = answer.headers["x-clickhouse-exception-tag"].encode()
    assert answer.status == 200
    assert answer.body.endswith(b" " + tag + b"\r\n__exception__\r\n")
    assert b"Code: 395" in answer.body


def test_a_body_may_be_as_large_as_the_limit_and_no_larger(front: ClickHouseFront):
    curl(front, data=b"CREATE OR REPLACE TABLE sink (a String) ENGINE = Null")
    insert = b"INSERT INTO sink FORMAT RawBLOB\n"
    largest = insert + b"x" * (BODY_BYTES_MAX - len(insert))

    assert curl(front, data=largest).status == 200
    too_large = curl(front, data=largest + b"x")
    chunked = curl(front, "/", "-H", "Transfer-Encoding: chunked", data=largest + b"x")

    for answer in (too_large, chunked):
        assert answer.status == 413
        assert answer.headers["x-clickhouse-exception-code"] == "229"


def test_a_head_may_be_as_large_as_the_limit_and_no_larger(front: ClickHouseFront):
    def ask(size: int) -> bytes:
        line = (
            f"GET /?query=SELECT+1 HTTP/1.1\r\nHost: localhost\r\nX: {'x' * size}\r\n\r\n".encode()
        )
        with socket.create_connection(("127.0.0.1", front.port)) as connection:
            connection.sendall(line)
            return connection.recv(4096)

    counted = len("/?query=SELECT+1" + "Host" + "localhost" + "X")
    assert ask(HEAD_BYTES_MAX - counted).startswith(b"HTTP/1.1 200")
    refused = ask(HEAD_BYTES_MAX - counted + 1)
    assert refused.startswith(b"HTTP/1.1 400")
    assert b"over" in refused


def test_a_body_that_does_not_come_is_not_waited_for(front: ClickHouseFront):
    with socket.create_connection(("127.0.0.1", front.port)) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nSELECT"
        )
        connection.settimeout(10)
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"x-clickhouse-exception-code: 209" in answer


def running_queries(front: ClickHouseFront) -> int:
    query = b"SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%' AND query NOT LIKE '%processes%'"
    return int(curl(front, data=query).body)


def slow_query(front: ClickHouseFront, query: str = SLOW) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", front.port))
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(query)}\r\n\r\n"
    connection.sendall(head.encode() + query.encode())
    return connection


def test_a_client_that_goes_away_takes_its_query_with_it(front: ClickHouseFront):
    connection = slow_query(front)
    wait_until(lambda: running_queries(front) == 1, 10, "the query runs")

    connection.close()

    wait_until(lambda: running_queries(front) == 0, 10, "the query is gone")


def test_one_request_too_many_is_told_so_and_the_queue_moves_on(front: ClickHouseFront):
    first = slow_query(front)
    wait_until(lambda: running_queries(front) == 1, 10, "one place is taken")
    second = slow_query(front)
    waiting = {slow_query(front, "SELECT 'waited'"), slow_query(front, "SELECT 'waited'")}

    (one, *others), _, _ = select.select(waiting, [], [], 10)
    refused = one.recv(4096)
    assert others == []
    second.close()
    (other,) = waiting - {one}
    other.settimeout(10)
    answered = other.recv(4096)
    for connection in (first, *waiting):
        connection.close()

    assert refused.startswith(b"HTTP/1.1 503")
    assert b"x-clickhouse-exception-code: 202\r\nretry-after: 1\r\n" in refused
    assert answered.startswith(b"HTTP/1.1 200")
    assert answered.endswith(b"\r\n\r\nwaited\n")
    wait_until(lambda: running_queries(front) == 0, 10, "both slow queries are gone")


def test_rubbish_does_not_stop_the_front(front: ClickHouseFront):
    for rubbish in (b"\x00" * 100, b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", front.port)) as connection:
            connection.sendall(rubbish)
            connection.settimeout(10)
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
    for query in (
        b"\x00",
        b"\xff\xfe",
        b"SELECT '\x00'",
        b"SELECT `",
        b"(" * 10_000,
        b"\xf0" * 1000,
    ):
        assert curl(front, data=query).status in {200, 400}

    assert curl(front, data=b"SELECT 1").body == b"1\n"
