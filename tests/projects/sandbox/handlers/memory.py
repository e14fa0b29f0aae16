"""Handlers that take memory."""

import os
import subprocess
import sys
import time

KEPT = []


def takes(event, context):
    """Fill `mb`, keep it for `seconds`; for good with `keep`."""
    taken = b"x" * (event["mb"] << 20)
    if event.get("keep"):
        KEPT.append(taken)
    time.sleep(event.get("seconds", 0))
    return {"pid": os.getpid(), "mb": len(taken) >> 20}


def takes_in_a_child(event, context):
    code = f"import time; taken = b'x' * ({event['mb']} << 20); time.sleep(1)"
    return subprocess.run([sys.executable, "-S", "-c", code], check=False).returncode
