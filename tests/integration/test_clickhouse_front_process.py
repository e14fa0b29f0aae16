"""The ClickHouse front as a process: its folder, its port, its end, and what is left after it."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import psutil
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.support.clickhouse import front_command, running_clickhouse
from tests.support.ports import free_port
from tests.support.services import REPOSITORY
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

pytestmark = pytest.mark.integration

EVENTS = "CREATE TABLE events (a UInt64) ENGINE = MergeTree ORDER BY a"


def run_in_vain(port: int, data_dir: Path, *flags: str) -> str:
    """What a front that cannot start says."""
    done = subprocess.run(
        front_command(port, data_dir, *flags),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PYTHONPATH": str(REPOSITORY / "local-stack")},
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_folder_belongs_to_one_front():
    with running_clickhouse() as front:
        said = run_in_vain(free_port(), front.data_dir)

        assert str(front.data_dir) in said
        assert "in use" in said
        assert front.client().command("SELECT 1") == 1


def test_a_taken_port_is_named(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert f"port {port}" in run_in_vain(port, tmp_path / "data")

    assert not (tmp_path / "data").exists()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")

    assert str(tmp_path / "file") in run_in_vain(free_port(), tmp_path / "file")


def test_only_loopback_is_served(tmp_path: Path):
    assert "loopback" in run_in_vain(free_port(), tmp_path / "data", "--host", "0.0.0.0")


def test_it_listens_nowhere_else():
    with running_clickhouse() as front:
        front.client().command("SELECT 1")
        listening = [
            (connection.laddr.ip, connection.laddr.port)
            for connection in psutil.Process(front.process.pid).net_connections("inet")
            if connection.status == psutil.CONN_LISTEN or not connection.raddr
        ]

        assert listening == [("127.0.0.1", front.port)]


def test_it_says_once_that_it_is_ready_and_no_more():
    with running_clickhouse() as front:
        front.client(password="secret").command("SELECT 'secret'")

        lines = front.log.read_text().splitlines()
        assert len(lines) == 1
        assert f"http://127.0.0.1:{front.port}" in lines[0]
        assert str(front.data_dir) in lines[0]


def test_it_ends_cleanly_and_finds_its_data_again():
    with running_clickhouse() as front:
        client = front.client()
        client.command(EVENTS)
        client.insert("events", [[1], [2]], column_names=["a"])

        front.process.terminate()
        assert front.process.wait(10) == 0
        assert "stopped" in front.log.read_text()

        with running_clickhouse(front.data_dir) as second:
            assert second.client().command("SELECT sum(a) FROM events") == 3


def test_a_request_in_flight_is_finished_before_the_end():
    with running_clickhouse() as front:
        client = front.client()
        answers: list[object] = []
        query = "SELECT sleepEachRow(0.01) + 1 FROM numbers(100) SETTINGS max_block_size = 10"

        def ask() -> None:
            answers.append(client.query(query).row_count)

        asking = threading.Thread(target=ask)
        asking.start()
        wait_until_running(front.client(), "sleepEachRow")
        front.process.terminate()
        asking.join(10)

        assert front.process.wait(10) == 0
        assert answers == [100]


def test_a_request_that_takes_too_long_is_ended():
    with running_clickhouse(None, "--limit-shutdown-s", "1") as front:
        slow = "SELECT count() FROM numbers(100000000000) WHERE NOT ignore(sipHash64(number))"
        connection = socket.create_connection(("127.0.0.1", front.port))
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(slow)}\r\n\r\n"
        connection.sendall((head + slow).encode())
        wait_until_running(front.client(), "sipHash64")

        front.process.terminate()

        assert front.process.wait(10) == 0
        connection.close()


def test_acknowledged_rows_outlive_kill_9():
    with running_clickhouse() as front:
        client = front.client()
        client.command(EVENTS)
        acknowledged: list[int] = []
        failed = threading.Event()

        def insert() -> None:
            own = front.client()
            for index in range(100_000):
                try:
                    own.insert("events", [[index]] * 10, column_names=["a"])
                except Exception:
                    failed.set()
                    return
                acknowledged.append(index)

        inserting = threading.Thread(target=insert)
        inserting.start()
        wait_until(lambda: len(acknowledged) >= 20, 20, "some inserts are acknowledged")
        front.process.send_signal(signal.SIGKILL)
        front.process.wait()
        inserting.join(10)
        assert failed.is_set()

        with running_clickhouse(front.data_dir) as second:
            found = second.client().query("SELECT a, count() FROM events GROUP BY a").result_rows
            assert {a for a, count in found if count == 10} >= set(acknowledged)
            assert all(count == 10 for _, count in found), "an insert is there as a whole"


def test_nothing_is_left_open_by_what_came_and_went():
    with running_clickhouse() as front:
        client = front.client()
        client.command(EVENTS)

        def visit() -> None:
            for index in range(30):
                own = front.client()
                own.insert("events", [[index]], column_names=["a"])
                own.query("SELECT * FROM events", settings={"max_threads": index + 1})
                with pytest.raises(Exception, match="395"):
                    own.query("SELECT throwIf(1)")
                own.close()

        visit()
        client.command("OPTIMIZE TABLE events FINAL")
        before = front.open_files()
        visit()
        wait_until(lambda: front.open_files() <= before + 10, 10, "files are closed again")


def test_one_connection_too_many_is_refused():
    with running_clickhouse(None, "--limit-connections", "3") as front:

        def ask(connection: socket.socket) -> bytes:
            connection.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return connection.recv(4096)

        def connect() -> socket.socket:
            return socket.create_connection(("127.0.0.1", front.port))

        wait_until(lambda: connections_of(front.process.pid) == 0, 10, "the probes are gone")
        with connect() as one, connect() as two, connect() as three:
            served = [ask(connection) for connection in (one, two, three)]
            with connect() as four:
                refused = ask(four)

        assert all(answer.startswith(b"HTTP/1.1 200") for answer in served)
        assert refused.startswith(b"HTTP/1.1 503")

        def there_is_room() -> bool:
            with connect() as again:
                return ask(again).startswith(b"HTTP/1.1 200")

        wait_until(there_is_room, 10, "there is room again")


def test_a_client_that_does_not_read_loses_its_place():
    with running_clickhouse(None, "--limit-send-idle-s", "0.3") as front:
        query = b"SELECT number FROM numbers(100000000)"
        with socket.create_connection(("127.0.0.1", front.port)) as connection:
            head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(query)}\r\n\r\n"
            connection.sendall(head.encode() + query)
            wait_until(lambda: "did not take" in front.log.read_text(), 10, "it is given up")

        count = "SELECT count() FROM system.processes WHERE query LIKE '%100000000%'"
        client = front.client()
        wait_until(
            lambda: client.command(f"{count} AND query NOT LIKE '%system%'") == 0, 10, "gone"
        )


def test_time_spent_waiting_counts():
    with running_clickhouse(None, "--limit-running", "1") as front:
        client = front.client()
        other = front.client()
        slow = "SELECT sleepEachRow(0.1) FROM numbers(10) SETTINGS max_block_size = 1"
        asking = threading.Thread(target=lambda: client.query(slow))
        asking.start()
        failure = None
        while asking.is_alive() and failure is None:
            try:
                other.command("SELECT 1", settings={"max_execution_time": 0.2})
            except DatabaseError as error:
                failure = error
        asking.join()

        assert failure is not None
        assert failure.code == 159
        assert other.command("SELECT 1", settings={"max_execution_time": 5}) == 1


def connections_of(pid: int) -> int:
    return sum(bool(each.raddr) for each in psutil.Process(pid).net_connections("tcp"))


def wait_until_running(client: Client, text: str) -> None:
    query = f"SELECT count() FROM system.processes WHERE query LIKE '%{text}%' AND query NOT LIKE '%processes%'"
    wait_until(lambda: client.command(query) == 1, 10, f"a query with {text} runs")
