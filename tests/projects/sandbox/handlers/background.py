"""A handler that leaves a thread counting."""

import os
import threading
import time

COUNTED = [0]
STARTED = []


def _count():
    while True:
        COUNTED[0] += 1
        time.sleep(0.005)


def handler(event, context):
    if not STARTED:
        STARTED.append(threading.Thread(target=_count, daemon=True))
        STARTED[0].start()
    time.sleep(event.get("seconds", 0))
    return {
        "pid": os.getpid(),
        "counted": COUNTED[0],
        "monotonic": time.monotonic(),
        "remaining_ms": context.get_remaining_time_in_millis(),
    }
