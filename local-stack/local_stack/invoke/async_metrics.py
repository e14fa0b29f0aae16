"""What a host counts about asynchronous events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry


class AsyncMetrics:
    """Counters and gauges of one queue, registered beside the host's others."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        waiting: Callable[[], float],
        oldest_s: Callable[[], float],
    ) -> None:
        self.accepted = Counter(
            "lambda_async_events_accepted",
            "Asynchronous events accepted",
            ["function"],
            registry=registry,
        )
        self.retries = Counter(
            "lambda_async_events_retried",
            "Attempts that are made again, by why",
            ["function", "reason"],  # error, throttle
            registry=registry,
        )
        self.dropped = Counter(
            "lambda_async_events_dropped",
            "Events that ended without success, by why, and have no destination",
            ["function", "reason"],
            registry=registry,
        )
        self.deliveries = Counter(
            "lambda_async_destination_deliveries",
            "Records that reached their destination",
            ["function", "destination"],
            registry=registry,
        )
        self.delivery_failures = Counter(
            "lambda_async_destination_failures",
            "Attempts to reach a destination that failed",
            ["function", "destination"],
            registry=registry,
        )
        Gauge(
            "lambda_async_events_waiting",
            "Events and records accepted and not settled",
            registry=registry,
        ).set_function(waiting)
        Gauge(
            "lambda_async_oldest_seconds",
            "Age of the oldest of them; of several hosts, the greatest",
            registry=registry,
        ).set_function(oldest_s)
