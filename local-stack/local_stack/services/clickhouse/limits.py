"""The bounds of the front, each with a test at the limit and one past it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once, how large, how long."""

    running: int = 8  # queries at a time: as many worker threads and leased connections
    waiting: int = 64  # requests that wait for one of them; their bodies are not read yet
    wait_s: float = 10.0
    body_bytes: int = 64 * 1024 * 1024  # as it comes, compressed or not; held in memory
    body_s: float = 60.0  # for a body to arrive; it comes over loopback
    send_idle_s: float = 30.0  # for a client to take what it was sent: http_send_timeout
    head_bytes: int = 1024 * 1024  # request line and headers: ClickHouse's http_max_uri_size
    connections: int = 512
    keep_alive_s: int = 300
    shutdown_s: int = 10  # for requests in flight, on SIGTERM
