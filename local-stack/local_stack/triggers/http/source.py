"""The HTTP gateway of a host: turns requests into invocations, and outcomes into responses."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING

from local_stack import clock
from local_stack.errors import RuntimeFailed, Throttled
from local_stack.http1 import HttpResponse
from local_stack.triggers.http import cors as cors_rules
from local_stack.triggers.http import function_url
from local_stack.triggers.http.authorizers import Authorizers, Refused
from local_stack.triggers.http.call import Call, split_headers
from local_stack.triggers.http.errors import (
    Kind,
    Style,
    gateway_error,
    request_id_headers,
    server_refusal,
)
from local_stack.triggers.http.event import render_event
from local_stack.triggers.http.integration import event_of, response_of
from local_stack.triggers.http.outcome import MalformedResult, response_from
from local_stack.triggers.http.routes import Match, Router

if TYPE_CHECKING:
    from local_stack.environments.invocation import Outcome
    from local_stack.http1 import HttpRequest
    from local_stack.invoke.invoker import Invoker
    from local_stack.model import Api, Function, Template
    from local_stack.settings import Limits
    from local_stack.triggers.http.identity import Identity

_LOGGER = logging.getLogger(__name__)
REST_TIMEOUT_S = 29.0  # API Gateway quotas: integration timeout of a REST API
URL_TIMEOUT_S = 900.0  # a function URL waits as long as a function may run
PAYLOAD_BYTES_MAX = 6 * 1024 * 1024  # Lambda's synchronous limit binds before HTTP API's 10 MB
REQUEST_ID_BYTES_MAX = 128
# What API Gateway routes; Nginx knows them too.
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_FAILURES: dict[type[Exception], str] = {
    Throttled: "throttled",
    RuntimeFailed: "unavailable",
    TimeoutError: "timed_out",
}


class HttpGateway:
    """Handles every request of a host's HTTP port."""

    def __init__(
        self, invoker: Invoker, template: Template, *, limits: Limits, style: Style
    ) -> None:
        self._invoker = invoker
        functions = template.functions.values()
        self._router = Router(functions, template.apis, stage=template.stage)
        for warning in self._router.warnings:
            _LOGGER.warning("%s", warning)
        self._wait_s = limits.http_wait_seconds
        self._authorizers = Authorizers(invoker, base=template.path.parent, wait_s=self._wait_s)
        self._style = style
        self._urls = function_url.url_targets(functions)
        # Whether `Host` says anything: not with one API alone, so the hot path need not look.
        self._reads_host = bool(self._urls) or len(self._router.apis) > 1

    @property
    def wants_header_names(self) -> bool:
        """Whether somebody is shown header names as they were sent: REST APIs."""
        return any(api.kind == "rest" for api in self._router.apis.values())

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request; every failure has an answer, in the style of the settings."""
        headers, cookies = split_headers(request.headers)
        request_id = _request_id(headers.get("x-request-id", ""))
        call = Call(request, headers, cookies, request_id, clock.epoch_ms())
        api_id = ""
        if self._reads_host:
            label, _, domain = headers.get("host", "").lower().partition(".")
            if domain.startswith(function_url.DOMAIN):
                return await self._answer_url(label, call)
            if domain.startswith("execute-api."):
                api_id = label
        match = self._router.match(request.method, request.path, api_id)
        if match is None or request.method not in METHODS:
            return self._answer_without_route(call, api_id)
        if match.target.plain:
            return await self._integrate(call, match, None)
        return await self._guard(call, match)

    def refuse(self, status: int, request_id: str) -> HttpResponse:
        """An answer to what is no request: too large, too slow, malformed."""
        return server_refusal(status, self._style, _request_id(request_id))

    async def _integrate(self, call: Call, match: Match, identity: Identity | None) -> HttpResponse:
        target = match.target
        kind = target.api.kind
        payload = event_of(call, match, identity)
        timeout_s = target.route.timeout_s
        if kind == "rest":
            timeout_s = min(timeout_s, REST_TIMEOUT_S)
        outcome = await self._outcome(target.function, payload, timeout_s)
        if not isinstance(outcome, str):
            try:
                response = response_of(call, target, outcome.payload)
            except MalformedResult as problem:
                _LOGGER.warning("%s returned no HTTP response: %s", target.function.name, problem)
                outcome = "function_failed"
            else:
                response.headers.extend(request_id_headers(kind, call.request_id))
                return response
        return gateway_error(outcome, self._style, call.request_id, kind)

    async def _outcome(self, function: Function, payload: bytes, timeout_s: float) -> Outcome | str:
        """How the invocation ended, or the name of the gateway error that it ended in."""
        if len(payload) > PAYLOAD_BYTES_MAX:
            return "too_large"
        try:
            if function.timeout_s + self._wait_s <= timeout_s:
                # The function's own timeout fires first: no second timer on the hot path.
                outcome = await self._invoker.invoke(function.name, payload, wait_s=self._wait_s)
            else:
                async with asyncio.timeout(timeout_s):
                    outcome = await self._invoker.invoke(
                        function.name, payload, wait_s=self._wait_s
                    )
        except (Throttled, RuntimeFailed, TimeoutError) as error:
            return _FAILURES.get(type(error), "unavailable")
        return "function_failed" if outcome.function_error is not None else outcome

    async def _guard(self, call: Call, match: Match) -> HttpResponse:
        """Answer on a route with an authorizer, or of an API with CORS."""
        target = match.target
        api, cors = target.api, target.api.cors
        if cors is not None and api.kind == "rest" and _is_answered_by_sam(call, match):
            return self._rest_preflight(call, api)
        asks = cors is not None and cors_rules.is_preflight(call.request.method, call.headers)
        identity = None
        try:
            if target.authorizer is not None:
                identity = await self._authorizers.check(call, match)
        except Refused as refusal:
            response = gateway_error(
                refusal.name, self._style, call.request_id, api.kind, refusal.challenge
            )
        else:
            if asks and cors is not None and api.kind == "http":
                return self._preflight(call, api)
            response = await self._integrate(call, match, identity)
        if cors is None or api.kind == "rest":
            return response
        return cors_rules.with_cors(cors, call.headers, response)

    def _answer_without_route(self, call: Call, api_id: str) -> HttpResponse:
        api = self._router.nearest(call.request.path, api_id)
        kind: Kind = "http" if api is None else api.kind
        if api is not None and api.cors is not None:
            if call.request.method == "OPTIONS":
                if kind == "http":
                    return self._preflight(call, api)
                if self._router.methods_at(call.request.path, api):
                    return self._rest_preflight(call, api)
            if kind == "http":
                response = gateway_error("no_route", self._style, call.request_id)
                return cors_rules.with_cors(api.cors, call.headers, response)
        return gateway_error("no_route", self._style, call.request_id, kind)

    def _preflight(self, call: Call, api: Api) -> HttpResponse:
        """HTTP API's answer to OPTIONS; one that is no preflight gets no CORS headers."""
        assert api.cors is not None, "the caller has looked"
        if cors_rules.is_preflight(call.request.method, call.headers):
            response = cors_rules.preflight(api.cors, call.headers)
        else:
            response = HttpResponse(204)
        response.headers.extend(request_id_headers("http", call.request_id))
        return response

    def _rest_preflight(self, call: Call, api: Api) -> HttpResponse:
        assert api.cors is not None, "the caller has looked"
        methods = self._router.methods_at(call.request.path, api)
        response = cors_rules.rest_preflight(api.cors, methods)
        response.headers.extend(request_id_headers("rest", call.request_id))
        return response

    # --- function URLs -----------------------------------------------------------------------

    async def _answer_url(self, label: str, call: Call) -> HttpResponse:
        target = self._urls.get(label)
        if target is None:
            return gateway_error("no_route", self._style, call.request_id, "url")
        cors = target.url.cors
        if cors is not None and cors_rules.is_preflight(call.request.method, call.headers):
            response = cors_rules.preflight(cors, call.headers, status=200)
            response.headers.extend(request_id_headers("url", call.request_id))
            return response
        response = await self._invoke_url(target, call)
        if cors is None:
            return response
        return cors_rules.with_cors(cors, call.headers, response, keep=True)

    async def _invoke_url(self, target: function_url.UrlTarget, call: Call) -> HttpResponse:
        authorizer = ""
        if target.url.auth_type == "AWS_IAM":
            caller = function_url.caller(call)
            if caller is None:
                return gateway_error("forbidden", self._style, call.request_id, "url")
            authorizer = caller
        payload = render_event(call, target.fixed, call.request.path, None, authorizer)
        outcome = await self._outcome(target.function, payload, URL_TIMEOUT_S + self._wait_s)
        if not isinstance(outcome, str):
            try:
                response = response_from(outcome.payload, function_url.DEFAULT_TYPE)
            except MalformedResult as problem:
                _LOGGER.warning("%s returned no HTTP response: %s", target.function.name, problem)
                outcome = "function_failed"
            else:
                response.headers.extend(request_id_headers("url", call.request_id))
                return response
        return gateway_error(outcome, self._style, call.request_id, "url")


def _is_answered_by_sam(call: Call, match: Match) -> bool:
    """Whether the OPTIONS method that SAM adds with `Cors` comes before the route."""
    return call.request.method == "OPTIONS" and match.route.method == "ANY"


def _request_id(given: str) -> str:
    """Nginx's id of the request, so that one id goes from there to the Kafka header."""
    if 1 <= len(given) <= REQUEST_ID_BYTES_MAX and given.isascii() and given.isprintable():
        return given
    return str(uuid.uuid4())
