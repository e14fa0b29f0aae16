"""`GET /runtime/invocation/next`: the runtime is ready; the answer comes with the next event."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local_stack.environments.environment import Environment
    from local_stack.environments.invocation import Invocation
    from local_stack.environments.roles import Waiting

PATH = b"/2018-06-01/runtime/invocation/next"


def handle(environment: Environment, waiting: Waiting) -> None:
    """Register the connection as waiting; raises `ProtocolViolation` while an answer is owed."""
    environment.next_requested(waiting)


def render(environment: Environment, invocation: Invocation) -> bytes:
    """The whole answer to `/next`, with every header that Lambda sends."""
    arn = environment.function.arn
    if invocation.qualifier:
        arn += f":{invocation.qualifier}"
    head = (
        "HTTP/1.1 200 OK\r\n"
        "Content-Type: application/json\r\n"
        f"Lambda-Runtime-Aws-Request-Id: {invocation.request_id}\r\n"
        f"Lambda-Runtime-Deadline-Ms: {invocation.deadline_ms}\r\n"
        f"Lambda-Runtime-Invoked-Function-Arn: {arn}\r\n"
        f"Lambda-Runtime-Trace-Id: {invocation.trace_id}\r\n"
    )
    if invocation.client_context is not None:
        # JSON may be written on several lines, a header may not.
        context = " ".join(invocation.client_context.splitlines())
        head += f"Lambda-Runtime-Client-Context: {context}\r\n"
    if invocation.tenant_id:
        head += f"Lambda-Runtime-Aws-Tenant-Id: {invocation.tenant_id}\r\n"
    return f"{head}Content-Length: {len(invocation.payload)}\r\n\r\n".encode() + invocation.payload
