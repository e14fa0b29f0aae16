"""An HTTP function: one FastAPI application with one route, behind Mangum, for HTTP API events.

The route reads strictly (`shared.json_text`), answers every error as a problem, and lets nothing
escape to Mangum, which would turn it into plain text that Lambda counts as success. FastAPI
declares: signatures, models and the OpenAPI document are its own. Its request machinery is left
out, because it reads numbers as floats and lets NUL and lone surrogates through.

Routes are `async def` with blocking calls inside. That looks like the classic mistake, but an
environment serves one request at a time, so nothing is blocked that could run; with `def` FastAPI
hops to a thread, which costs 0.5 ms a request (measured: 623 µs against 98 µs).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qsl, unquote

from fastapi import FastAPI, Header, Response
from fastapi.routing import APIRoute
from mangum import Mangum
from mangum.handlers import HTTPGateway
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from typing_extensions import override

from shared import observability
from shared.errors import (
    BettingError,
    BodyMalformed,
    BodyTooLarge,
    ContentTypeUnsupported,
    Rejected,
    RouteNotFound,
    ValidationFailed,
)
from shared.json_text import read_json_object, render_json
from shared.problems import PROBLEM_MEDIA_TYPE, PROBLEM_SCHEMA, defect, problem, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fastapi._compat import ModelField
    from mangum.types import LambdaConfig, LambdaContext
    from starlette.types import ASGIApp, Receive, Scope, Send

    Event = dict[str, Any]
    Handler = Callable[[Event, LambdaContext], dict[str, Any]]
    Headers = list[tuple[bytes, bytes]]
    Faults = list[dict[str, str]]

BODY_BYTES_MAX = 64 * 1024
TEXT_MEDIA_TYPES = ["text/", "application/json", PROBLEM_MEDIA_TYPE]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[!-~]+$",
        description="Visible ASCII. A repeat with the same key gets the first answer again.",
    ),
]


def create_app(title: str) -> FastAPI:
    """An application for one function; it serves neither documentation nor OpenAPI itself."""
    app = FunctionApp(
        title=title,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.router.route_class = Endpoint
    return app


def lambda_handler(app: FastAPI) -> Handler:
    """The Lambda handler of an application: HTTP API events (payload 2.0) in, responses out."""
    adapter = Mangum(
        app,
        lifespan="off",  # "auto" would start and stop the application in every invocation
        custom_handlers=[HttpApiRequest],
        text_mime_types=TEXT_MEDIA_TYPES,
    )

    def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
        observability.begin_invocation(_request_id(event, context))
        try:
            return adapter(event, context)
        finally:
            observability.end_invocation()

    return handler


def problems(*errors: type[BettingError]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can raise `errors`, for its decorator."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        line = f"`{error.code}`: {error.default_message()}"
        described = by_status.setdefault(status_of(error).value, _described(""))
        described["description"] = "\n\n".join(filter(None, [described["description"], line]))
    return by_status


class FunctionApp(FastAPI):
    """FastAPI with one middleware: the last border. An endpoint answers its own errors."""

    @override
    def build_middleware_stack(self) -> ASGIApp:
        assert not self.user_middleware, "say it in the endpoint"
        router = self.router

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await router(scope, receive, send)
            except HTTPException:
                # No such path, or (404 too, as HTTP API answers) no such method on it.
                await _send(send, *_refuse(RouteNotFound()))
            except Exception:  # noqa: BLE001 - Mangum must never see one
                await _send(send, *_fail())

        return guarded


class HttpApiRequest(HTTPGateway):
    """Mangum's reading of an HTTP API event, done once and without trust in its headers.

    Mangum computes the scope twice, and raises on a Host header with two colons.
    """

    @classmethod
    @override
    def infer(cls, event: Event, context: LambdaContext, config: LambdaConfig) -> bool:
        return event.get("version") == "2.0" and "http" in event.get("requestContext", ())

    def __init__(self, event: Event, context: LambdaContext, config: LambdaConfig) -> None:
        super().__init__(event, context, config)
        http = event["requestContext"]["http"]
        headers = event.get("headers") or {}
        self._scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "http_version": "1.1",
            "method": http["method"],
            "scheme": "https",
            "path": unquote(event.get("rawPath") or http["path"]),
            "raw_path": None,
            "root_path": "",
            "query_string": event.get("rawQueryString", "").encode("utf-8", "surrogatepass"),
            "headers": [
                (
                    name.lower().encode("utf-8", "surrogatepass"),
                    value.encode("utf-8", "surrogatepass"),
                )
                for name, value in headers.items()
            ],
            "server": (http.get("host", "lambda"), 443),
            "client": (http.get("sourceIp", ""), 0),
            "aws.event": event,
            "aws.context": context,
        }

    @property
    @override
    def body(self) -> bytes:
        body: str = self.event.get("body") or ""
        if self.event.get("isBase64Encoded", False):
            return base64.b64decode(body)
        return body.encode("utf-8", "surrogatepass")

    @property
    @override
    def scope(self) -> Scope:
        return self._scope


class Endpoint(APIRoute):
    """A route whose arguments are read strictly and whose answer is rendered by `render_json`.

    It takes path, query and header parameters that are scalars, and at most one body model. What
    it returns is a pydantic model or, for other media types, a `Response`.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        wanted = self.dependant
        assert not wanted.dependencies, "say it in the signature, not with Depends"
        assert not wanted.cookie_params, "cookies are not read here"
        assert len(wanted.body_params) <= 1, "one model describes the whole body"
        self._parameters = [
            *(("path", field) for field in wanted.path_params),
            *(("query", field) for field in wanted.query_params),
            *(("header", field) for field in wanted.header_params),
        ]
        self._body = wanted.body_params[0] if wanted.body_params else None
        self._declare_problems()
        self.app = self._serve

    def _declare_problems(self) -> None:
        """Add to the OpenAPI document what every route can answer."""
        common: list[type[BettingError]] = []
        if self._parameters or self._body:
            common.append(ValidationFailed)
        if self._body:
            common += [BodyMalformed, BodyTooLarge, ContentTypeUnsupported]
        declared = self.responses
        for status, described in problems(*common).items():
            if status in declared:
                declared[status]["description"] += "\n\n" + described["description"]
            else:
                declared[status] = described
        told = defect("")
        declared[500] = _described(f"`{told['code']}`: {told['detail']}")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, call, answer: the whole life of a request. Defects are left to `FunctionApp`."""
        try:
            values = self._arguments(scope, await _read_body(receive) if self._body else b"")
            answer = await self.endpoint(**values)
        except BettingError as error:
            await _send(send, *_refuse(error))
            return
        if isinstance(answer, Response):
            await answer(scope, receive, send)
            return
        replayed = getattr(answer, "replayed", False)
        await _send(send, 200, _REPLAY_HEADERS if replayed else _JSON_HEADERS, render_json(answer))

    def _arguments(self, scope: Scope, body: bytes) -> dict[str, Any]:
        """The endpoint's keyword arguments. Raises `ValidationFailed` with every fault found."""
        values: dict[str, Any] = {}
        faults: Faults = []
        if self._body:
            values[self._body.name] = _read_model(self._body, scope, body, faults)
        if self._parameters:
            given = _given(scope)
            for source, field in self._parameters:
                values[field.name] = _read_parameter(field, given[source], faults)
        if faults:
            raise ValidationFailed(errors=faults)
        return values


# Instead of pydantic's own words.
_MESSAGES = {"missing": "is missing", "extra_forbidden": "is not known here"}

_JSON_HEADERS: Headers = [(b"content-type", b"application/json")]
_REPLAY_HEADERS: Headers = [*_JSON_HEADERS, (b"idempotent-replayed", b"true")]
_PROBLEM_HEADERS: Headers = [(b"content-type", PROBLEM_MEDIA_TYPE.encode())]


def _described(description: str) -> dict[str, Any]:
    """A response of the OpenAPI document that is a problem."""
    content = {PROBLEM_MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}}
    return {"description": description, "content": content}


def _request_id(event: Event, context: LambdaContext) -> str:
    """The gateway's request id, which Nginx and the caller know too; else the invocation's."""
    gateway = event.get("requestContext", {}).get("requestId")
    return str(gateway or context.aws_request_id)


async def _read_body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise BodyTooLarge(limitBytes=BODY_BYTES_MAX)
        if not message.get("more_body", False):
            return body


def _given(scope: Scope) -> dict[str, dict[str, str]]:
    """What the request says, by source. Of a repeated query parameter the last one counts."""
    return {
        "path": scope.get("path_params", {}),
        "query": dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        "header": {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        },
    }


def _read_parameter(field: ModelField, given: Mapping[str, str], faults: Faults) -> Any:
    text = given.get(field.alias, given.get(field.alias.lower()))
    if text is None:
        if field.field_info.is_required():
            faults.append(_fault((field.alias,), _MESSAGES["missing"]))
            return None
        return field.get_default()
    value, errors = field.validate(text)
    faults += [_fault((field.alias,), error["msg"]) for error in errors]
    return value


def _read_model(field: ModelField, scope: Scope, body: bytes, faults: Faults) -> BaseModel | None:
    _expect_json(scope["headers"])
    members = read_json_object(body)
    model: type[BaseModel] = field.field_info.annotation  # type: ignore[assignment]
    try:
        return model.model_validate(members)
    except ValidationError as error:
        faults += [
            _fault(fault["loc"], _MESSAGES.get(fault["type"], fault["msg"]))
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        return None


def _expect_json(headers: Iterable[tuple[bytes, bytes]]) -> None:
    for name, value in headers:
        if name == b"content-type":
            if value == b"application/json":
                return
            if value.partition(b";")[0].strip().lower() == b"application/json":
                return
            break
    raise ContentTypeUnsupported


def _fault(path: tuple[int | str, ...], message: str) -> dict[str, str]:
    """One member of `errors`: an RFC 6901 pointer and what is wrong there."""
    steps = [str(step).replace("~", "~0").replace("/", "~1") for step in path]
    return {
        "pointer": "".join(f"/{step}" for step in steps),
        "message": message.removeprefix("Value error, "),
    }


def _instance() -> str:
    return f"urn:request:{observability.invocation().request_id}"


def _refuse(error: BettingError) -> tuple[int, Headers, str]:
    """The answer to an error that we know of, which is counted and logged by its kind."""
    details = problem(error, _instance())
    status = status_of(type(error)).value
    if isinstance(error, Rejected):
        observability.count("RequestsRejected")
        observability.logger().info("request rejected", code=error.code, status=status)
    else:
        observability.count("RequestsFailed")
        observability.logger().warning(
            "request failed", code=error.code, status=status, cause=repr(error.__cause__)
        )
    headers = _PROBLEM_HEADERS
    if error.retry_after_s is not None:
        headers = [*headers, (b"retry-after", b"%d" % error.retry_after_s)]
    return status, headers, render_json(details)


def _fail() -> tuple[int, Headers, str]:
    """The answer to a defect: the log gets the traceback, the caller nothing internal."""
    observability.count("Defects")
    observability.logger().exception("defect")
    return 500, _PROBLEM_HEADERS, render_json(defect(_instance()))


async def _send(send: Send, status: int, headers: Headers, body: str) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})
