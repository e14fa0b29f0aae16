"""A module that takes more memory than its function has."""

import time

TAKEN = b"x" * (300 << 20)
time.sleep(1)


def handler(event, context):
    return len(TAKEN)
