"""A handler that ends its process, in the way that the event says."""

from __future__ import annotations

import os
import threading
from typing import Any

SEEN: list[int] = []


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    SEEN.append(1)
    if event.get("how") == "exit":
        os._exit(3)
    if event.get("how") == "hang":
        threading.Event().wait()
    return {
        "pid": os.getpid(),
        "seen": len(SEEN),
        "stream": os.environ["AWS_LAMBDA_LOG_STREAM_NAME"],
        "kind": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
    }
