"""Runs a schedule: fires, waits for the run to end, fires again. Never two runs at once.

A tick of a rate that comes due while a run lasts is skipped; of a cron expression's ticks that came
due meanwhile, one is caught up. So nothing queues, and a nightly run is not lost to the one before.
AWS invokes asynchronously and may run two at once (ADR 0031).
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never
from zoneinfo import ZoneInfo

from local_stack import clock
from local_stack.template.schedule_expression import At, Cron, Rate, parse
from local_stack.triggers.schedule.event import build_event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime

    from local_stack.model import Schedule

    InvokeFunction = Callable[[str, bytes], Awaitable[object]]

_LOGGER = logging.getLogger(__name__)
FAILURE_PAUSE_S = 0.5  # a host that is away is not asked more often than this
LOOK_S_MAX = 30.0  # how soon a clock that was set is noticed


async def run_schedule(
    schedule: Schedule,
    invoke: InvokeFunction,
    ran: Callable[[str, bool], None] = lambda _name, _worked: None,
) -> None:
    """Fire `schedule` until it is over, or for ever; a run that fails is logged and goes on.

    `ran` hears of every run: the schedule's name, and whether it worked.
    """
    failing = False
    async for tick in ticks(schedule):
        payload = build_event(schedule, event_id=str(uuid.uuid4()), now=tick)
        try:
            await invoke(schedule.function, payload)
        except Exception as error:  # noqa: BLE001 - whatever a run raised, the schedule goes on
            ran(schedule.name, False)
            if not failing:  # once an outage, not five times a second
                _LOGGER.warning("%s: %s failed: %s", schedule.name, schedule.function, error)
            failing = True
            await asyncio.sleep(FAILURE_PAUSE_S)
        else:
            ran(schedule.name, True)
            if failing:
                _LOGGER.info("%s: %s works again", schedule.name, schedule.function)
            failing = False
    _LOGGER.info("%s: no further run", schedule.name)


async def ticks(schedule: Schedule) -> AsyncIterator[datetime]:
    """Yields at every tick, with its time; the next is looked for when it is asked for."""
    expression = parse(schedule.expression, schedule.kind)
    match expression:
        case Rate():
            found = _rate_ticks(schedule, expression)
        case Cron():
            found = _cron_ticks(schedule, expression)
        case At():
            found = _one_tick(schedule, expression)
        case _:
            assert_never(expression)
    async for tick in found:
        yield tick


async def _rate_ticks(schedule: Schedule, rate: Rate) -> AsyncIterator[datetime]:
    """Counts on the monotonic clock, so that a clock that is set neither stops nor hurries it.

    A rule fires when its first interval has passed. Scheduler's first tick is its start date, and
    every tick stays on the grid from there; without one it fires at once.
    """
    now = clock.monotonic()
    due = now
    if schedule.kind == "rule":
        due += rate.seconds
    elif schedule.starts is not None:
        due += (schedule.starts - clock.now()).total_seconds()
        due = due if due >= now else rate.next_after(due, now)
    while True:
        await asyncio.sleep(max(0.0, due - clock.monotonic()))
        now_wall = clock.now()
        if schedule.ends is not None and now_wall > schedule.ends:
            return
        yield now_wall
        due = rate.next_after(due, clock.monotonic())


async def _cron_ticks(schedule: Schedule, cron: Cron) -> AsyncIterator[datetime]:
    zone = ZoneInfo(schedule.timezone)
    last = clock.now()
    if schedule.starts is not None:
        last = max(last, schedule.starts - timedelta(microseconds=1))
    while (due := cron.next_after(last, zone)) is not None:
        if schedule.ends is not None and due > schedule.ends:
            return
        await _sleep_until(due)
        last = max(due, clock.now())
        yield due


async def _one_tick(schedule: Schedule, at: At) -> AsyncIterator[datetime]:
    """One tick; start and end dates do not matter to it. One that has passed is not made up for."""
    due = at.moment(ZoneInfo(schedule.timezone))
    if due <= clock.now():
        return
    await _sleep_until(due)
    yield due


async def _sleep_until(moment: datetime) -> None:
    while (left := (moment - clock.now()).total_seconds()) > 0:  # noqa: ASYNC110 - for a time
        await asyncio.sleep(min(left, LOOK_S_MAX))
