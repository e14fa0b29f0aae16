"""A function host: one process with the HTTP gateway, the Lambda API and the environments.

`python -m local_stack.host --settings FILE --index N`. This is where everything of a host is put
together; it stops politely on TERM, and with `--until-end-of-input` also when whoever holds the
other end of its standard input is gone: new requests are refused, running ones finish.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from local_stack.environments.factory import EnvironmentFactory
from local_stack.errors import LocalStackError, ServiceFailed
from local_stack.harness.control import Bench
from local_stack.host_control import HostControl
from local_stack.http1 import HttpServer
from local_stack.invoke.async_queue import AsyncQueue
from local_stack.invoke.async_store import open_stores
from local_stack.invoke.invoker import Invoker
from local_stack.kafka_writer import TopicWriter
from local_stack.reload import Reloader
from local_stack.runtime_api.listener import listen
from local_stack.settings import Settings, host_log_suffix
from local_stack.telemetry.metrics import Metrics
from local_stack.template.project import load_project
from local_stack.triggers.http.source import HttpGateway
from local_stack.triggers.invoke_api.management import Management
from local_stack.triggers.invoke_api.reserved import ReservedConcurrency
from local_stack.triggers.invoke_api.source import BODY_BYTES_MAX, LambdaApi

if TYPE_CHECKING:
    from collections.abc import Collection

_LOGGER = logging.getLogger(__name__)
STOP_SECONDS = 5


class Host:
    """Everything one host runs. Reads in the order things happen: put together, start, stop."""

    def __init__(self, settings: Settings, index: int) -> None:
        self._settings = settings
        self._index = index
        self._metrics = Metrics()
        self._template = load_project(settings)
        self._bench = Bench(self._template) if settings.test_control else None

    async def run(self, *, until_end_of_input: bool = False) -> None:
        """Start, serve until TERM or INT (or until standard input ends), and stop."""
        self._put_together()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for sent_signal in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sent_signal, stop.set)
        if until_end_of_input:
            loop.add_reader(sys.stdin.fileno(), stop.set)  # nothing is ever sent: it has ended
        await self._start()
        await stop.wait()
        await self._stop()

    def _put_together(self) -> None:
        """Make every part and let each know those it needs; nothing runs yet."""
        settings, functions = self._settings, self._template.functions
        # 1. Environments, and the one door to them.
        self._factory = EnvironmentFactory(
            settings,
            log_suffix=host_log_suffix(self._index),
            metrics=self._metrics,
            listen=listen,
        )
        bench = self._bench
        self._invoker = Invoker(
            functions,
            self._factory,
            settings.limits,
            self._metrics,
            faults=bench.faults if bench else None,
        )
        # 2. Asynchronous events.
        store, events = open_stores(settings.stack_dir / "async", self._index, settings.replicas)
        brokers = settings.addresses()["kafka.bootstrap_servers"].split(",")
        self._queue = AsyncQueue(
            self._invoker,
            store,
            self._metrics,
            events=events,
            topics=bench.topics if bench else TopicWriter(brokers),
            scale=settings.async_retry_scale,
            now=bench.now if bench else None,
        )
        # 3. What is asked of the host itself; what other parts answer or show is added here.
        self._control = HostControl(settings, self._index, self._invoker, self._metrics)
        self._control.add_function_status("events", self._queue.waiting_of)
        if bench:
            bench.add_to(self._control, self._invoker, self._queue, self._factory.flush_logs)
        # 4. What is saved while it runs.
        self._reloader = self._make_reloader()
        # 5. The two ports.
        http_port, api_port = settings.host_ports(self._index)
        self._servers = {http_port: self._gateway_server(), api_port: self._api_server()}

    def _gateway_server(self) -> HttpServer:
        """HTTP APIs and function URLs."""
        limits = self._settings.limits
        gateway = HttpGateway(
            self._invoker, self._template, limits=limits, style=self._settings.gateway_errors
        )
        return HttpServer(
            gateway.handle,
            body_bytes_max=limits.http_body_bytes,
            refuse=gateway.refuse,
            keep_names=gateway.wants_header_names,
        )

    def _api_server(self) -> HttpServer:
        """The Lambda API, and the host's control."""
        self._reserved = ReservedConcurrency(self._invoker, self._settings, self._index)
        management = Management(self._invoker, self._template.kafka_sources, self._reserved)
        api = LambdaApi(
            self._invoker,
            self._queue,
            self._control.answer,
            management,
            allowed_hosts=self._settings.allowed_hosts,
        )
        return HttpServer(api.handle, body_bytes_max=BODY_BYTES_MAX, refuse=api.refuse)

    def _make_reloader(self) -> Reloader | None:
        if not self._settings.reload:
            return None
        reloader = Reloader(
            self._template.functions,
            self._settings.template_path,
            ignored=[self._settings.stack_dir],
            folders_max=self._settings.limits.watched_folders,
            changed=self._code_changed,
        )
        self._control.add_status("reload", lambda: reloader.state)
        self._control.add_status("template_changed", lambda: reloader.template_changed)
        return reloader

    def _code_changed(self, names: Collection[str]) -> None:
        for name in names:
            self._factory.code_changed(name)
        self._invoker.renew(names)

    async def _start(self) -> None:
        watch = self._reloader.start() if self._reloader is not None else asyncio.sleep(0)
        await asyncio.gather(self._factory.warm_up(list(self._template.functions.values())), watch)
        gc.collect()
        gc.freeze()  # what a host is made of lives as long as it: no need to look at it again
        self._invoker.start()
        await self._invoker.warm()  # the first request already finds what is provisioned
        for port, server in self._servers.items():
            await _listen(server, port)
        self._reserved.restore()
        self._queue.start()
        self._control.is_ready = True
        _LOGGER.info(
            "host %d: %d functions on ports %s",
            self._index,
            len(self._template.functions),
            " and ".join(str(port) for port in self._servers),
        )

    async def _stop(self) -> None:
        await asyncio.gather(*(server.stop(STOP_SECONDS) for server in self._servers.values()))
        await self._queue.close()
        if self._reloader is not None:
            await self._reloader.close()
        await self._invoker.close()
        await self._factory.close()


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
    parser.add_argument("--until-end-of-input", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        host = Host(Settings.read(arguments.settings), arguments.index)
        uvloop.run(host.run(until_end_of_input=arguments.until_end_of_input))
    except LocalStackError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
