"""CORS as the gateway answers it: HTTP APIs and function URLs, and SAM's preflights of REST. Pure.

Source: API Gateway developer guide, "Configure CORS for HTTP APIs": a preflight is answered by the
gateway, also where there is no OPTIONS route, and CORS headers of the function are ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_stack.http1 import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local_stack.model import Cors

_PREFIX = b"access-control-"
_REST_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser asks what it may do, as the Fetch standard has it."""
    return (
        method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers
    )


def preflight(cors: Cors, headers: Mapping[str, str], status: int = 204) -> HttpResponse:
    """The gateway's answer to a preflight: with CORS headers only if everything is allowed."""
    origin = allowed_origin(cors, headers["origin"])
    if (
        origin is None
        or not _allows(cors.allow_methods, [headers["access-control-request-method"]])
        or not _allows(cors.allow_headers, _names(headers.get("access-control-request-headers")))
    ):
        return HttpResponse(status)
    found = [(b"access-control-allow-origin", origin.encode("latin-1"))]
    found += _list(b"access-control-allow-methods", cors.allow_methods)
    found += _list(b"access-control-allow-headers", cors.allow_headers)
    if cors.max_age_s is not None:
        found.append((b"access-control-max-age", str(cors.max_age_s).encode()))
    return HttpResponse(status, found + _shared(cors))


def with_cors(
    cors: Cors, headers: Mapping[str, str], response: HttpResponse, *, keep: bool = False
) -> HttpResponse:
    """`response` without the function's own CORS headers, and with those of the API.

    A function URL's answer has both (`keep`): Lambda developer guide, "CORS".
    """
    kept = [
        (name, value) for name, value in response.headers if keep or not name.startswith(_PREFIX)
    ]
    given = headers.get("origin")
    origin = None if given is None else allowed_origin(cors, given)
    if origin is not None:
        kept.append((b"access-control-allow-origin", origin.encode("latin-1")))
        kept += _shared(cors)
    return HttpResponse(response.status, kept, response.body)


def rest_preflight(cors: Cors, methods: Iterable[str]) -> HttpResponse:
    """What the OPTIONS method answers that SAM adds to each path of a REST API with `Cors`.

    It is fixed when the API is deployed: who asks makes no difference.
    """
    named = set(methods)
    listed = _REST_METHODS if "ANY" in named else sorted(named | {"OPTIONS"})
    origin = cors.allow_origins[0] if cors.allow_origins else "*"
    headers = [(b"content-type", b"application/json")]
    headers.append((b"access-control-allow-origin", origin.encode("latin-1")))
    headers += _list(b"access-control-allow-methods", cors.allow_methods or tuple(listed))
    headers += _list(b"access-control-allow-headers", cors.allow_headers)
    if cors.max_age_s is not None:
        headers.append((b"access-control-max-age", str(cors.max_age_s).encode()))
    if cors.allow_credentials:
        headers.append((b"access-control-allow-credentials", b"true"))
    return HttpResponse(200, headers, b"{}\n")


def allowed_origin(cors: Cors, origin: str) -> str | None:
    """What `Access-Control-Allow-Origin` says to `origin`: `*`, itself, or nothing (None).

    `https://*` allows every origin that begins so.
    """
    if "*" in cors.allow_origins:
        return "*"
    for allowed in cors.allow_origins:
        if allowed == origin or (allowed.endswith("*") and origin.startswith(allowed[:-1])):
            return origin
    return None


def _allows(allowed: tuple[str, ...], asked: Iterable[str]) -> bool:
    if not allowed or "*" in allowed:  # an API that says nothing leaves it to the browser
        return True
    known = {name.lower() for name in allowed}
    return all(name.lower() in known for name in asked)


def _names(header: str | None) -> list[str]:
    return [name.strip() for name in (header or "").split(",") if name.strip()]


def _list(name: bytes, values: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    return [(name, ",".join(values).encode("latin-1"))] if values else []


def _shared(cors: Cors) -> list[tuple[bytes, bytes]]:
    headers = _list(b"access-control-expose-headers", cors.expose_headers)
    if cors.allow_credentials:
        headers.append((b"access-control-allow-credentials", b"true"))
    return headers
