"""The gateway's own errors, in HTTP API's words or as RFC 9457 problems. Pure.

Which of the two is the setting `gateway_errors`; AWS's texts are the default.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Literal

from local_stack.http1 import HttpResponse

Style = Literal["aws", "problem"]
RETRY_AFTER_S = 1

# name → (AWS status, AWS message, problem status, problem code, detail)
_ERRORS: dict[str, tuple[int, str, int, str, str]] = {
    "no_route": (
        404, "Not Found",
        404, "route_not_found", "No function answers this method and path.",
    ),
    "function_failed": (
        500, "Internal Server Error",
        500, "internal_error", "The function failed.",
    ),
    "timed_out": (
        503, "Service Unavailable",
        503, "service_unavailable", "The function did not answer in time.",
    ),
    "throttled": (
        503, "Service Unavailable",
        429, "too_many_requests", "Every environment of the function is busy.",
    ),
    "unavailable": (
        503, "Service Unavailable",
        503, "service_unavailable", "The function could not be started.",
    ),
    "too_large": (
        413, "Request Entity Too Large",
        413, "payload_too_large", "The body is over the limit.",
    ),
}  # fmt: skip


# What the server itself refuses, before there is a request: status → problem code and detail.
_REFUSALS: dict[int, tuple[str, str]] = {
    400: ("bad_request", "This is not an HTTP request."),
    408: ("request_timeout", "The request was not complete in time."),
    413: ("payload_too_large", "The body is over the limit."),
    431: ("headers_too_large", "The request line and headers are over the limit."),
    500: ("internal_error", "Something went wrong on our side; it has been logged."),
    503: ("service_unavailable", "The host takes no more connections."),
}


def gateway_error(name: str, style: Style, request_id: str) -> HttpResponse:
    """The answer to gateway error `name` (a key of the table above)."""
    aws_status, message, status, code, detail = _ERRORS[name]
    if style == "aws":
        return _aws(aws_status, message, request_id)
    return _problem(status, code, detail, request_id)


def server_refusal(status: int, style: Style, request_id: str) -> HttpResponse:
    """The answer to what never became a request (a key of the second table)."""
    if style == "aws":
        return _aws(status, HTTPStatus(status).phrase, request_id)
    return _problem(status, *_REFUSALS[status], request_id)


def _aws(status: int, message: str, request_id: str) -> HttpResponse:
    headers = [(b"content-type", b"application/json"), (b"apigw-requestid", request_id.encode())]
    return HttpResponse(status, headers, json.dumps({"message": message}).encode())


def _problem(status: int, code: str, detail: str, request_id: str) -> HttpResponse:
    problem = {
        "type": f"urn:problem:{code.replace('_', '-')}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": f"urn:request:{request_id}",
        "code": code,
    }
    headers = [(b"content-type", b"application/problem+json")]
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    return HttpResponse(status, headers, json.dumps(problem).encode())
