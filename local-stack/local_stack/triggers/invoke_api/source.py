"""The Lambda API of a host, which boto3 talks to.

Signatures are accepted and not checked, as emulators do. Nginx in front refuses what a browser
page could send; so does this, because a host's own port is open on loopback too.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Protocol

from local_stack.errors import AccessDenied, InvokeError, PayloadTooLarge, RuntimeFailed
from local_stack.http1 import HttpResponse
from local_stack.invoke.lineage import extended
from local_stack.triggers.invoke_api import outcome as answers
from local_stack.triggers.invoke_api.browsers import Doorkeeper
from local_stack.triggers.invoke_api.errors import error_answer
from local_stack.triggers.invoke_api.event import SYNC_BYTES_MAX, read_invoke
from local_stack.triggers.invoke_api.names import executed_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local_stack.http1 import HttpRequest
    from local_stack.invoke.async_queue import AsyncQueue
    from local_stack.invoke.invoker import Invoker
    from local_stack.triggers.invoke_api.management import Management

    Answer = tuple[int, dict[str, str], bytes]

BODY_BYTES_MAX = SYNC_BYTES_MAX + 1024  # a little more, so that one past the limit gets its code
_INVOKE = re.compile(r"/2015-03-31/functions/([^/]+)/invocations/?")
_CONTROL = "/_local_stack/"


class Control(Protocol):
    """Answers `/_local_stack/…`: what people and the stack ask a host about itself."""

    async def __call__(
        self, path: str, query: str, *, method: str = "GET", body: bytes = b""
    ) -> Answer | None:
        """Status, headers and body; None if there is no such thing."""


class LambdaApi:
    """Handles every request of a host's Lambda API port."""

    def __init__(
        self,
        invoker: Invoker,
        queue: AsyncQueue,
        control: Control,
        management: Management,
        *,
        allowed_hosts: Iterable[str] = (),
    ) -> None:
        self._invoker = invoker
        self._queue = queue
        self._control = control
        self._management = management
        self._door = Doorkeeper(allowed_hosts)

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request; every `InvokeError` has its code and body."""
        headers = dict(request.headers)
        try:
            refusal = self._door.refusal(headers)
            if refusal:
                raise AccessDenied(refusal)
            if request.method == "POST" and (match := _INVOKE.fullmatch(request.path)):
                return await self._invoke(match[1], headers, request)
            return _response(*await self._answer(request))
        except InvokeError as error:
            return _response(*error_answer(error))

    @staticmethod
    def refuse(status: int, request_id: str) -> HttpResponse:
        """An answer to what is no request: too large, too slow, malformed."""
        del request_id  # the Lambda API gives an id of its own
        if status == 413:
            msg = f"Request must be smaller than {SYNC_BYTES_MAX} bytes for the InvokeFunction operation"
            return _response(*error_answer(PayloadTooLarge(msg)))
        _, headers, body = error_answer(RuntimeFailed("The request could not be read."))
        return _response(status, headers, body)

    async def _answer(self, request: HttpRequest) -> Answer:
        if request.path.startswith(_CONTROL):
            path = request.path.removeprefix(_CONTROL)
            answer = await self._control(
                path, request.query, method=request.method, body=request.body
            )
            if answer is not None:
                return answer
        return await self._management.answer(request)

    async def _invoke(
        self, raw_name: str, headers: Mapping[bytes, bytes], request: HttpRequest
    ) -> HttpResponse:
        invoke = read_invoke(raw_name, headers, request.query, request.body)
        name, qualifier = invoke.function.name, invoke.function.qualifier
        pool = self._invoker.pool(name)  # raises for an unknown one, whatever the type
        version = executed_version(pool.function, qualifier)
        trace_id = extended(invoke.trace_id, name) if invoke.trace_id else ""
        if invoke.invocation_type == "DryRun":
            return _response(204, {}, b"")
        if invoke.invocation_type == "Event":
            request_id = str(uuid.uuid4())
            await self._queue.put(
                name, invoke.payload, request_id, qualifier=qualifier, trace_id=trace_id
            )
            return _response(202, {"x-amzn-RequestId": request_id}, b"")
        outcome = await self._invoker.invoke(
            name,
            invoke.payload,
            trace_id=trace_id,
            client_context=invoke.client_context,
            want_tail=invoke.want_tail,
            qualifier=qualifier,
            tenant_id=invoke.tenant_id,
        )
        sent = answers.invoke_headers(outcome, version, want_tail=invoke.want_tail)
        return HttpResponse(200, sent, outcome.payload)


def _response(status: int, headers: dict[str, str], body: bytes) -> HttpResponse:
    shown = {"Content-Type": "application/json", **headers}
    if "x-amzn-RequestId" not in shown:
        shown["x-amzn-RequestId"] = str(uuid.uuid4())
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in shown.items()]
    return HttpResponse(status, raw, body)
