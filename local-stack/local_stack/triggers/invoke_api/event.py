"""Reads an Invoke request: which function, which kind of invocation, which payload. Pure.

Source: AWS Lambda API reference, Invoke.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from local_stack.errors import (
    FunctionNotFound,
    InvalidParameter,
    InvalidPayload,
    PayloadTooLarge,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

InvocationType = Literal["RequestResponse", "Event", "DryRun"]
SYNC_BYTES_MAX = 6 * 1024 * 1024
ASYNC_BYTES_MAX = 1024 * 1024
CLIENT_CONTEXT_BYTES_MAX = 3583
_NAME = re.compile(
    r"(?:arn:aws[a-z-]*:lambda:)?(?:[a-z]{2}(?:-[a-z]+)+-\d:)?(?:\d{12}:)?(?:function:)?"
    r"([a-zA-Z0-9-_]{1,140})(?::(\$LATEST|[a-zA-Z0-9-_]+))?"
)


@dataclass(frozen=True, slots=True)
class InvokeRequest:
    """One request to `Invoke`, checked."""

    function: str
    invocation_type: InvocationType
    payload: bytes
    want_tail: bool
    client_context: str | None
    trace_id: str


def function_name(raw: str, qualifier: str = "") -> str:
    """The function's name from a name, partial ARN or ARN. Raises `FunctionNotFound`.

    Every version and alias runs the code that is there, so a qualifier is read and not kept.
    """
    text = unquote(raw)
    match = _NAME.fullmatch(text)
    if match is None:
        msg = f"Function not found: {text}"
        raise FunctionNotFound(msg)
    if qualifier and match[2] and qualifier != match[2]:
        msg = "The derived qualifier from the function name does not match the specified qualifier."
        raise InvalidParameter(msg)
    return match[1]


def read_invoke(
    raw_name: str, headers: Mapping[str, str], qualifier: str, body: bytes
) -> InvokeRequest:
    """Check an Invoke request; `headers` have lower-case names. Raises `InvokeError`s."""
    kind = headers.get("x-amz-invocation-type") or "RequestResponse"
    if kind not in ("RequestResponse", "Event", "DryRun"):
        msg = f"Value '{kind}' at 'invocationType' failed to satisfy constraint: [Event, RequestResponse, DryRun]"
        raise InvalidParameter(msg)
    limit = ASYNC_BYTES_MAX if kind == "Event" else SYNC_BYTES_MAX
    if len(body) > limit:
        msg = f"{len(body)} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"
        raise PayloadTooLarge(msg)
    context = headers.get("x-amz-client-context") if kind == "RequestResponse" else None
    if context is not None and len(context) > CLIENT_CONTEXT_BYTES_MAX:
        msg = f"Client context must be no more than {CLIENT_CONTEXT_BYTES_MAX} bytes."
        raise InvalidParameter(msg)
    return InvokeRequest(
        function=function_name(raw_name, qualifier),
        invocation_type=kind,  # type: ignore[arg-type]  # narrowed by the check above
        payload=_checked_payload(body),
        want_tail=kind == "RequestResponse" and headers.get("x-amz-log-type") == "Tail",
        client_context=context,
        trace_id=headers.get("x-amzn-trace-id", ""),
    )


def _checked_payload(body: bytes) -> bytes:
    if not body:
        return b"{}"  # as Lambda hands an empty payload over
    try:
        json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        msg = f"Could not parse request body into json: Could not parse payload into json: {error}"
        raise InvalidPayload(msg) from error
    return body


def _refuse_constant(name: str) -> None:
    msg = f"{name} is not JSON"
    raise ValueError(msg)
