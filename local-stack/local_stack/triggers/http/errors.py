"""The gateway's own errors, in the words of each kind of API or as RFC 9457 problems. Pure.

Which of the two is the setting `gateway_errors`; AWS's texts are the default.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Literal

from local_stack.http1 import HttpResponse

Style = Literal["aws", "problem"]
Kind = Literal["http", "rest", "url"]  # HTTP API, REST API, function URL: each has its own words
RETRY_AFTER_S = 1

# name → (problem status, problem code, detail)
_PROBLEMS: dict[str, tuple[int, str, str]] = {
    "no_route": (404, "route_not_found", "No function answers this method and path."),
    "function_failed": (500, "internal_error", "The function failed."),
    "timed_out": (503, "service_unavailable", "The function did not answer in time."),
    "throttled": (429, "too_many_requests", "Every environment of the function is busy."),
    "unavailable": (503, "service_unavailable", "The function could not be started."),
    "too_large": (413, "payload_too_large", "The body is over the limit."),
}
# and of APIs that have authorizers:
_AUTHORIZER_PROBLEMS: dict[str, tuple[int, str, str]] = {
    "unauthorized": (401, "unauthorized", "The request does not say who sends it, or wrongly."),
    "expired": (401, "unauthorized", "The token has expired."),
    "forbidden": (403, "forbidden", "Who sent the request may not do this."),
    "denied": (403, "forbidden", "Who sent the request may not do this."),
    "authorizer_failed": (500, "internal_error", "The authorizer failed."),
}

# name → (status, body) in the words of an HTTP API: sources are in docs/local-stack.md
_HTTP: dict[str, tuple[int, str]] = {
    "no_route": (404, '{"message":"Not Found"}'),
    "function_failed": (500, '{"message":"Internal Server Error"}'),
    "timed_out": (503, '{"message":"Service Unavailable"}'),
    "throttled": (503, '{"message":"Service Unavailable"}'),
    "unavailable": (503, '{"message":"Service Unavailable"}'),
    "too_large": (413, '{"message":"Request Entity Too Large"}'),
    "unauthorized": (401, '{"message":"Unauthorized"}'),
    "expired": (401, '{"message":"Unauthorized"}'),
    "forbidden": (403, '{"message":"Forbidden"}'),
    "denied": (403, '{"message":"Forbidden"}'),
    "authorizer_failed": (500, '{"message":"Internal Server Error"}'),
}
_DENY = "User is not authorized to access this resource"
# of a REST API: (status, x-amzn-ErrorType, body)
_REST: dict[str, tuple[int, str, str]] = {
    "no_route": (
        403,
        "MissingAuthenticationTokenException",
        '{"message":"Missing Authentication Token"}',
    ),
    "function_failed": (
        502,
        "InternalServerErrorException",
        '{"message": "Internal server error"}',
    ),
    "timed_out": (504, "InternalServerErrorException", '{"message": "Endpoint request timed out"}'),
    "throttled": (500, "InternalServerErrorException", '{"message": "Internal server error"}'),
    "unavailable": (500, "InternalServerErrorException", '{"message": "Internal server error"}'),
    "too_large": (413, "RequestTooLongException", '{"message":"Request Too Long"}'),
    "unauthorized": (401, "UnauthorizedException", '{"message":"Unauthorized"}'),
    "expired": (401, "UnauthorizedException", '{"message":"The incoming token has expired"}'),
    "forbidden": (403, "AccessDeniedException", f'{{"Message":"{_DENY} with an explicit deny"}}'),
    "denied": (403, "AccessDeniedException", f'{{"Message":"{_DENY}"}}'),
    "authorizer_failed": (500, "AuthorizerConfigurationException", '{"message":null}'),
}
# of a function URL: (status, x-amzn-ErrorType, body); what is missing cannot happen there
_URL: dict[str, tuple[int, str, str]] = {
    "no_route": (404, "ResourceNotFoundException", '{"Message":null}'),
    "function_failed": (502, "", "Internal Server Error"),
    "throttled": (429, "TooManyRequestsException", '{"Message":"Rate Exceeded."}'),
    "unavailable": (502, "", "Internal Server Error"),
    "too_large": (413, "RequestTooLargeException", '{"Message":"Request Entity Too Large"}'),
    "forbidden": (403, "AccessDeniedException", '{"Message":"Forbidden"}'),
}


# What the server itself refuses, before there is a request: status → problem code and detail.
_REFUSALS: dict[int, tuple[str, str]] = {
    400: ("bad_request", "This is not an HTTP request."),
    408: ("request_timeout", "The request was not complete in time."),
    413: ("payload_too_large", "The body is over the limit."),
    431: ("headers_too_large", "The request line and headers are over the limit."),
    500: ("internal_error", "Something went wrong on our side; it has been logged."),
    503: ("service_unavailable", "The host takes no more connections."),
}


def gateway_error(
    name: str, style: Style, request_id: str, kind: Kind = "http", challenge: str = ""
) -> HttpResponse:
    """The answer to gateway error `name` (a key of the tables above).

    `challenge` is the `WWW-Authenticate` of a request that is not authorized.
    """
    if style == "problem":
        problem = _PROBLEMS.get(name) or _AUTHORIZER_PROBLEMS[name]
        response = _problem(*problem, request_id)
    elif kind == "http":
        response = _answer(*_HTTP[name], request_id_headers("http", request_id))
    else:
        status, error_type, body = (_REST if kind == "rest" else _URL)[name]
        headers = request_id_headers(kind, request_id)
        if error_type:
            headers.append((b"x-amzn-errortype", error_type.encode()))
        response = _answer(status, body, headers)
    if challenge:
        response.headers.append((b"www-authenticate", challenge.encode("latin-1", "replace")))
    return response


def request_id_headers(kind: Kind, request_id: str) -> list[tuple[bytes, bytes]]:
    """The headers by which each kind of API names the request in every answer."""
    value = request_id.encode("latin-1")
    if kind == "http":
        return [(b"apigw-requestid", value)]
    if kind == "rest":
        return [(b"x-amzn-requestid", value), (b"x-amz-apigw-id", value)]
    return [(b"x-amzn-requestid", value)]


def server_refusal(status: int, style: Style, request_id: str) -> HttpResponse:
    """The answer to what never became a request (a key of the second table)."""
    if style == "aws":
        body = json.dumps({"message": HTTPStatus(status).phrase})
        return _answer(status, body, request_id_headers("http", request_id))
    return _problem(status, *_REFUSALS[status], request_id)


def _answer(status: int, body: str, headers: list[tuple[bytes, bytes]]) -> HttpResponse:
    content_type = b"application/json" if body.startswith("{") else b"text/plain"
    return HttpResponse(status, [(b"content-type", content_type), *headers], body.encode())


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
