"""Handlers that write a lot, or in ways that nobody should."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from typing import Any


def handler(event: dict[str, Any], context: object) -> str:
    """Write `lines` short lines, or one of `bytes` bytes."""
    if "lines" in event:
        sys.stdout.writelines(f"line {number}\n" for number in range(event["lines"]))
    if "bytes" in event:
        sys.stdout.write("x" * event["bytes"] + "\n")
    return "answered"


def closes(event: object, context: object) -> str:
    """Close what output goes to, as objects and as files; log all the same."""
    sys.stdout.close()
    sys.stderr.close()
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            os.close(descriptor)
    logging.getLogger().warning("still here")
    return "answered"


def forks(event: dict[str, Any], context: object) -> int:
    """Leave a child behind that holds whatever this process has open; `exit` ends this one."""
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    if event.get("exit"):
        os._exit(3)
    return child


def result(event: dict[str, Any], context: object) -> Any:
    """Something that is, or is not, JSON."""
    return {
        "set": {1, 2},
        "bytes": b"\xff\xfe",
        "nan": float("nan"),
        "nested": {"a": object()},
        "error": {"errorType": "Looks", "errorMessage": "like an error", "stackTrace": []},
        "text": "\u2028 \x00 caf\xe9",
    }[event["what"]]


def logs(event: dict[str, Any], context: object) -> None:
    """A record of each level, among what is printed, and an exception if asked for one."""
    logger = logging.getLogger("trap")
    sys.stdout.write("printed before\n")
    logger.debug("a debug record")
    logger.error("an error of\ntwo lines", extra={"colour": "blue"})
    sys.stdout.write("printed after\n")
    if event.get("raise"):
        msg = "raised on purpose"
        raise ValueError(msg)
