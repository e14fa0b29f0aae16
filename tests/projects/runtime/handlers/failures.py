"""Handlers that do not come back, each in its own way."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any


class OutOfLuck(Exception):
    """Raised on purpose."""


def raises(event: dict[str, str], context: object) -> None:
    raise OutOfLuck(event.get("message", "no luck today"))


def exits(event: dict[str, Any], context: object) -> None:
    if event.get("fine"):
        return
    if "code" in event:
        sys.exit(event["code"])
    sys.exit()


def exits_hard(event: dict[str, int], context: object) -> None:
    os._exit(event["code"])


def kills_itself(event: dict[str, int], context: object) -> None:
    os.kill(os.getpid(), event["signal"])


def hangs(event: dict[str, bool], context: object) -> int:
    if not event.get("fine"):
        threading.Event().wait()
    return os.getpid()
