"""The command line where no stack runs: single invocations, events, options, what it says."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from typer.main import get_command

from local_stack import cli
from tests.support.host import PROJECTS
from tests.support.stack import new_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import StackUnderTest

REPOSITORY = Path(__file__).parents[2]
ANN = '{"body": "{\\"name\\": \\"Ann\\"}"}'


@pytest.fixture
def idle() -> Iterator[StackUnderTest]:
    """A project whose stack does not run."""
    with new_stack(PROJECTS / "tested") as stack:
        yield stack


def said_by(answer: str) -> str:
    return str(json.loads(json.loads(answer)["body"])["said"])


# ---- invoke ----


def test_a_function_is_invoked_without_a_running_stack(idle: StackUnderTest) -> None:
    mark = str(idle.dir)

    result = idle.cli("invoke", "PlaceOrder", "--event", "-", "--log", stdin=ANN, STARTED_BY=mark)

    assert said_by(result.stdout) == "Hello Ann, by post"
    assert "no stack runs here" in result.stderr
    assert "order of Ann" in result.stderr
    assert "REPORT RequestId:" in result.stderr
    assert [process for process in psutil.process_iter() if _has(process, mark)] == []
    assert not (idle.dir / "run").exists()


def _has(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get("STARTED_BY") == mark
    except psutil.Error:
        return False


def test_parameters_and_variables_of_a_call_are_given_as_to_sam(
    idle: StackUnderTest, tmp_path: Path
) -> None:
    variables = tmp_path / "env.json"
    variables.write_text('{"PlaceOrder": {"CARRIER": "pigeon"}}')
    options = ["--env-vars", str(variables), "--parameter-overrides", "Greeting=Salve"]

    result = idle.cli("invoke", "PlaceOrder", *options, "--event", "-", stdin=ANN)

    assert said_by(result.stdout) == "Salve Ann, by pigeon"


def test_a_call_that_fails_has_exit_code_1_and_its_reason(idle: StackUnderTest) -> None:
    result = idle.cli("invoke", "SendMail", "-e", "-", stdin='{"fails": true}', check=False)

    assert result.returncode == 1
    assert json.loads(result.stdout)["errorType"] == "ConnectionError"
    assert "SendMail failed" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["invoke", "Nobody"], "Function not found: arn:aws:lambda:us-east-1:.*:function:Nobody"),
        (["invoke", "SendMail", "--type", "Event"], "needs a host that stays"),
        (["invoke", "SendMail", "--env-vars", "nowhere.json"], "--env-vars nowhere.json"),
        (["invoke", "SendMail", "--parameter-overrides", "Colour=red"], "declared are: Greeting"),
        (["up", "--debug", "PlaceOrder"], "write NAME:PORT"),
        (["up", "--debug", "PlaceOrder:5678"], "pip install debugpy"),
        (["generate-event", "http", "/nowhere"], "there are POST /orders"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_the_remedy(
    idle: StackUnderTest, arguments: list[str], said: str
) -> None:
    result = idle.cli(*arguments, check=False)

    assert result.returncode == 1
    assert re.search(said, result.stderr), result.stderr
    assert "Traceback" not in result.stderr


# ---- generate-event ----


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["http", "/orders", "-X", "POST", "-d", "{}"], "routeKey", "POST /orders"),
        (["kafka", "orders", "one", "two"], "eventSource", "SelfManagedKafka"),
        (["schedule", "CloseBooksNightly"], "detail-type", "Scheduled Event"),
        (["async-destination", "SendMail"], "version", "1.0"),
    ],
)
def test_events_are_printed_for_the_template_at_hand(
    idle: StackUnderTest, arguments: list[str], field: str, value: str
) -> None:
    assert json.loads(idle.cli("generate-event", *arguments).stdout)[field] == value


# ---- doctor ----


def test_doctor_explains_the_template_and_the_machine(idle: StackUnderTest) -> None:
    said = idle.cli("doctor").stdout

    for expected in (
        "4 functions, 1 route, 2 schedules, 1 Kafka source",
        "POST /orders → PlaceOrder",
        "rate(1 day) → CloseBooks (CloseBooksNightly, disabled)",
        "orders → ShipOrders",
        "Own /tmp",
        "max_user_watches",
        "CPUs",
    ):
        assert expected in said


def test_doctor_names_what_does_not_run_with_file_and_line(tmp_path: Path) -> None:
    shutil.copytree(PROJECTS / "tested", tmp_path / "project")
    template = tmp_path / "project" / "template.yaml"
    queue = "        Jobs: {Type: SQS, Properties: {Queue: arn:aws:sqs:us-east-1:000000000000:q}}\n"
    text = template.read_text()
    line = text[: text.index("        Nightly:")].count("\n") + 1
    template.write_text(text.replace("        Nightly:", f"{queue}        Nightly:"))

    with new_stack(tmp_path / "project") as stack:
        refused = stack.cli("doctor", check=False)
        skipped = stack.cli("doctor", "--skip-unsupported")

    assert refused.returncode == 1
    assert f"template.yaml:{line}" in refused.stdout
    assert "SQS" in refused.stdout
    assert f"template.yaml:{line}" in skipped.stdout


# ---- the manual ----


def test_every_option_is_in_the_manual() -> None:
    manual = (REPOSITORY / "docs" / "local-stack.md").read_text(encoding="utf-8")
    group = get_command(cli.app)
    commands = dict(group.commands)  # type: ignore[attr-defined]
    events = commands.pop("generate-event").commands
    for command in [*commands.values(), *events.values()]:
        for parameter in command.params:
            names = [name for name in parameter.opts if name.startswith("-")]
            assert not names or any(f"{name}" in manual for name in names), (command.name, names)
    for kind in events:
        assert f"| `{kind} " in manual, kind
