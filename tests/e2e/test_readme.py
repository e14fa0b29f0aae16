"""The first five minutes of the README work when they are pasted."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.stack import REPOSITORY

if TYPE_CHECKING:
    from tests.support.betting import Platform

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the README uses curl"),
]

COMMAND_TIMEOUT_S = 60


def commands() -> list[str]:
    """The commands of the section, but for `make`, one with its continuation lines each."""
    section = (REPOSITORY / "README.md").read_text().partition("## The first five minutes")[2]
    block = section.partition("```sh\n")[2].partition("```")[0]
    text = re.sub(r"^#.*\n|^\n", "", block, flags=re.MULTILINE)
    starts = re.split(r"^(?=curl |\.venv/|make )", text, flags=re.MULTILINE)
    return [command for command in starts if command and not command.startswith("make ")]


def run(platform: Platform, command: str) -> str:
    """Run a command in a shell of its own, against this stack and this interpreter."""
    stack = platform.stack
    ours = {
        "localhost:8080": f"127.0.0.1:{stack.ports['http']}",
        ".venv/bin/local-stack": f"{stack.python} -m local_stack.cli",
        ".venv/bin/python": stack.python,
    }
    # In one pass: this interpreter may itself be called .venv/bin/python.
    shown = "|".join(re.escape(words) for words in ours)
    command = re.sub(shown, lambda match: ours[match[0]], command)
    environment = {
        **os.environ,
        **stack.environment,
        "LOCALSTACK_HOST": f"localhost:{stack.ports['lambda_api']}",
        "NO_PROXY": "localhost,127.0.0.1",
    }
    result = subprocess.run(
        ["bash", "-euc", command],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def test_every_command_does_what_the_readme_says(platform: Platform) -> None:
    found = commands()
    outputs = {command.split("\n")[0]: run(platform, command) for command in found}
    told = list(outputs.values())

    assert len(found) >= 7
    assert json.loads(told[0])["status"] == "healthy"
    assert json.loads(told[1])["status"] == "accepted"
    assert json.loads(told[2])["pagination"]["limit"] == 5
    assert json.loads(told[3])["groupBy"] == "day"
    assert json.loads(told[4])["statusCode"] == 200
    assert "PlaceBet" in told[5]
    assert "event-sources" in told[6]
    assert "REPORT RequestId" in told[7]


def test_the_bet_of_the_readme_can_be_pasted_twice(platform: Platform) -> None:
    (bet,) = (command for command in commands() if "/api/bet " in command)
    run(platform, bet)
    before = platform.everything()

    run(platform, bet)

    assert platform.everything() == before
