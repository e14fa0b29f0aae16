"""The HTTP gateway of a host: turns requests into invocations, and outcomes into responses."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from typing import TYPE_CHECKING

from local_stack import clock
from local_stack.errors import RuntimeFailed, Throttled
from local_stack.triggers.http.errors import Style, gateway_error, server_refusal
from local_stack.triggers.http.event import build_event
from local_stack.triggers.http.outcome import MalformedResult, response_from
from local_stack.triggers.http.routes import Match, Router

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local_stack.environments.invocation import Outcome
    from local_stack.http1 import HttpRequest, HttpResponse
    from local_stack.invoke.invoker import Invoker
    from local_stack.model import Function
    from local_stack.settings import Limits

_LOGGER = logging.getLogger(__name__)
INTEGRATION_TIMEOUT_S = 30.0  # HTTP API quotas: maximum integration timeout
PAYLOAD_BYTES_MAX = 6 * 1024 * 1024  # Lambda's synchronous limit binds before HTTP API's 10 MB
REQUEST_ID_BYTES_MAX = 128
_FAILURES: dict[type[Exception], str] = {
    Throttled: "throttled",
    RuntimeFailed: "unavailable",
    TimeoutError: "timed_out",
}


class HttpGateway:
    """Handles every request of a host's HTTP port."""

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
        self._wait_s = limits.http_wait_seconds
        self._style = style
        self._stage = stage

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request; every failure has an answer, in the style of the settings."""
        request_id = _request_id(request.header(b"x-request-id"))
        match = self._router.match(request.method, request.path)
        if match is None:
            return gateway_error("no_route", self._style, request_id)
        payload = self._payload(match, request, request_id)
        if len(payload) > PAYLOAD_BYTES_MAX:
            return gateway_error("too_large", self._style, request_id)
        try:
            outcome = await self._invoke(match.function, payload)
            if outcome.function_error is None:
                return response_from(outcome.payload)
            failure = "function_failed"
        except MalformedResult as problem:
            _LOGGER.warning("%s returned no HTTP response: %s", match.function.name, problem)
            failure = "function_failed"
        except (Throttled, RuntimeFailed, TimeoutError) as error:
            failure = _FAILURES[type(error)]
        return gateway_error(failure, self._style, request_id)

    def refuse(self, status: int, request_id: str) -> HttpResponse:
        """An answer to what is no request: too large, too slow, malformed."""
        return server_refusal(status, self._style, _request_id(request_id))

    def _payload(self, match: Match, request: HttpRequest, request_id: str) -> bytes:
        event = build_event(
            request,
            request_id=request_id,
            source_ip=_source_ip(request),
            route_key=match.route.key,
            path_parameters=match.path_parameters,
            stage=self._stage,
            now=clock.now(),
        )
        return json.dumps(event, separators=(",", ":")).encode()

    async def _invoke(self, function: Function, payload: bytes) -> Outcome:
        if function.timeout_s + self._wait_s <= INTEGRATION_TIMEOUT_S:
            # The function's own timeout fires first: no second timer on the hot path.
            return await self._invoker.invoke(function.name, payload, wait_s=self._wait_s)
        async with asyncio.timeout(INTEGRATION_TIMEOUT_S):
            return await self._invoker.invoke(function.name, payload, wait_s=self._wait_s)


def _request_id(given: str) -> str:
    """Nginx's id of the request, so that one id goes from there to the Kafka header."""
    if 1 <= len(given) <= REQUEST_ID_BYTES_MAX and given.isascii() and given.isprintable():
        return given
    return str(uuid.uuid4())


def _source_ip(request: HttpRequest) -> str:
    """The address that Nginx saw: the last that was forwarded; earlier ones are the client's word."""
    forwarded = request.header(b"x-forwarded-for")
    return forwarded.rpartition(",")[2].strip() or request.client_ip
