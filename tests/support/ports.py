"""Free ports, below the range that the kernel hands out to outgoing connections."""

from __future__ import annotations

import random
import socket

_FIRST, _LAST = 20_000, 32_000
_ATTEMPTS_MAX = 200


def free_port() -> int:
    """A port that nobody listens on."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on."""
    for _ in range(_ATTEMPTS_MAX):
        first = random.randrange(_FIRST, _LAST - count)
        if all(_is_free(first + index) for index in range(count)):
            return first
    msg = f"found no {count} free ports in a row between {_FIRST} and {_LAST}"
    raise AssertionError(msg)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
