"""Reads an Invoke request: which function, which kind of invocation, which payload. Pure.

Source: AWS Lambda API reference, Invoke. Lambda never looks at the content type of a payload; so
neither does this, and `UnsupportedMediaTypeException` is never answered.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs

from local_stack.errors import (
    InvalidParameter,
    InvalidPayload,
    PayloadTooLarge,
    ValidationFailed,
)
from local_stack.triggers.invoke_api.names import Reference, read_reference

if TYPE_CHECKING:
    from collections.abc import Mapping

InvocationType = Literal["RequestResponse", "Event", "DryRun"]
SYNC_BYTES_MAX = 6 * 1024 * 1024
ASYNC_BYTES_MAX = 1024 * 1024
CLIENT_CONTEXT_BYTES_MAX = 3583
_KINDS: Mapping[bytes, InvocationType] = {
    b"": "RequestResponse",
    b"RequestResponse": "RequestResponse",
    b"Event": "Event",
    b"DryRun": "DryRun",
}
_TENANT = re.compile(r"[a-zA-Z0-9\._:\/=+\-@ ]{1,256}")


@dataclass(frozen=True, slots=True)
class InvokeRequest:
    """One request to `Invoke`, checked."""

    function: Reference
    invocation_type: InvocationType
    payload: bytes
    want_tail: bool
    client_context: str | None  # JSON, on one line
    trace_id: str
    tenant_id: str


def read_invoke(
    raw_name: str, headers: Mapping[bytes, bytes], query: str, body: bytes
) -> InvokeRequest:
    """Check an Invoke request; `headers` have lower-case names. Raises `InvokeError`s."""
    kind = _KINDS.get(headers.get(b"x-amz-invocation-type", b""))
    if kind is None:
        value = headers[b"x-amz-invocation-type"].decode("latin-1")
        constraint = "satisfy enum value set: [Event, RequestResponse, DryRun]"
        raise ValidationFailed(value, "invocationType", constraint)
    log_type = headers.get(b"x-amz-log-type", b"")
    if log_type not in (b"", b"None", b"Tail"):
        value = log_type.decode("latin-1")
        raise ValidationFailed(value, "logType", "satisfy enum value set: [Tail, None]")
    qualifier = parse_qs(query).get("Qualifier", [""])[0] if query else ""
    function = read_reference(raw_name, qualifier)
    check_size(kind, len(body))
    is_sync = kind == "RequestResponse"
    context = headers.get(b"x-amz-client-context") if is_sync else None
    tenant = headers.get(b"x-amz-tenant-id")
    return InvokeRequest(
        function=function,
        invocation_type=kind,
        payload=_checked_payload(body),
        want_tail=is_sync and log_type == b"Tail",
        client_context=None if context is None else _read_context(context),
        trace_id=headers.get(b"x-amzn-trace-id", b"").decode("latin-1"),
        tenant_id="" if tenant is None else _read_tenant(tenant),
    )


def check_size(kind: InvocationType, size: int) -> None:
    """Raise `PayloadTooLarge`, in AWS's words for each kind."""
    if kind == "Event" and size > ASYNC_BYTES_MAX:
        msg = (
            f"{size} byte payload is too large for the Event invocation type "
            f"(limit {ASYNC_BYTES_MAX} bytes)"
        )
        raise PayloadTooLarge(msg)
    if size > SYNC_BYTES_MAX:
        msg = (
            f"Request must be smaller than {SYNC_BYTES_MAX} bytes for the InvokeFunction operation"
        )
        raise PayloadTooLarge(msg)


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


def _read_context(encoded: bytes) -> str:
    """The runtime gets the client context as JSON on one line; clients send it as base64."""
    if len(encoded) > CLIENT_CONTEXT_BYTES_MAX:
        msg = f"Client context must be no more than {CLIENT_CONTEXT_BYTES_MAX} bytes."
        raise InvalidParameter(msg)
    try:
        context = json.loads(base64.b64decode(encoded, validate=True))
    except ValueError as error:
        msg = "Client context must be a valid Base64-encoded JSON object."
        raise InvalidParameter(msg) from error
    if not isinstance(context, dict):
        msg = "Client context must be a valid Base64-encoded JSON object."
        raise InvalidParameter(msg)
    return json.dumps(context)


def _read_tenant(raw: bytes) -> str:
    tenant = raw.decode("latin-1")
    if _TENANT.fullmatch(tenant) is None:
        constraint = r"satisfy regular expression pattern: [a-zA-Z0-9\._:\/=+\-@ ]+"
        raise ValidationFailed(tenant, "tenantId", constraint)
    return tenant
