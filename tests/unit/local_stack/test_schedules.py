"""Schedules: their events, and when they run; never two runs of one at once."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from local_stack import clock
from local_stack.model import Schedule
from local_stack.triggers.schedule.event import build_event
from local_stack.triggers.schedule.source import FAILURE_PAUSE_S, run_schedule
from tests.support.golden import golden
from tests.support.virtual_time import EPOCH_MS, START, virtual_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.virtual_time import VirtualTimeLoop


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


def test_the_event_of_scheduler_has_a_source_of_its_own() -> None:
    event = build_event(
        Schedule("nightly", "F", "rate(1 day)", kind="scheduler"),
        event_id="53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        now=datetime(2026, 3, 9, 7, 5, 2, tzinfo=UTC),
    )

    assert json.loads(event) == golden("schedule_v2.json")


def test_scheduler_fills_in_its_words_in_an_input_and_a_rule_does_not() -> None:
    text = (
        '{"arn": "<aws.scheduler.schedule-arn>", "at": "<aws.scheduler.scheduled-time>",'
        ' "id": "<aws.scheduler.execution-id>", "try": "<aws.scheduler.attempt-number>"}'
    )
    now = datetime(2026, 3, 9, 7, 5, 2, tzinfo=UTC)
    scheduled = Schedule(
        "nightly", "F", "rate(1 day)", input_json=text, kind="scheduler", group="books"
    )
    rule = Schedule("nightly", "F", "rate(1 day)", input_json=text)

    assert json.loads(build_event(scheduled, event_id="the-id", now=now)) == {
        "arn": "arn:aws:scheduler:us-east-1:000000000000:schedule/books/nightly",
        "at": "2026-03-09T07:05:02Z",
        "id": "the-id",
        "try": "1",
    }
    assert build_event(rule, event_id="the-id", now=now) == text.encode()


# --- running ---------------------------------------------------------------------------------


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualTimeLoop]:
    with virtual_time(monkeypatch) as loop:
        monkeypatch.setattr(clock, "now", lambda: _moment(loop.time() - START))
        yield loop


BEGAN = datetime.fromtimestamp(EPOCH_MS / 1000, tz=UTC)


def _moment(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


class Runs:
    """A function that a schedule starts."""

    def __init__(self, loop: VirtualTimeLoop, *, lasts_s: float = 0, fails: int = 0) -> None:
        self.times: list[float] = []
        self.ticks: list[float] = []  # when the events say they are
        self.running = 0
        self._loop = loop
        self._lasts_s = lasts_s
        self._fails = fails
        self._began = loop.time()

    async def __call__(self, function: str, payload: bytes) -> object:
        assert function == "F"
        event = json.loads(payload)
        assert event["detail-type"] == "Scheduled Event"
        self.ticks.append((datetime.fromisoformat(event["time"]) - BEGAN).total_seconds())
        self.times.append(round(self._loop.time() - self._began, 3))
        assert self.running == 0, "two runs at once"
        self.running += 1
        await asyncio.sleep(self._lasts_s)
        self.running -= 1
        if len(self.times) <= self._fails:
            raise ConnectionError("nobody is there")
        return None


SCHEDULE = Schedule("tick", "F", "rate(1 second)")


def _run(
    loop: VirtualTimeLoop, runs: Runs, seconds: float, schedule: Schedule = SCHEDULE
) -> list[float]:
    loop.create_task(run_schedule(schedule, runs))
    loop.advance(seconds)
    return runs.times


def _scheduler(expression: str, **fields: Any) -> Schedule:
    return Schedule("tick", "F", expression, kind="scheduler", **fields)


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


def test_what_ran_is_told(loop: VirtualTimeLoop) -> None:
    told: list[tuple[str, bool]] = []
    runs = Runs(loop, fails=1)
    loop.create_task(run_schedule(SCHEDULE, runs, lambda name, worked: told.append((name, worked))))

    loop.advance(2.5)

    assert told == [("tick", False), ("tick", True)]


# --- cron ------------------------------------------------------------------------------------


def test_the_clock_begins_at_a_full_minute() -> None:
    assert (BEGAN.second, BEGAN.microsecond) == (0, 0)


def test_cron_fires_on_the_minute_and_its_event_says_which(loop: VirtualTimeLoop) -> None:
    runs = Runs(loop)

    assert _run(loop, runs, 200, Schedule("tick", "F", "cron(* * * * ? *)")) == [60, 120, 180]
    assert runs.ticks == [60, 120, 180]


def test_of_the_ticks_that_came_due_while_a_run_lasted_one_is_caught_up(
    loop: VirtualTimeLoop,
) -> None:
    runs = Runs(loop, lasts_s=200)

    _run(loop, runs, 500, Schedule("tick", "F", "cron(* * * * ? *)"))

    # 60 lasts until 260: of 120, 180 and 240 the first is made up for, and the others are not.
    assert runs.times == [60, 260, 460]
    assert runs.ticks == [60, 120, 300]


def test_a_cron_schedule_ends_when_there_is_no_tick_left(loop: VirtualTimeLoop) -> None:
    running = loop.create_task(
        run_schedule(Schedule("tick", "F", "cron(0 0 1 1 ? 2020)"), Runs(loop))
    )

    loop.advance(1)

    assert running.done()
    assert running.exception() is None


def test_start_and_end_bound_a_cron_schedule(loop: VirtualTimeLoop) -> None:
    schedule = _scheduler("cron(* * * * ? *)", starts=_moment(120), ends=_moment(240))

    assert _run(loop, Runs(loop), 1000, schedule) == [120, 180, 240]


# --- Scheduler's rates and moments -----------------------------------------------------------


def test_a_rate_of_scheduler_fires_at_once(loop: VirtualTimeLoop) -> None:
    assert _run(loop, Runs(loop), 125, _scheduler("rate(1 minute)")) == [0, 60, 120]


@pytest.mark.parametrize(
    ("start_s", "expected"), [(30, [30, 90, 150]), (0, [0, 60, 120]), (-80, [40, 100, 160])]
)
def test_a_rate_with_a_start_date_keeps_to_its_grid(
    loop: VirtualTimeLoop, start_s: float, expected: list[float]
) -> None:
    schedule = _scheduler("rate(1 minute)", starts=_moment(start_s))

    assert _run(loop, Runs(loop), 175, schedule)[:3] == expected


def test_a_rate_ends_at_its_end_date(loop: VirtualTimeLoop) -> None:
    schedule = _scheduler("rate(1 minute)", ends=_moment(130))

    assert _run(loop, Runs(loop), 1000, schedule) == [0, 60, 120]


def test_at_fires_once(loop: VirtualTimeLoop) -> None:
    moment = _moment(90).strftime("at(%Y-%m-%dT%H:%M:%S)")

    assert _run(loop, Runs(loop), 10_000, _scheduler(moment, ends=_moment(10))) == [90]


def test_at_that_has_passed_is_not_made_up_for(loop: VirtualTimeLoop) -> None:
    moment = _moment(-90).strftime("at(%Y-%m-%dT%H:%M:%S)")

    assert _run(loop, Runs(loop), 10_000, _scheduler(moment)) == []


def test_a_clock_that_is_set_neither_stops_nor_repeats_a_schedule(
    loop: VirtualTimeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(loop)
    loop.create_task(run_schedule(Schedule("tick", "F", "cron(* * * * ? *)"), runs))
    loop.advance(70)
    monkeypatch.setattr(clock, "now", lambda: _moment(loop.time() - START - 3600))
    loop.advance(100)
    assert runs.ticks == [60], "an hour back: what has run is not run again"

    monkeypatch.setattr(clock, "now", lambda: _moment(loop.time() - START + 3600))
    loop.advance(100)
    assert len(runs.ticks) <= 4
    assert runs.ticks[1] == 120
    assert runs.ticks[2] > 3600
