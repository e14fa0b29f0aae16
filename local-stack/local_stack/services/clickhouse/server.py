"""uvicorn around the front: its socket, its signals, and the limits of HTTP itself."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from local_stack.services.clickhouse.front import Front

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

    from local_stack.services.clickhouse.engine import Engine
    from local_stack.services.clickhouse.limits import Limits

LOGGER = logging.getLogger(__name__)
KILLED_S_MAX = 5.0  # for queries to end after they were killed


async def serve(engine: Engine, listener: socket.socket, limits: Limits, data_dir: Path) -> bool:
    """Serve until SIGTERM or SIGINT; whether every query has ended."""
    front = Front(engine, limits)
    config = uvicorn.Config(
        front,
        http=_protocol(limits.head_bytes),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=limits.connections + 1,  # uvicorn refuses the one that reaches it
        timeout_keep_alive=limits.keep_alive_s,
        timeout_graceful_shutdown=limits.shutdown_s,
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    host, port = listener.getsockname()[:2]
    ready = f"ready on http://{host}:{port}, engine {engine.version}, data in {data_dir}"
    await _Server(config, ready).serve(sockets=[listener])
    return await front.close(KILLED_S_MAX)


class _Server(uvicorn.Server):
    """uvicorn that says once that it is ready, and ends by returning."""

    def __init__(self, config: uvicorn.Config, ready: str) -> None:
        super().__init__(config)
        self._ready = ready

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        LOGGER.info(self._ready)

    @contextmanager
    @override
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises the signal again once it has stopped, which would end this process before
        # the engine is closed, and not with 0.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        yield

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.should_exit = True


class _OneWrite:
    """A transport that sends what is written in one turn of the loop in one go.

    uvicorn writes head and body one after the other and uvloop sends each at once: two packets,
    two wake-ups of the client (measured: every second answer came in two pieces).
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._pending: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        if pending and not self._transport.is_closing():
            self._transport.writelines(pending)


def _protocol(head_bytes_max: int) -> type[HttpToolsProtocol]:
    """uvicorn's protocol, with a limit on the request line and headers, which it lacks."""

    class Protocol(HttpToolsProtocol):
        _head_bytes = 0

        @override
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(cast("asyncio.Transport", _OneWrite(transport)))

        @override
        def on_message_begin(self) -> None:
            self._head_bytes = 0
            super().on_message_begin()

        @override
        def on_url(self, url: bytes) -> None:
            self._count(url)
            super().on_url(url)

        @override
        def on_header(self, name: bytes, value: bytes) -> None:
            self._count(name + value)
            super().on_header(name, value)

        @override
        def send_400_response(self, msg: str) -> None:
            if self._head_bytes > head_bytes_max:
                msg = f"The request line and headers are over {head_bytes_max} bytes.\n"
            super().send_400_response(msg)

        def _count(self, data: bytes) -> None:
            self._head_bytes += len(data)
            if self._head_bytes > head_bytes_max:
                raise ValueError("head too large")

    return Protocol
