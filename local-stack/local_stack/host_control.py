"""`/_local_stack/…` of a host: what people, tests and the stack ask a host about itself.

A part of the host adds what it answers with `HostControl.add`, in `host.py`. Nothing here is
part of an API of AWS, and nothing here is on the path of an invocation.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from local_stack import clock
from local_stack.telemetry.metrics import merge
from local_stack.telemetry.source_metrics import read_metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import httpx

    from local_stack.invoke.invoker import Invoker
    from local_stack.settings import Settings
    from local_stack.telemetry.metrics import Metrics

    Answer = tuple[int, dict[str, str], bytes]
    Query = Mapping[str, list[str]]
    Handler = Callable[[Query, bytes], Awaitable[Answer]]

_LOGGER = logging.getLogger(__name__)
PEER_TIMEOUT_S = 0.5
_TEXT = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}


class HostControl:
    """Finds who answers a path; answers `ready`, `status` and `metrics` itself."""

    def __init__(self, settings: Settings, index: int, invoker: Invoker, metrics: Metrics) -> None:
        self.is_ready = False
        self._settings = settings
        self._index = index
        self._invoker = invoker
        self._metrics = metrics
        self._started = clock.monotonic()
        self._status_parts: dict[str, Callable[[], Any]] = {}
        self._function_parts: dict[str, Callable[[str], Any]] = {}
        self._handlers: dict[tuple[str, str], Handler] = {}
        self.add("GET", "ready", self._ready)
        self.add("GET", "status", self._show_status)
        self.add("GET", "metrics", self._show_metrics)

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Let `handler` answer `METHOD /_local_stack/path`; it gets the query and the body."""
        assert (method, path) not in self._handlers, f"{method} {path} is answered already"
        self._handlers[method, path] = handler

    def add_status(self, name: str, read: Callable[[], Any]) -> None:
        """Show what `read` returns as `name` in the host's status."""
        self._status_parts[name] = read

    def add_function_status(self, name: str, read: Callable[[str], Any]) -> None:
        """Show what `read(function)` returns as `name` in the status of each function."""
        self._function_parts[name] = read

    async def answer(
        self, path: str, query: str, *, method: str = "GET", body: bytes = b""
    ) -> Answer | None:
        """Status, headers and body for `/_local_stack/{path}`; None if nobody answers it."""
        handler = self._handlers.get((method, path))
        return None if handler is None else await handler(parse_qs(query), body)

    async def _ready(self, _query: Query, _body: bytes) -> Answer:
        # Whose answer it is: somebody else's host may have the port that is asked.
        return (200 if self.is_ready else 503), {}, json.dumps({"pid": os.getpid()}).encode()

    async def _show_status(self, _query: Query, _body: bytes) -> Answer:
        return 200, {}, json.dumps(self._status()).encode()

    async def _show_metrics(self, query: Query, _body: bytes) -> Answer:
        if query.get("scope") == ["host"]:
            return 200, _TEXT, self._metrics.text().encode()
        return 200, _TEXT, (await self._all_metrics()).encode()

    def _status(self) -> dict[str, Any]:
        functions = {
            name: {
                "environments": [
                    {"pid": e.pid, "state": e.state, "invocations": e.invocation_count}
                    for e in sorted(pool.environments, key=lambda e: e.pid)
                ],
                "waiting": pool.waiting,
                "limit": pool.limit,
                "provisioned": pool.provisioned_concurrency,
                **self._counted(name),
                **{part: read(name) for part, read in self._function_parts.items()},
            }
            for name, pool in self._invoker.pools.items()
        }
        return {
            "host": self._index,
            "uptime_seconds": round(clock.monotonic() - self._started, 1),
            "functions": functions,
            **{part: read() for part, read in self._status_parts.items()},
        }

    def _counted(self, function: str) -> dict[str, int]:
        """What has happened since the host started."""
        read = self._metrics.registry.get_sample_value
        names = ("invocations", "cold_starts", "throttles", "errors")
        return {
            name: int(read(f"lambda_{name}_total", {"function": function}) or 0) for name in names
        }

    async def _all_metrics(self) -> str:
        """The counters of every host, summed, and those of the event sources.

        A host that does not answer is left out.
        """
        others = [i for i in range(1, self._settings.replicas + 1) if i != self._index]
        texts = [self._metrics.text()]
        if others:
            import httpx  # deferred: 80 ms of a host's start, and one host alone never asks

            async with httpx.AsyncClient(timeout=PEER_TIMEOUT_S, trust_env=False) as client:
                answers = await asyncio.gather(*(self._peer(client, index) for index in others))
            texts += [text for text in answers if text]
        return merge([*texts, *read_metrics(self._settings.run_dir, clock.epoch_ms() / 1000)])

    async def _peer(self, client: httpx.AsyncClient, index: int) -> str:
        _, api_port = self._settings.host_ports(index)
        try:
            url = f"http://127.0.0.1:{api_port}/_local_stack/metrics?scope=host"
            response = await client.get(url)
        except Exception as error:  # noqa: BLE001 - whatever it is, the sum is shown without it
            _LOGGER.warning("host %d does not answer for its metrics: %s", index, error)
            return ""
        return response.text
