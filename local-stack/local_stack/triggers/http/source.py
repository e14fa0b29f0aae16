"""The HTTP gateway of a host: an ASGI application that turns requests into invocations."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from typing import TYPE_CHECKING, Any

from local_stack import clock
from local_stack.errors import RuntimeFailed, Throttled
from local_stack.triggers.http.errors import Style, gateway_error
from local_stack.triggers.http.event import HttpRequest, build_event
from local_stack.triggers.http.outcome import HttpResponse, MalformedResult, response_from
from local_stack.triggers.http.routes import Match, Router

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    from local_stack.environments.invocation import Outcome
    from local_stack.invoke.invoker import Invoker
    from local_stack.model import Function
    from local_stack.settings import Limits

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_LOGGER = logging.getLogger(__name__)
INTEGRATION_TIMEOUT_S = 30.0  # HTTP API quotas: maximum integration timeout
PAYLOAD_BYTES_MAX = 6 * 1024 * 1024  # Lambda's synchronous limit binds before HTTP API's 10 MB


_NAMES: dict[type[Exception], str] = {
    Throttled: "throttled",
    RuntimeFailed: "unavailable",
    TimeoutError: "timed_out",
}


class BodyTooLarge(Exception):
    """The request's body is over the gateway's limit."""


class ClientGone(Exception):
    """The client went away before its request was whole."""


class HttpGateway:
    """The ASGI application. One instance a host."""

    def __init__(
        self,
        invoker: Invoker,
        functions: Iterable[Function],
        *,
        limits: Limits,
        style: Style,
        stage: str,
    ) -> None:
        self._invoker = invoker
        self._router = Router(functions)
        self._limits = limits
        self._style = style
        self._stage = stage

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request_id = _request_id(scope)
        raw_path = scope["raw_path"].decode("latin-1").partition("?")[0]
        match = self._router.match(scope["method"], raw_path)
        try:
            body = await _read_body(receive, self._limits.http_body_bytes)
        except ClientGone:
            return
        except BodyTooLarge:
            response = self._error("too_large", request_id)
        else:
            if match is None:
                response = self._error("no_route", request_id)
            else:
                response = await self._answer(match, scope, raw_path, body, request_id)
        await _send(send, response)

    async def _answer(
        self, match: Match, scope: Message, raw_path: str, body: bytes, request_id: str
    ) -> HttpResponse:
        event = build_event(
            _http_request(scope, raw_path, body, request_id),
            route_key=match.route.key,
            path_parameters=match.path_parameters,
            stage=self._stage,
            now=clock.now(),
        )
        payload = json.dumps(event, separators=(",", ":")).encode()
        if len(payload) > PAYLOAD_BYTES_MAX:
            return self._error("too_large", request_id)
        try:
            outcome = await self._invoke(match.function, payload)
            if outcome.function_error is None:
                return response_from(outcome.payload)
            name = "function_failed"
        except MalformedResult as problem:
            _LOGGER.warning("%s returned no HTTP response: %s", match.function.name, problem)
            name = "function_failed"
        except (Throttled, RuntimeFailed, TimeoutError) as error:
            name = _NAMES[type(error)]
        return self._error(name, request_id)

    async def _invoke(self, function: Function, payload: bytes) -> Outcome:
        wait_s = self._limits.http_wait_seconds
        if function.timeout_s + wait_s <= INTEGRATION_TIMEOUT_S:
            # The function's own timeout fires first: no second timer on the hot path.
            return await self._invoker.invoke(function.name, payload, wait_s=wait_s)
        async with asyncio.timeout(INTEGRATION_TIMEOUT_S):
            return await self._invoker.invoke(function.name, payload, wait_s=wait_s)

    def _error(self, name: str, request_id: str) -> HttpResponse:
        return gateway_error(name, self._style, request_id)


def _request_id(scope: Message) -> str:
    """Nginx's id of the request, so that one id goes from there to the Kafka header."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and 1 <= len(value) <= 128 and value.isascii():
            return str(value.decode("ascii"))
    return str(uuid.uuid4())


def _http_request(scope: Message, raw_path: str, body: bytes, request_id: str) -> HttpRequest:
    client = scope.get("client")
    source_ip = client[0] if client else "127.0.0.1"
    for name, value in scope["headers"]:
        if name == b"x-forwarded-for":
            source_ip = value.decode("latin-1").rpartition(",")[2].strip()
    return HttpRequest(
        method=scope["method"],
        raw_path=raw_path,
        raw_query=scope["query_string"].decode("latin-1"),
        headers=scope["headers"],
        body=body,
        source_ip=source_ip,
        protocol=f"HTTP/{scope['http_version']}",
        request_id=request_id,
    )


async def _read_body(receive: Receive, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > bytes_max:
            raise BodyTooLarge
        parts.append(part)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _send(send: Send, response: HttpResponse) -> None:
    headers = [*response.headers, (b"content-length", str(len(response.body)).encode())]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
