"""A whole stack through its command line: up, status, kill, down."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.request
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from tests.support.stack import REPOSITORY, StackUnderTest, new_stack, running_stack
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

PROJECT = REPOSITORY / "tests" / "projects" / "lifecycle"
PARTS = ["postgres", "kafka", "host-1", "nginx"]
BACK_S = 20


@pytest.fixture(scope="module")
def hello() -> Iterator[StackUnderTest]:
    """The small stack; every test leaves it healthy."""
    with running_stack(PROJECT) as running:
        yield running


@pytest.fixture
def idle() -> Iterator[StackUnderTest]:
    """The same, not started."""
    with new_stack(PROJECT) as stack:
        yield stack


def _greeting(stack: StackUnderTest, name: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{stack.http_url}/hello/{name}", timeout=10) as response:
        return str(json.load(response)["greeting"])


def _processes(stack: StackUnderTest) -> list[str]:
    """Command lines of whatever still runs for this stack, but for zombies."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ", "status", "cwd"]):
        info = process.info
        mine = (info["environ"] or {}).get("LOCAL_STACK_OWNER") == str(stack.dir)
        inside = str(info["cwd"] or "").startswith(str(stack.dir))
        if (mine or inside) and info["status"] != psutil.STATUS_ZOMBIE:
            found.append(" ".join(info["cmdline"] or []))
    return found


def _is_healthy(stack: StackUnderTest) -> bool:
    return bool(stack.status()["healthy"])


def test_everything_is_ready_when_up_returns(hello: StackUnderTest) -> None:
    assert _greeting(hello, "world") == "hello world"
    with psycopg.connect(hello.database_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with socket.create_connection(("127.0.0.1", hello.ports["kafka"]), timeout=5):
        pass


def test_status_tells_everything_about_every_part(hello: StackUnderTest) -> None:
    status = hello.status()

    assert status["running"]
    assert status["healthy"]
    assert list(status["parts"]) == [*PARTS, "supervisord"]
    for part in status["parts"].values():
        assert part["state"] == "ready"
        assert psutil.pid_exists(part["pid"])
        assert part["address"]
        assert part["uptime_s"] >= 0
        assert part["memory_bytes"] > 1_000_000
    assert str(hello.ports["postgres"]) in status["parts"]["postgres"]["address"]
    (function,) = status["functions"]
    assert function["name"] == "Hello"
    assert function["environments"] >= 1


def test_the_table_of_status_names_every_part(hello: StackUnderTest) -> None:
    table = hello.cli("status").stdout

    for name in (*PARTS, "Hello", "Restarts", "Memory"):
        assert name in table


def test_up_again_is_harmless_and_says_so(hello: StackUnderTest) -> None:
    before = hello.status()["parts"]

    result = hello.cli("up")

    assert "already running" in result.stdout
    after = hello.status()["parts"]
    assert {n: p["pid"] for n, p in after.items()} == {n: p["pid"] for n, p in before.items()}


def test_up_with_other_settings_is_refused_in_one_line(hello: StackUnderTest) -> None:
    result = hello.cli("up", "--replicas", "2", check=False)

    assert result.returncode == 1
    assert result.stderr.strip().splitlines() == [
        "error: the stack runs with other settings (replicas): `local-stack down` first"
    ]


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_comes_back_by_itself(hello: StackUnderTest, part: str) -> None:
    before = hello.status()["parts"][part]
    os.kill(before["pid"], signal.SIGKILL)

    wait_until(
        lambda: _is_healthy(hello) and hello.pid(part) != before["pid"], BACK_S, f"{part} is back"
    )

    assert hello.status()["parts"][part]["restarts"] == before["restarts"] + 1
    assert _greeting(hello, "again") == "hello again"


def test_logs_show_parts_and_functions(hello: StackUnderTest) -> None:
    hello.cli("invoke", "Hello")

    assert "ready to accept connections" in hello.cli("logs", "postgres").stdout
    assert "REPORT RequestId" in hello.cli("logs", "Hello").stdout
    together = hello.cli("logs", "-n", "1000").stdout
    assert "postgres | " in together
    assert "Hello | " in together


def test_followed_logs_show_what_comes_after(hello: StackUnderTest) -> None:
    hello.cli("invoke", "Hello")
    arguments = ["-m", "local_stack.cli", "logs", "Hello", "-f", "-n", "0"]
    with subprocess.Popen(
        [hello.python, *arguments],
        cwd=hello.project_dir,
        env={**os.environ, **hello.environment},
        stdout=subprocess.PIPE,
    ) as following:
        output = following.stdout
        assert output is not None
        os.set_blocking(output.fileno(), False)

        def seen() -> bool:
            hello.cli("invoke", "Hello")
            return b"REPORT RequestId" in (output.read() or b"")

        try:
            wait_until(seen, 15, "the new lines are shown")
        finally:
            following.terminate()


def test_invoke_prints_the_payload_and_nothing_else(hello: StackUnderTest) -> None:
    event = json.dumps({"pathParameters": {"name": "cli"}})

    result = hello.cli("invoke", "Hello", "--event", "-", stdin=event)

    assert json.loads(result.stdout)["greeting"] == "hello cli"
    assert result.stderr == ""


def test_invoke_shows_the_log_on_demand(hello: StackUnderTest) -> None:
    assert "END RequestId" in hello.cli("invoke", "Hello", "--log").stderr


def test_a_failing_function_is_exit_code_1_with_its_error(hello: StackUnderTest) -> None:
    result = hello.cli("invoke", "Hello", "--event", "-", stdin='{"fail": true}', check=False)

    assert result.returncode == 1
    assert json.loads(result.stdout)["errorType"] == "ValueError"
    assert "Hello failed" in result.stderr


@pytest.mark.parametrize("kind", ["Event", "DryRun"])
def test_other_invocation_types_print_nothing(hello: StackUnderTest, kind: str) -> None:
    assert hello.cli("invoke", "Hello", "--type", kind).stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("invoke", "Nobody"), "ResourceNotFoundException"),
        (("invoke", "Hello", "--event", "/no/such/file"), "cannot read the event"),
        (("logs", "nobody"), "no log is named"),
    ],
)
def test_expected_failures_are_one_line(
    hello: StackUnderTest, arguments: tuple[str, ...], said: str
) -> None:
    result = hello.cli(*arguments, check=False)

    assert result.returncode == 1
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_doctor_finds_nothing_wrong(hello: StackUnderTest) -> None:
    said = hello.cli("doctor").stdout

    assert "Python" in said
    assert "✗" not in said


def test_down_leaves_no_process_and_no_socket_and_keeps_the_data(idle: StackUnderTest) -> None:
    idle.cli("up")
    with psycopg.connect(idle.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    idle.cli("down")

    assert _processes(idle) == []
    assert [p for p in idle.dir.rglob("*") if p.is_socket()] == []
    assert not idle.status()["running"]
    assert "not running" in idle.cli("down").stdout
    idle.cli("up")
    with psycopg.connect(idle.database_url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_killed_process_manager_takes_everything_along(idle: StackUnderTest) -> None:
    idle.cli("up")

    os.kill(idle.pid("supervisord"), signal.SIGKILL)

    wait_until(lambda: _processes(idle) == [], 20, "nothing is left")


def test_up_right_after_the_process_manager_was_killed_works(idle: StackUnderTest) -> None:
    idle.cli("up")
    with psycopg.connect(idle.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 100000) AS n")
    os.kill(idle.pid("supervisord"), signal.SIGKILL)

    idle.cli("up")

    assert _is_healthy(idle)
    with psycopg.connect(idle.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (100000,)


def test_up_starts_what_was_stopped(idle: StackUnderTest) -> None:
    idle.cli("up")
    subprocess.run(
        [
            *(idle.python, "-m", "supervisor.supervisorctl"),
            *("-s", f"unix://{idle.dir}/run/supervisor.sock", "stop", "kafka", "host-1"),
        ],
        check=True,
        capture_output=True,
    )
    assert idle.status()["parts"]["kafka"]["state"] == "stopped"
    assert idle.cli("status", check=False).returncode == 1

    said = idle.cli("up").stdout

    assert "Kafka" in said
    assert "PostgreSQL" not in said
    status = idle.status()
    assert status["healthy"], status


def test_two_ups_and_two_downs_at_once_agree(idle: StackUnderTest) -> None:
    for command, after in (("up", True), ("down", False)):
        both = [
            subprocess.Popen(
                [idle.python, "-m", "local_stack.cli", command],
                cwd=idle.project_dir,
                env={**os.environ, **idle.environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(2)
        ]
        said = [process.communicate(timeout=60)[0] for process in both]

        assert [process.returncode for process in both] == [0, 0], said
        assert idle.status()["healthy"] is after
    assert _processes(idle) == []


def test_a_taken_port_is_one_line_with_its_owner_and_setting(idle: StackUnderTest) -> None:
    with socket.create_server(("127.0.0.1", idle.ports["kafka"])):
        result = idle.cli("up", check=False)

    assert result.returncode == 1
    (line,) = result.stderr.strip().splitlines()
    assert f"port {idle.ports['kafka']} is taken by" in line
    assert f"(pid {os.getpid()})" in line
    assert "LOCAL_STACK_PORT_KAFKA" in line
    assert _processes(idle) == []


def test_a_folder_that_cannot_be_written_is_one_line(idle: StackUnderTest) -> None:
    result = idle.cli("up", check=False, LOCAL_STACK_DIR="/proc/stack")

    assert result.returncode == 1
    (line,) = result.stderr.strip().splitlines()
    assert "cannot write to /proc/stack" in line
    assert "LOCAL_STACK_DIR" in line


def test_a_store_of_ones_own_that_does_not_answer_is_one_line(idle: StackUnderTest) -> None:
    result = idle.cli("up", check=False, DATABASE_URL="postgresql://nobody@127.0.0.1:1/x")

    assert result.returncode == 1
    (line,) = result.stderr.strip().splitlines()
    assert "DATABASE_URL is set, and nothing answers there" in line


def test_a_part_that_cannot_start_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    project = _copy_of_project(tmp_path, '[tool.local-stack.postgres]\nno_such_setting = "1"\n')
    with new_stack(project) as stack:
        result = stack.cli("up", check=False)

        assert result.returncode == 1
        assert "PostgreSQL cannot start" in result.stderr
        assert 'unrecognized configuration parameter "no_such_setting"' in result.stderr
        assert _processes(stack) == []


def test_a_failing_first_function_fails_up_with_its_error(tmp_path: Path) -> None:
    project = _copy_of_project(tmp_path, "")
    settings = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(settings.replace('"{}"', "'{\"fail\": true}'"))
    with new_stack(project) as stack:
        result = stack.cli("up", check=False)

        assert result.returncode == 1
        assert "Hello failed: told to" in result.stderr
        assert "REPORT RequestId" in result.stderr
        assert _processes(stack) == []


def test_several_hosts_share_the_work(tmp_path: Path) -> None:
    with running_stack(PROJECT, LOCAL_STACK_REPLICAS="3") as stack:
        parts = stack.status()["parts"]
        assert [name for name in parts if name.startswith("host")] == ["host-1", "host-2", "host-3"]
        os.kill(parts["host-2"]["pid"], signal.SIGKILL)

        greetings = {_greeting(stack, "all") for _ in range(20)}

        assert greetings == {"hello all"}


def test_another_folders_project_runs_by_naming_its_template(tmp_path: Path) -> None:
    with new_stack(tmp_path) as stack:
        stack.cli("up", "--template", str(PROJECT / "template.yaml"))

        assert _greeting(stack, "there") == "hello there"


def test_two_stacks_run_side_by_side(hello: StackUnderTest, idle: StackUnderTest) -> None:
    idle.cli("up")
    idle.cli("down")

    assert _is_healthy(hello)


def _copy_of_project(folder: Path, more_settings: str) -> Path:
    project = folder / "project"
    (project / "hello").mkdir(parents=True)
    for name in ("template.yaml", "pyproject.toml", "hello/app.py"):
        (project / name).write_text((PROJECT / name).read_text())
    with (project / "pyproject.toml").open("a") as file:
        file.write("\n" + more_settings)
    return project
