"""A handler that leaves a thread counting."""

import os
import threading
import time
from pathlib import Path

COUNTED = [0]
STARTED = []


def _count(file):
    while True:
        COUNTED[0] += 1
        if file:
            with Path(file).open("a") as out:
                out.write(".")
        time.sleep(0.005)


def handler(event, context):
    if not STARTED:
        STARTED.append(threading.Thread(target=_count, args=(event.get("file"),), daemon=True))
        STARTED[0].start()
    time.sleep(event.get("seconds", 0))
    return {
        "pid": os.getpid(),
        "counted": COUNTED[0],
        "monotonic": time.monotonic(),
        "remaining_ms": context.get_remaining_time_in_millis(),
    }
