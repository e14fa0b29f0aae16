"""Handlers that write to standard output and error, politely and not."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any


def handler(event: dict[str, Any], context: object) -> None:
    if "lines" in event:
        sys.stdout.writelines(f"line {number}\n" for number in range(event["lines"]))
    if "text" in event:
        sys.stdout.write(event["text"])
    if "error" in event:
        sys.stderr.write(event["error"])
    if "hex" in event:
        os.write(1, bytes.fromhex(event["hex"]))


def logs(event: dict[str, str], context: object) -> None:
    logging.getLogger().warning("a warning about %s", event["what"])
