"""How long to wait before a failed batch is tried again. Pure: chance is a parameter."""

from __future__ import annotations

BASE_S = 0.1
DELAY_S_MAX = 3.0  # so that a sink is back at work within seconds of its store
_DOUBLINGS_MAX = 10


def delay_s(attempt: int, jitter: float) -> float:
    """Seconds before attempt number `attempt` (1 is the first retry); `jitter` is from 0 to 1.

    Exponential with equal jitter: half of the delay is certain, half is chance.
    """
    assert attempt >= 1
    assert 0.0 <= jitter <= 1.0
    full = float(min(DELAY_S_MAX, BASE_S * 2 ** min(attempt - 1, _DOUBLINGS_MAX)))
    return full / 2 + full / 2 * jitter
