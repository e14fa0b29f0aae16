"""A function host: one process with the HTTP gateway, the Lambda API and the environments.

`python -m local_stack.host --settings FILE --index N`. This is where everything of a host is put
together; it stops politely on TERM: new requests are refused, running ones finish.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import uvloop

from local_stack import clock
from local_stack.environments.factory import EnvironmentFactory
from local_stack.errors import LocalStackError, ServiceFailed
from local_stack.http1 import HttpServer
from local_stack.invoke.async_queue import AsyncQueue
from local_stack.invoke.invoker import Invoker
from local_stack.runtime_api.listener import listen
from local_stack.settings import Settings, host_log_suffix
from local_stack.telemetry.metrics import Metrics, merge
from local_stack.template.loader import load_template
from local_stack.triggers.http.source import HttpGateway
from local_stack.triggers.invoke_api.source import BODY_BYTES_MAX, LambdaApi

_LOGGER = logging.getLogger(__name__)
STOP_SECONDS = 5
PEER_TIMEOUT_S = 0.5
_TEXT = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}


class Host:
    """Everything one host runs."""

    def __init__(self, settings: Settings, index: int) -> None:
        self._settings = settings
        self._index = index
        self._metrics = Metrics()
        self._template = load_template(settings.template_path, settings.resolved_parameters())
        self._started = clock.monotonic()
        self._ready = False

    async def run(self) -> None:
        """Start, serve until TERM or INT, and stop."""
        factory = EnvironmentFactory(
            preload=self._settings.preload,
            hidden=self._settings.hidden_packages,
            log_dir=self._settings.log_dir,
            log_suffix=host_log_suffix(self._index),
            limits=self._settings.limits,
            metrics=self._metrics,
            listen=listen,
        )
        functions = self._template.functions
        self._invoker = Invoker(functions, factory, self._settings.limits, self._metrics)
        queue = AsyncQueue(self._invoker)
        gateway = HttpGateway(
            self._invoker,
            functions.values(),
            limits=self._settings.limits,
            style=self._settings.gateway_errors,
            stage=self._template.stage,
        )
        http_port, api_port = self._settings.host_ports(self._index)
        api = LambdaApi(self._invoker, queue, self._control)
        servers = [
            HttpServer(
                gateway.handle,
                body_bytes_max=self._settings.limits.http_body_bytes,
                refuse=gateway.refuse,
            ),
            HttpServer(api.handle, body_bytes_max=BODY_BYTES_MAX, refuse=api.refuse),
        ]
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for sent_signal in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sent_signal, stop.set)
        await factory.warm_up(list(functions.values()))
        gc.collect()
        gc.freeze()  # what a host is made of lives as long as it: no need to look at it again
        for server, port in zip(servers, (http_port, api_port), strict=True):
            await _listen(server, port)
        self._invoker.start()
        self._ready = True
        _LOGGER.info(
            "host %d: %d functions on ports %d and %d",
            self._index,
            len(functions),
            http_port,
            api_port,
        )
        await stop.wait()
        await asyncio.gather(*(server.stop(STOP_SECONDS) for server in servers))
        await queue.close()
        await self._invoker.close()
        await factory.close()

    async def _control(self, path: str, query: str) -> tuple[int, dict[str, str], bytes] | None:
        """`/_local_stack/…`: what people and the stack ask a host about itself."""
        if path == "ready":
            return (200 if self._ready else 503), {}, b"{}"
        if path == "status":
            return 200, {}, json.dumps(self._status()).encode()
        if path == "metrics":
            if parse_qs(query).get("scope") == ["host"]:
                return 200, _TEXT, self._metrics.text().encode()
            return 200, _TEXT, (await self._all_metrics()).encode()
        return None

    def _status(self) -> dict[str, Any]:
        functions = {
            name: {
                "environments": [
                    {"pid": e.pid, "state": e.state, "invocations": e.invocation_count}
                    for e in sorted(pool.environments, key=lambda e: e.pid)
                ],
                "waiting": pool.waiting,
                "limit": pool.limit,
            }
            for name, pool in self._invoker.pools.items()
        }
        return {
            "host": self._index,
            "uptime_seconds": round(clock.monotonic() - self._started, 1),
            "functions": functions,
        }

    async def _all_metrics(self) -> str:
        """The counters of every host, summed; a host that does not answer is left out."""
        others = [i for i in range(1, self._settings.replicas + 1) if i != self._index]
        texts = [self._metrics.text()]
        if others:
            async with httpx.AsyncClient(timeout=PEER_TIMEOUT_S, trust_env=False) as client:
                texts += [
                    t for t in await asyncio.gather(*(self._peer(client, i) for i in others)) if t
                ]
        return merge(texts)

    async def _peer(self, client: httpx.AsyncClient, index: int) -> str:
        _, api_port = self._settings.host_ports(index)
        try:
            url = f"http://127.0.0.1:{api_port}/_local_stack/metrics?scope=host"
            response = await client.get(url)
        except httpx.HTTPError as error:
            _LOGGER.warning("host %d does not answer for its metrics: %s", index, error)
            return ""
        return response.text


async def _listen(server: HttpServer, port: int) -> None:
    try:
        await server.start(port)
    except OSError as error:
        msg = (
            f"port {port} is taken ({error.strerror}); move it with [tool.local-stack.ports] hosts"
        )
        raise ServiceFailed(msg) from error


def main() -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="local_stack.host")
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--index", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        host = Host(Settings.read(arguments.settings), arguments.index)
        uvloop.run(host.run())
    except LocalStackError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
