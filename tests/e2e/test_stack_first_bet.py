"""What `make up` does after `local-stack up`: the first bet."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.stack import REPOSITORY

if TYPE_CHECKING:
    from tests.support.stack import StackUnderTest

pytestmark = pytest.mark.e2e


def _first_bet(stack: StackUnderTest) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [stack.python, "-m", "tests.smoke.first_bet"],
        cwd=REPOSITORY,
        env={**os.environ, **stack.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_platform_is_healthy(stack: StackUnderTest) -> None:
    status = stack.status()

    assert status["healthy"], status["parts"]
    assert set(status["parts"]) >= {"postgres", "kafka", "clickhouse", "host-1", "event-sources"}


def test_the_first_bet_is_followed_into_clickhouse_and_the_books_are_audited(
    stack: StackUnderTest,
) -> None:
    result = _first_bet(stack)

    assert result.returncode == 0, result.stderr
    for said in ("Bet placed", "In ClickHouse", "eventId", "every wallet in balance", "make down"):
        assert said in result.stdout
    for address in (stack.http_url, stack.lambda_url, stack.kafka, stack.clickhouse_url):
        assert address in result.stdout


def test_without_a_stack_the_first_bet_fails_in_one_line(stack: StackUnderTest) -> None:
    result = subprocess.run(
        [stack.python, "-m", "tests.smoke.first_bet"],
        cwd=REPOSITORY,
        env={
            **os.environ,
            **stack.environment,
            "LOCAL_STACK_DIR": str(stack.dir / "none"),
            "LOCAL_STACK_PORT_HTTP": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 1
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
