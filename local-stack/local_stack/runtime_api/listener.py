"""The Runtime API of one environment, on a loopback port of its own: the port is its identity.

httptools parses; one small file a route answers. Its only client is awslambdaric, which keeps one
connection open, so the hot path is two requests and two writes an invocation. Whatever speaks out of
turn is refused as AWS's own emulator does it, and a defect of ours is logged and answered 500, of
which the runtime dies: its end is then what the caller hears.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING, cast

import httptools
from typing_extensions import override

from local_stack.environments.invocation import RESPONSE_BYTES_MAX
from local_stack.errors import ProtocolViolation
from local_stack.runtime_api import error as error_route
from local_stack.runtime_api import (
    init_error,
    next,  # noqa: A004 - the route's name
    response,
    unsupported,
)
from local_stack.runtime_api.request import PREFIX, Request, error

if TYPE_CHECKING:
    from local_stack.environments.environment import Environment
    from local_stack.environments.invocation import Invocation

_LOGGER = logging.getLogger(__name__)
_INVOCATION = PREFIX + b"invocation/"
_ERROR_TYPE = b"lambda-runtime-function-error-type"
_ERROR_TYPE_SIZE = len(_ERROR_TYPE)


async def listen(environment: Environment) -> asyncio.Server:
    """Serve the Runtime API of `environment` on a free loopback port, and tell it which."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        functools.partial(RuntimeApi, environment), "127.0.0.1", 0, backlog=8
    )
    environment.port = server.sockets[0].getsockname()[1]
    return server


class RuntimeApi(asyncio.Protocol):
    """One connection of a runtime."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._generation = environment.generation
        self._url = b""
        self._error_type = ""
        self._body: list[bytes] = []
        self._size = 0

    # --- asyncio.Protocol ------------------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio.Transports in all but their class.
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as problem:
            assert self._transport is not None
            self._transport.write(error(400, "InvalidRequest", str(problem)))
            self._transport.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    # --- httptools -------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._url = b""
        self._error_type = ""
        self._body = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        size = len(name)  # decides for most without a comparison
        if size == 6 and name.lower() == b"expect" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif size == _ERROR_TYPE_SIZE and name.lower() == _ERROR_TYPE:
            self._error_type = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= RESPONSE_BYTES_MAX:
            self._body.append(body)

    def on_message_complete(self) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = Request(
            self._parser.get_method(),
            self._url,
            body,
            self._size > RESPONSE_BYTES_MAX,
            self._error_type,
        )
        try:
            answer = self._dispatch(request)
        except ProtocolViolation as violation:
            answer = self._refuse(violation)
        except Exception:
            _LOGGER.exception("%s %s failed", request.method, request.path)
            answer = error(500, "InternalServerError", "Internal Server Error")
        if answer is not None and self._transport is not None:
            self._transport.write(answer)

    def _refuse(self, violation: ProtocolViolation) -> bytes:
        name = self._environment.function.name
        _LOGGER.warning("the runtime of %s spoke out of turn: %s", name, violation)
        if "no invocation" in str(violation):
            return error(400, "InvalidRequestID", str(violation))
        return error(403, "InvalidStateTransition", str(violation))

    # --- environment.Waiting ---------------------------------------------------------------

    def deliver(self, environment: Environment, invocation: Invocation) -> None:
        """Answer the pending `/next`."""
        if self._transport is not None:  # else the process has died: its exit is on the way
            self._transport.write(next.render(environment, invocation))

    def _dispatch(self, request: Request) -> bytes | None:
        environment = self._environment
        if self._generation != environment.generation:
            raise ProtocolViolation("a process that has ended")
        if request.method == b"GET" and request.path == next.PATH:
            next.handle(environment, self)
            return None
        if request.method == b"POST":
            if request.path.startswith(_INVOCATION):
                request_id, _, action = request.path[len(_INVOCATION) :].partition(b"/")
                if action == b"response":
                    return response.handle(
                        environment, request, request_id.decode("ascii", "replace")
                    )
                if action == b"error":
                    return error_route.handle(
                        environment, request, request_id.decode("ascii", "replace")
                    )
            if request.path == init_error.PATH:
                return init_error.handle(environment, request)
        return unsupported.handle(request)
