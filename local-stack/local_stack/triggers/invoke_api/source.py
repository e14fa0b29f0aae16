"""The Lambda API of a host: an ASGI application that boto3 talks to.

Signatures are accepted and not checked, as emulators do. Nginx in front refuses what a browser
page could send; so does this, because a host's own port is open on loopback too.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from local_stack.errors import InvokeError, PayloadTooLarge, UnsupportedOperation
from local_stack.triggers.invoke_api import outcome as answers
from local_stack.triggers.invoke_api.errors import error_answer
from local_stack.triggers.invoke_api.event import SYNC_BYTES_MAX, function_name, read_invoke

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from local_stack.invoke.async_queue import AsyncQueue
    from local_stack.invoke.invoker import Invoker

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Answer = tuple[int, dict[str, str], bytes]

_LOGGER = logging.getLogger(__name__)
_FUNCTIONS = re.compile(r"/2015-03-31/functions/?")
_FUNCTION = re.compile(r"/2015-03-31/functions/([^/]+)/?")
_INVOKE = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")
_JSON = {"Content-Type": "application/json"}


class LambdaApi:
    """The ASGI application. `control` answers `/_local_stack/…`: status and counters."""

    def __init__(
        self,
        invoker: Invoker,
        queue: AsyncQueue,
        control: Callable[[str, str], Awaitable[Answer | None]],
    ) -> None:
        self._invoker = invoker
        self._queue = queue
        self._control = control

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        try:
            body = await _read_body(receive)
            status, answer_headers, answer = await self._answer(scope, headers, body)
        except InvokeError as error:
            status, answer_headers, answer = error_answer(error)
        answer_headers = {"x-amzn-RequestId": str(uuid.uuid4()), **_JSON, **answer_headers}
        raw = [(k.lower().encode(), v.encode("latin-1")) for k, v in answer_headers.items()]
        if status != 204:
            raw.append((b"content-length", str(len(answer)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": answer})

    async def _answer(self, scope: Message, headers: Mapping[str, str], body: bytes) -> Answer:
        method = scope["method"]
        path = scope["raw_path"].decode("latin-1").partition("?")[0]
        query = scope["query_string"].decode("latin-1")
        if "origin" in headers:
            return 403, {}, b'{"Type":"User","Message":"Requests from web pages are refused."}'
        match = _INVOKE.fullmatch(path)
        if match and method == "POST":
            qualifier = parse_qs(query).get("Qualifier", [""])[0]
            return await self._invoke(match[1], headers, qualifier, body)
        if path.startswith("/_local_stack/") and method == "GET":
            answer = await self._control(path.removeprefix("/_local_stack/"), query)
            if answer is not None:
                return answer
        if method == "GET" and (match := _FUNCTION.fullmatch(path)):
            pool = self._invoker.pool(function_name(match[1]))
            return 200, {}, answers.function_answer(pool.function)
        if method == "GET" and _FUNCTIONS.fullmatch(path):
            functions = (pool.function for pool in self._invoker.pools.values())
            return 200, {}, answers.functions_answer(functions)
        msg = f"{method} {path} is not supported by this runtime"
        raise UnsupportedOperation(msg)

    async def _invoke(
        self, raw_name: str, headers: Mapping[str, str], qualifier: str, body: bytes
    ) -> Answer:
        request = read_invoke(raw_name, headers, qualifier, body)
        self._invoker.pool(request.function)  # raises for an unknown one, whatever the type
        if request.invocation_type == "DryRun":
            return 204, {}, b""
        if request.invocation_type == "Event":
            request_id = str(uuid.uuid4())
            self._queue.put(request.function, request.payload, request_id)
            return 202, {"x-amzn-RequestId": request_id}, b""
        outcome = await self._invoker.invoke(
            request.function,
            request.payload,
            trace_id=request.trace_id,
            client_context=_decoded_context(request.client_context),
            want_tail=request.want_tail,
        )
        return answers.invoke_answer(outcome, want_tail=request.want_tail)


def _decoded_context(context: str | None) -> str | None:
    """The runtime gets the client context as JSON on one line; clients send it as base64."""
    if context is None:
        return None
    try:
        return json.dumps(json.loads(base64.b64decode(context)))
    except ValueError:
        return None


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        part = message.get("body", b"")
        size += len(part)
        if size > SYNC_BYTES_MAX + 1024:
            msg = f"Request must be smaller than {SYNC_BYTES_MAX} bytes for the InvokeFunction operation"
            raise PayloadTooLarge(msg)
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)
