"""A module that takes more memory than its function has."""

import time

TAKEN = b"x" * (300 << 20)
time.sleep(20)  # longer than its init may take


def handler(event, context):
    return len(TAKEN)
