"""The fixtures of `local_stack.testing`, in test runs of their own, as in anybody's project."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.host import PROJECTS, is_alive
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY = Path(__file__).parents[2]
RUN_TIMEOUT_S = 60
CONFTEST = 'pytest_plugins = ["local_stack.testing"]\n'
USES_IT = """
def test_it_runs(local_stack):
    assert local_stack.invoke("PlaceOrder", {"body": '{"name": "Ann"}'}).error is None
"""


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY / "local-stack")}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )


def project(tmp_path: Path, tests: str, **files: str) -> Path:
    """A folder with tests that run tests/projects/tested."""
    template = PROJECTS / "tested" / "template.yaml"
    ini = f"[pytest]\nlocal_stack_template = {template}\nfilterwarnings = error\n"
    given = {"pytest.ini": ini, "conftest.py": CONFTEST, "test_it.py": tests}
    return write(tmp_path, {**given, **files})


def test_the_example_of_the_manual_works_when_pasted(tmp_path: Path) -> None:
    manual = (REPOSITORY / "docs" / "local-stack.md").read_text(encoding="utf-8")
    section = manual.partition("## Tests of your project")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```\w+\n# ([\w./]+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert {name for name, _ in blocks} >= {"template.yaml", "app.py", "conftest.py"}

    result = run(write(tmp_path, dict(blocks)))

    assert re.search(r"^[3-9] passed", result.stdout, re.MULTILINE), result.stdout + result.stderr


def test_each_test_begins_without_the_faults_and_events_of_the_last(tmp_path: Path) -> None:
    tests = """
import pytest

@pytest.mark.parametrize("number", [1, 2])
def test_it(local_stack, number):
    assert local_stack.async_events() == []
    assert local_stack.invoke("PlaceOrder", {}).error is None
    local_stack.fail("PlaceOrder", times=100)
    local_stack.invoke("SendMail", {"fails": True}, kind="Event")

def test_the_host_is_the_same(local_stack, local_stack_session):
    assert local_stack is local_stack_session
"""
    result = run(project(tmp_path, tests))

    assert "3 passed" in result.stdout, result.stdout + result.stderr


def test_options_and_further_templates_are_the_projects_own(tmp_path: Path) -> None:
    template = PROJECTS / "tested" / "template.yaml"
    conftest = f"""
import pytest
{CONFTEST}
@pytest.fixture(scope="session")
def local_stack_options():
    return {{"parameters": {{"Greeting": "Salve"}}}}
"""
    tests = f"""
def test_it(local_stack, local_stack_factory):
    other = local_stack_factory({str(template)!r}, env_vars={{"PlaceOrder": {{"CARRIER": "pigeon"}}}})
    event = {{"body": '{{"name": "Ann"}}'}}
    assert "Salve Ann, by post" in local_stack.invoke("PlaceOrder", event).value["body"]
    assert "Hello Ann, by pigeon" in other.invoke("PlaceOrder", event).value["body"]
    assert other.base_url != local_stack.base_url
"""
    result = run(project(tmp_path, tests, **{"conftest.py": conftest}))

    assert "1 passed" in result.stdout, result.stdout + result.stderr


def test_a_test_that_fails_shows_what_its_functions_logged(tmp_path: Path) -> None:
    tests = """
def test_it(local_stack):
    local_stack.invoke("PlaceOrder", {"body": '{"name": "Ann"}'})
    assert False
"""
    result = run(project(tmp_path, tests))

    assert "Log of PlaceOrder" in result.stdout
    assert "order of Ann" in result.stdout
    assert "Log of SendMail" not in result.stdout


def test_a_template_that_is_missing_is_named(tmp_path: Path) -> None:
    result = run(write(tmp_path, {"conftest.py": CONFTEST, "test_it.py": USES_IT}))

    assert "1 error" in result.stdout
    assert "template.yaml: cannot read the template" in result.stdout


def test_nothing_happens_to_a_project_that_does_not_ask_for_it(tmp_path: Path) -> None:
    tests = """
import sys

def test_it():
    assert not [name for name in sys.modules if name.startswith("local_stack")]
"""
    result = run(write(tmp_path, {"conftest.py": "", "test_it.py": tests}))

    assert "1 passed" in result.stdout, result.stdout + result.stderr


def test_runs_side_by_side_do_not_disturb_each_other(tmp_path: Path) -> None:
    folders = [project(tmp_path / str(number), USES_IT) for number in range(2)]
    started = [
        subprocess.Popen(
            command(),
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]
    said = [process.communicate(timeout=RUN_TIMEOUT_S)[0] for process in started]

    assert all("1 passed" in text for text in said), said


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_is_left_when_the_test_run_is_killed(
    tmp_path: Path, sent: signal.Signals
) -> None:
    tests = """
import pathlib, threading

def test_it(local_stack):
    local_stack.invoke("PlaceOrder", {})
    pathlib.Path("ready").touch()
    threading.Event().wait(60)
"""
    folder = project(tmp_path, tests)
    pytest_run = subprocess.Popen(
        command(),
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until((folder / "ready").exists, 30, "the test runs")
        started = psutil.Process(pytest_run.pid).children(recursive=True)
        assert started
    finally:
        pytest_run.send_signal(sent)
        pytest_run.wait(10)

    wait_until(lambda: not any(map(is_alive, started)), 10, f"{started} have ended")
