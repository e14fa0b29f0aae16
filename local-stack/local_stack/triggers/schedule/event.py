"""The events of schedules, as EventBridge and EventBridge Scheduler send them. Pure.

A rule's event: EventBridge user guide, "Scheduled Event". Scheduler's has the same envelope with a
source and an ARN of its own, and `detail` is the text `{}`, as seen in functions' logs; the words
that it replaces in an `Input`: Scheduler user guide, "Adding context attributes".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local_stack.model import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from datetime import datetime

    from local_stack.model import Schedule


def schedule_arn(schedule: Schedule) -> str:
    """The ARN of the rule or of Scheduler's schedule."""
    if schedule.kind == "scheduler":
        place = f"schedule/{schedule.group}/{schedule.name}"
        return f"arn:aws:scheduler:{REGION}:{ACCOUNT_ID}:{place}"
    return f"arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{schedule.name}"


def build_event(schedule: Schedule, *, event_id: str, now: datetime) -> bytes:
    """The payload of the tick at `now` (UTC); a schedule's `Input` replaces the event whole."""
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    is_rule = schedule.kind == "rule"
    if schedule.input_json is not None:
        text = schedule.input_json
        if not is_rule:
            for name, value in (
                ("schedule-arn", schedule_arn(schedule)),
                ("scheduled-time", time),
                ("execution-id", event_id),
                ("attempt-number", "1"),
            ):
                text = text.replace(f"<aws.scheduler.{name}>", value)
        return text.encode()
    event = {
        "version": "0",
        "id": event_id,
        "detail-type": "Scheduled Event",
        "source": "aws.events" if is_rule else "aws.scheduler",
        "account": ACCOUNT_ID,
        "time": time,
        "region": REGION,
        "resources": [schedule_arn(schedule)],
        "detail": {} if is_rule else "{}",
    }
    return json.dumps(event).encode()
