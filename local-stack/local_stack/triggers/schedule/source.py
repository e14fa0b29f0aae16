"""Runs a schedule: fires, waits for the run to end, fires again. Never two runs at once.

A tick that comes due while a run lasts is skipped, not queued, so missed ticks are bounded by one.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING

from local_stack import clock
from local_stack.triggers.schedule.event import build_event
from local_stack.triggers.schedule.expression import parse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from local_stack.model import Schedule

    InvokeFunction = Callable[[str, bytes], Awaitable[object]]

_LOGGER = logging.getLogger(__name__)
FAILURE_PAUSE_S = 0.5  # a host that is away is not asked more often than this


async def run_schedule(schedule: Schedule, invoke: InvokeFunction) -> None:
    """Fire `schedule` until cancelled; a run that fails is logged and the next tick comes."""
    rate = parse(schedule.expression, schedule.name)
    due = clock.monotonic()
    failing = False
    while True:
        due = rate.next_after(due, clock.monotonic())
        await asyncio.sleep(max(0.0, due - clock.monotonic()))
        payload = build_event(schedule, event_id=str(uuid.uuid4()), now=clock.now())
        try:
            await invoke(schedule.function, payload)
        except Exception as error:  # noqa: BLE001 - whatever a run raised, the schedule goes on
            if not failing:  # once an outage, not five times a second
                _LOGGER.warning("%s: %s failed: %s", schedule.name, schedule.function, error)
            failing = True
            await asyncio.sleep(FAILURE_PAUSE_S)
        else:
            if failing:
                _LOGGER.info("%s: %s works again", schedule.name, schedule.function)
            failing = False
