"""Questions asked at the same time, each with a deadline."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from shared.errors import OutOfTime
from shared.side_by_side import SideBySide

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def side_by_side() -> Iterator[SideBySide[str]]:
    made = SideBySide[str](3)
    yield made
    made.close()


def test_all_are_asked_at_the_same_time(side_by_side: SideBySide[str]) -> None:
    meeting = threading.Barrier(3)

    def meet() -> str:
        meeting.wait(5)
        return "met"

    answers = side_by_side.ask({"a": meet, "b": meet, "c": meet}, 5)
    assert answers == {"a": "met", "b": "met", "c": "met"}


def test_an_error_is_the_answer_of_that_question_alone(side_by_side: SideBySide[str]) -> None:
    error = ValueError("no")

    def fail() -> str:
        raise error

    assert side_by_side.ask({"a": fail, "b": lambda: "yes"}, 5) == {"a": error, "b": "yes"}


def test_what_does_not_answer_is_late_and_not_asked_again(side_by_side: SideBySide[str]) -> None:
    answered = threading.Event()
    asked: list[int] = []

    def deaf() -> str:
        asked.append(1)
        answered.wait(30)
        return "at last"

    questions = {"deaf": deaf, "quick": lambda: "here"}
    try:
        started = time.monotonic()
        first = side_by_side.ask(questions, 0.05)
        assert time.monotonic() - started < 1
        assert isinstance(first["deaf"], OutOfTime)
        assert first["quick"] == "here"
        started = time.monotonic()
        assert isinstance(side_by_side.ask(questions, 30)["deaf"], OutOfTime)
        assert time.monotonic() - started < 5, "a late question is not waited for"
        assert asked == [1]
    finally:
        answered.set()
    side_by_side.close()
    assert side_by_side.ask(questions, 5)["deaf"] == "at last"
