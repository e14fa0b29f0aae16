"""Builders of the events that AWS sends to functions, and of the context beside them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4


@dataclass(slots=True)
class FakeContext:
    """Lambda's context object."""

    function_name: str = "Function"
    aws_request_id: str = field(default_factory=lambda: str(uuid4()))
    remaining_ms: int = 10_000
    function_version: str = "$LATEST"
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:000000000000:function:Function"
    memory_limit_in_mb: int = 512
    log_group_name: str = "/aws/lambda/Function"
    log_stream_name: str = "2026/11/24/[$LATEST]0"
    identity: Any = None
    client_context: Any = None

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


def http_event(
    method: str,
    path: str,
    *,
    body: object = None,
    headers: dict[str, str] | None = None,
    query: dict[str, object] | None = None,
    request_id: str | None = None,
) -> dict[str, Any]:
    """An HTTP API event (payload 2.0).

    A body that is no string is sent as JSON with its content type; bytes go as they are, in base64.
    """
    sent = {"host": "127.0.0.1:8080", "user-agent": "tests"}
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": path,
        "rawQueryString": urlencode(query or {}),
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": "127.0.0.1",
            "domainPrefix": "127",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "tests",
            },
            "requestId": request_id or str(uuid4()),
            "routeKey": f"{method} {path}",
            "stage": "$default",
            "time": "24/Nov/2026:12:00:00 +0000",
            "timeEpoch": 1_795_521_600_000,
        },
        "isBase64Encoded": False,
    }
    if body is not None:
        sent["content-type"] = "application/json"
        if isinstance(body, bytes):
            event["body"], event["isBase64Encoded"] = base64.b64encode(body).decode(), True
        else:
            event["body"] = body if isinstance(body, str) else json.dumps(body)
    event["headers"] = sent | (headers or {})
    return event
