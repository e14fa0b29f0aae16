"""The event of a scheduled rule, as EventBridge sends it. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local_stack.model import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from datetime import datetime

    from local_stack.model import Schedule


def build_event(schedule: Schedule, *, event_id: str, now: datetime) -> bytes:
    """The payload of one tick at `now` (UTC); a schedule's `Input` replaces the event whole."""
    if schedule.input_json is not None:
        return schedule.input_json.encode()
    event = {
        "version": "0",
        "id": event_id,
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT_ID,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{schedule.name}"],
        "detail": {},
    }
    return json.dumps(event).encode()
