"""The gateway between a request and an invocation, with an invoker that only answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

from local_stack.errors import RuntimeFailed, Throttled
from local_stack.model import Api, Cors, FunctionUrl, LambdaAuthorizer, Route, Template
from local_stack.settings import Limits
from local_stack.triggers.http.source import PAYLOAD_BYTES_MAX, HttpGateway
from tests.fakes.http_invoker import FakeInvoker
from tests.support.functions import a_function
from tests.support.http_calls import a_request
from tests.support.virtual_time import VirtualTimeLoop, virtual_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local_stack.http1 import HttpResponse
    from local_stack.invoke.invoker import Invoker

APIS = {"H": Api("H"), "R": Api("R", "rest", "prod")}
ROUTES = (
    Route("ANY", "/http", api="H"),
    Route("ANY", "/one", "1.0", api="H"),
    Route("ANY", "/rest", "1.0", api="R"),
)


class Gateway:
    """A gateway with one function behind an HTTP API, a REST API and a URL."""

    def __init__(self, loop: VirtualTimeLoop, **fields: Any) -> None:
        self.loop = loop
        self.invoker = FakeInvoker({"F": {"statusCode": 200, "body": "ok"}})
        function = replace(a_function("F", url=FunctionUrl()), routes=ROUTES, **fields)
        template = Template(Path("/template.yaml"), {"F": function}, APIS)
        self.gateway = HttpGateway(
            cast("Invoker", self.invoker), template, limits=Limits(), style="aws"
        )

    def get(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes = b"",
    ) -> HttpResponse:
        request = a_request(method, path, "", list((headers or {}).items()), body)
        return self.loop.run(self.gateway.handle(request))


PLACES: list[tuple[str, dict[str, str]]] = [
    ("/http", {}),
    ("/one", {}),
    ("/prod/rest", {}),
    ("/", {"host": "f.lambda-url.localhost"}),
]


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualTimeLoop]:
    with virtual_time(monkeypatch) as loop:
        yield loop


@pytest.mark.parametrize(("path", "headers"), PLACES)
def test_every_kind_of_address_answers_with_the_id_of_the_request(
    loop: VirtualTimeLoop, path: str, headers: dict[str, str]
) -> None:
    response = Gateway(loop).get(path, {"x-request-id": "the-id", **headers})

    assert (response.status, response.body) == (200, b"ok")
    name = b"apigw-requestid" if path in ("/http", "/one") else b"x-amzn-requestid"
    assert dict(response.headers)[name] == b"the-id"


@pytest.mark.parametrize("given", ["", "x" * 129, "caf\xe9", "a\tb"])
def test_an_id_that_is_none_is_replaced(loop: VirtualTimeLoop, given: str) -> None:
    response = Gateway(loop).get("/http", {"x-request-id": given})

    assert len(dict(response.headers)[b"apigw-requestid"]) == 36


@pytest.mark.parametrize(
    ("error", "statuses"),
    [
        (Throttled("ReservedFunctionConcurrentInvocationLimitExceeded"), [503, 503, 500, 429]),
        (RuntimeFailed("no environment"), [503, 503, 500, 502]),
    ],
)
def test_a_function_that_cannot_run_has_an_answer_everywhere(
    loop: VirtualTimeLoop, error: Exception, statuses: list[int]
) -> None:
    gateway = Gateway(loop)
    gateway.invoker.answers["F"] = error

    assert [gateway.get(path, headers).status for path, headers in PLACES] == statuses


def test_a_function_error_has_an_answer_everywhere(loop: VirtualTimeLoop) -> None:
    gateway = Gateway(loop)
    gateway.invoker.failing.add("F")  # although the payload looks like a response

    assert [gateway.get(path, h).status for path, h in PLACES] == [500, 500, 502, 502]


@pytest.mark.parametrize(("path", "seconds"), [("/http", 30.0), ("/prod/rest", 29.0)])
def test_an_integration_ends_after_what_its_api_allows(
    loop: VirtualTimeLoop, path: str, seconds: float
) -> None:
    gateway = Gateway(loop, timeout_s=60.0)
    gateway.invoker.hanging.add("F")

    waiting = loop.create_task(gateway.gateway.handle(a_request(path=path)))
    loop.advance(seconds - 0.1)
    assert not waiting.done()
    loop.advance(0.2)

    assert waiting.result().status == (503 if path == "/http" else 504)


@pytest.mark.parametrize(("path", "headers"), PLACES)
def test_an_event_at_the_limit_is_sent_and_one_past_it_is_413(
    loop: VirtualTimeLoop, path: str, headers: dict[str, str]
) -> None:
    gateway = Gateway(loop)
    headers = {**headers, "content-type": "text/plain", "x-request-id": "id"}
    gateway.get(path, headers, "POST")
    gateway.get(path, headers, "POST", b"x")
    ((_, bare), (_, one)) = gateway.invoker.events
    size = len(json.dumps(one, separators=(",", ":")))
    assert one["body"] == "x"
    assert bare.get("body") is None

    room = PAYLOAD_BYTES_MAX - size
    assert gateway.get(path, headers, "POST", b"x" * (room + 1)).status == 200
    assert gateway.get(path, headers, "POST", b"x" * (room + 2)).status == 413


@pytest.mark.parametrize("method", ["PROPFIND", "TRACE", "CONNECT", "LINK"])
def test_methods_that_api_gateway_does_not_know_are_no_route(
    loop: VirtualTimeLoop, method: str
) -> None:
    gateway = Gateway(loop)

    assert [gateway.get(path, None, method).status for path, _ in PLACES[:3]] == [404, 404, 403]
    assert gateway.invoker.events == []


def test_the_address_that_nginx_saw_is_the_callers(loop: VirtualTimeLoop) -> None:
    gateway = Gateway(loop)

    gateway.get("/http", {"x-forwarded-for": "9.9.9.9, 8.8.8.8"})
    gateway.get("/http")

    addresses = [e["requestContext"]["http"]["sourceIp"] for _, e in gateway.invoker.events]
    assert addresses == ["8.8.8.8", "203.0.113.7"]


def test_header_names_are_kept_only_where_a_rest_api_shows_them(loop: VirtualTimeLoop) -> None:
    gateway = Gateway(loop)

    gateway.get("/prod/rest", {"X-Thing": "a"})

    assert gateway.gateway.wants_header_names
    ((_, event),) = gateway.invoker.events
    assert event["headers"] == {"X-Thing": "a"}


@pytest.mark.parametrize("kind", ["http", "rest"])
def test_nobody_who_has_http_apis_only_pays_for_names(
    loop: VirtualTimeLoop, kind: Literal["http", "rest"]
) -> None:
    function = replace(a_function("F"), routes=(Route("GET", "/a", api="A"),))
    template = Template(Path("/template.yaml"), {"F": function}, {"A": Api("A", kind, "prod")})

    gateway = HttpGateway(cast("Invoker", FakeInvoker()), template, limits=Limits(), style="aws")

    assert gateway.wants_header_names is (kind == "rest")


def test_in_the_problem_style_every_address_answers_problems(loop: VirtualTimeLoop) -> None:
    gateway = Gateway(loop)
    gateway.gateway._style = "problem"
    gateway.invoker.failing.add("F")

    for path, headers in PLACES:
        response = gateway.get(path, headers)

        assert response.status == 500
        assert json.loads(response.body)["code"] == "internal_error"


def test_a_default_route_with_an_authorizer_guards_preflights_too(loop: VirtualTimeLoop) -> None:
    """As the guide says: an `OPTIONS /{proxy+}` route without one is the way out."""
    asks = LambdaAuthorizer("Asks", "F", identity_sources=("$request.header.x-token",))
    api = Api("H", cors=Cors(("*",)), authorizers={"Asks": asks})
    guarded = Route("ANY", "$default", api="H", authorizer="Asks")
    headers = [("origin", "https://a.example"), ("access-control-request-method", "GET")]
    statuses = []
    for routes in ((guarded,), (guarded, Route("OPTIONS", "/{proxy+}", api="H"))):
        function = replace(a_function("F"), routes=routes)
        template = Template(Path("/template.yaml"), {"F": function}, {"H": api})
        invoker = FakeInvoker()
        gateway = HttpGateway(cast("Invoker", invoker), template, limits=Limits(), style="aws")
        response = loop.run(gateway.handle(a_request("OPTIONS", "/a", headers=headers)))
        statuses.append(response.status)
        assert dict(response.headers)[b"access-control-allow-origin"] == b"*"
        assert invoker.events == []

    assert statuses == [401, 204]
