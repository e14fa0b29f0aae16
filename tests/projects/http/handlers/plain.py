"""Handlers without a framework."""

from __future__ import annotations

import json
import threading
from typing import Any


def event(event: dict[str, Any], context: object) -> dict[str, Any]:
    """The event, as a JSON body."""
    return event


def result(event: dict[str, Any], context: object) -> Any:
    """Whatever the request's body says."""
    return json.loads(event["body"])


def raises(event: object, context: object) -> None:
    raise RuntimeError("on purpose")


def hangs(event: object, context: object) -> None:
    threading.Event().wait()
