"""Stops functions that invoke each other without an end. Pure.

Lambda carries a lineage in the trace header, from which the AWS SDKs inside functions copy it into
their own requests, and stops a loop after about 16 rounds (Developer Guide, "Use Lambda recursive
loop detection"). A request that comes from no function has no trace header, and costs nothing.
"""

from __future__ import annotations

import zlib

from local_stack.errors import RecursiveInvocation

ROUNDS_MAX = 16
FUNCTIONS_MAX = 32  # that a lineage names: headers are bounded, and longer loops grow the trace
_FIELD = "Lineage="


def extended(trace_id: str, function: str) -> str:
    """The trace header `trace_id`, which came with a call of `function`, with one round more.

    Raises `RecursiveInvocation` for the round that is one too many.
    """
    fields = [field for field in trace_id.split(";") if field]
    counts: dict[str, int] = {}
    for field in fields:
        if field.startswith(_FIELD):
            counts = _counts(field.removeprefix(_FIELD))
    name = f"{zlib.crc32(function.encode()):08x}"
    counts[name] = counts.pop(name, 0) + 1
    if counts[name] > ROUNDS_MAX:
        msg = (
            f"{function} was invoked {ROUNDS_MAX} times in one chain of requests: "
            "this looks like a loop, which is ended here"
        )
        raise RecursiveInvocation(msg)
    kept = list(counts.items())[-FUNCTIONS_MAX:]
    lineage = "|".join(f"{key}:{count}" for key, count in kept)
    others = [field for field in fields if not field.startswith(_FIELD)]
    return ";".join([*others, f"{_FIELD}{lineage}"])


def _counts(text: str) -> dict[str, int]:
    counts = {}
    for item in text.split("|"):
        name, _, count = item.rpartition(":")
        if count.isdecimal():
            counts[name] = int(count)
    return counts
