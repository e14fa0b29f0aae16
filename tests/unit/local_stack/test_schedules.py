"""Schedules: expressions, the event, and that no two runs overlap."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from local_stack.errors import TemplateError
from local_stack.model import Schedule
from local_stack.triggers.schedule.event import build_event
from local_stack.triggers.schedule.expression import Rate, parse
from local_stack.triggers.schedule.source import FAILURE_PAUSE_S, run_schedule
from tests.support.golden import golden
from tests.support.virtual_time import virtual_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.virtual_time import VirtualTimeLoop


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("rate(1 minute)", 60.0),
        ("rate(5 minutes)", 300.0),
        ("rate(1 hour)", 3600.0),
        ("rate(7 days)", 604_800.0),
        ("rate(1 second)", 1.0),
        ("rate(30 seconds)", 30.0),
        ("rate(200 milliseconds)", 0.2),
        ("rate(50 milliseconds)", 0.05),
    ],
)
def test_a_rate_is_read(expression: str, seconds: float) -> None:
    assert parse(expression, "S").seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("cron(0 12 * * ? *)", "is not a rate"),
        ("at(2026-01-01T00:00:00)", "is not a rate"),
        ("", "is not a rate"),
        ("rate(1 fortnight)", "is not a rate"),
        ("rate(minute)", "is not a rate"),
        ("rate(1  minute)", "is not a rate"),
        ("rate(1.5 minutes)", "is not a rate"),
        ("rate(-1 minutes)", "is not a rate"),
        (" rate(1 minute)", "is not a rate"),
        ("rate(1 minutes)", "singular for 1, plural for more"),
        ("rate(2 minute)", "singular for 1, plural for more"),
        ("rate(0 minutes)", "singular for 1, plural for more"),
        ("rate(49 milliseconds)", "is faster than 50 ms"),
    ],
)
def test_what_is_no_rate_is_refused(expression: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message) as caught:
        parse(expression, "Nightly")

    assert str(caught.value).startswith("Nightly: ")


@pytest.mark.parametrize(
    ("previous", "now", "due"),
    [(100, 100, 160), (100, 159, 160), (100, 160, 220), (100, 161, 220), (100, 500, 520)],
)
def test_ticks_stay_on_their_grid_and_missed_ones_are_skipped(
    previous: float, now: float, due: float
) -> None:
    assert Rate(60).next_after(previous, now) == due


def test_the_event_is_eventbridges() -> None:
    event = build_event(
        Schedule("nightly", "F", "rate(1 day)"),
        event_id="53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        now=datetime(2026, 3, 9, 7, 5, 2, tzinfo=UTC),
    )

    assert json.loads(event) == golden("schedule.json")


def test_an_input_replaces_the_event_whole() -> None:
    schedule = Schedule("nightly", "F", "rate(1 day)", input_json='{"a":  1}')

    assert build_event(schedule, event_id="x", now=datetime.now(UTC)) == b'{"a":  1}'


# --- running ---------------------------------------------------------------------------------


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualTimeLoop]:
    with virtual_time(monkeypatch) as loop:
        yield loop


class Runs:
    """A function that a schedule starts."""

    def __init__(self, loop: VirtualTimeLoop, *, lasts_s: float = 0, fails: int = 0) -> None:
        self.times: list[float] = []
        self.running = 0
        self._loop = loop
        self._lasts_s = lasts_s
        self._fails = fails
        self._began = loop.time()

    async def __call__(self, function: str, payload: bytes) -> object:
        assert function == "F"
        assert json.loads(payload)["detail-type"] == "Scheduled Event"
        assert self.running == 0, "two runs at once"
        self.times.append(round(self._loop.time() - self._began, 3))
        self.running += 1
        await asyncio.sleep(self._lasts_s)
        self.running -= 1
        if len(self.times) <= self._fails:
            raise ConnectionError("nobody is there")
        return None


SCHEDULE = Schedule("tick", "F", "rate(1 second)")


def _run(loop: VirtualTimeLoop, runs: Runs, seconds: float) -> list[float]:
    loop.create_task(run_schedule(SCHEDULE, runs))
    loop.advance(seconds)
    return runs.times


def test_a_schedule_fires_on_every_tick(loop: VirtualTimeLoop) -> None:
    assert _run(loop, Runs(loop), 3.5) == [1, 2, 3]


def test_a_tick_that_comes_due_while_a_run_lasts_is_skipped(loop: VirtualTimeLoop) -> None:
    assert _run(loop, Runs(loop, lasts_s=2.5), 8) == [1, 4, 7]


def test_a_run_that_fails_is_followed_by_the_next_tick_after_a_pause(
    loop: VirtualTimeLoop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    assert FAILURE_PAUSE_S < 1
    assert _run(loop, Runs(loop, fails=3), 5.5) == [1, 2, 3, 4, 5]

    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["tick: F failed: nobody is there", "tick: F works again"]
