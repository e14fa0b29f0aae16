"""The Lambda API of a host, which boto3 talks to.

Signatures are accepted and not checked, as emulators do. Nginx in front refuses what a browser
page could send; so does this, because a host's own port is open on loopback too.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from local_stack.errors import InvokeError, PayloadTooLarge, RuntimeFailed, UnsupportedOperation
from local_stack.http1 import HttpResponse
from local_stack.triggers.invoke_api import outcome as answers
from local_stack.triggers.invoke_api.errors import error_answer
from local_stack.triggers.invoke_api.event import SYNC_BYTES_MAX, function_name, read_invoke

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from local_stack.http1 import HttpRequest
    from local_stack.invoke.async_queue import AsyncQueue
    from local_stack.invoke.invoker import Invoker

    Answer = tuple[int, dict[str, str], bytes]

BODY_BYTES_MAX = SYNC_BYTES_MAX + 1024  # a little more, so that one past the limit gets its code
_FUNCTIONS = re.compile(r"/2015-03-31/functions/?")
_FUNCTION = re.compile(r"/2015-03-31/functions/([^/]+)/?")
_INVOKE = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")
_CONTROL = "/_local_stack/"
_ORIGIN_REFUSED = b'{"Type":"User","Message":"Requests from web pages are refused."}'


class LambdaApi:
    """Handles every request of a host's Lambda API port.

    `control` answers `/_local_stack/…`: what people and the stack ask a host about itself.
    """

    def __init__(
        self,
        invoker: Invoker,
        queue: AsyncQueue,
        control: Callable[[str, str], Awaitable[Answer | None]],
    ) -> None:
        self._invoker = invoker
        self._queue = queue
        self._control = control

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request; every `InvokeError` has its code and body."""
        try:
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
        if request.header(b"origin"):
            return 403, {}, _ORIGIN_REFUSED
        if request.method == "POST" and (match := _INVOKE.fullmatch(request.path)):
            return await self._invoke(match[1], request)
        if request.method == "GET":
            answer = await self._read(request)
            if answer is not None:
                return answer
        msg = f"{request.method} {request.path} is not supported by this runtime"
        raise UnsupportedOperation(msg)

    async def _read(self, request: HttpRequest) -> Answer | None:
        if request.path.startswith(_CONTROL):
            return await self._control(request.path.removeprefix(_CONTROL), request.query)
        if match := _FUNCTION.fullmatch(request.path):
            pool = self._invoker.pool(function_name(match[1]))
            return 200, {}, answers.function_answer(pool.function)
        if _FUNCTIONS.fullmatch(request.path):
            functions = (pool.function for pool in self._invoker.pools.values())
            return 200, {}, answers.functions_answer(functions)
        return None

    async def _invoke(self, raw_name: str, request: HttpRequest) -> Answer:
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in request.headers}
        qualifier = parse_qs(request.query).get("Qualifier", [""])[0] if request.query else ""
        invoke = read_invoke(raw_name, headers, qualifier, request.body)
        self._invoker.pool(invoke.function)  # raises for an unknown one, whatever the type
        if invoke.invocation_type == "DryRun":
            return 204, {}, b""
        if invoke.invocation_type == "Event":
            request_id = str(uuid.uuid4())
            self._queue.put(invoke.function, invoke.payload, request_id)
            return 202, {"x-amzn-RequestId": request_id}, b""
        outcome = await self._invoker.invoke(
            invoke.function,
            invoke.payload,
            trace_id=invoke.trace_id,
            client_context=_decoded_context(invoke.client_context),
            want_tail=invoke.want_tail,
        )
        return answers.invoke_answer(outcome, want_tail=invoke.want_tail)


def _response(status: int, headers: dict[str, str], body: bytes) -> HttpResponse:
    shown = {"Content-Type": "application/json", **headers}
    if "x-amzn-RequestId" not in shown:
        shown["x-amzn-RequestId"] = str(uuid.uuid4())
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in shown.items()]
    return HttpResponse(status, raw, body)


def _decoded_context(context: str | None) -> str | None:
    """The runtime gets the client context as JSON on one line; clients send it as base64."""
    if context is None:
        return None
    try:
        return json.dumps(json.loads(base64.b64decode(context)))
    except ValueError:
        return None
