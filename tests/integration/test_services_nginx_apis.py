"""Stages, REST APIs, preflights and function URLs through the real Nginx."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from local_stack.model import Api, Cors, FunctionUrl
from tests.support.nginx_front import Front, a_template, running_front

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    template = a_template(Api("Shop", "rest", "prod"), url=FunctionUrl())
    with running_front(tmp_path_factory.mktemp("nginx"), template=template) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/bet"),
        ("POST", "/prod/api/bet"),
        ("GET", "/prod/nowhere?a=%20b"),
        ("OPTIONS", "/anything"),
        ("PROPFIND", "/api/bet"),
        ("GET", "/"),
    ],
)
def test_with_a_stage_or_a_rest_api_the_gateway_decides_about_every_path(
    front: Front, method: str, path: str
) -> None:
    ((host, _),) = front.hosts
    before = len(host.requests)

    response, _ = front.ask(method, path)

    assert response.status == 200
    assert [request[:2] for request in host.requests[before:]] == [(method, path)]


@pytest.mark.parametrize(
    "api", [Api("A", cors=Cors(("*",))), Api("A", stage="dev"), Api("A", "rest", "dev")]
)
def test_one_reason_is_enough_to_ask_the_gateway(tmp_path: Path, api: Api) -> None:
    with running_front(tmp_path, template=a_template(api)) as front:
        response, _ = front.ask("OPTIONS", "/nowhere")

    assert response.status == 200


def test_the_runtimes_own_pages_are_no_routes(front: Front) -> None:
    response, body = front.ask("GET", "/_local_stack/status")

    assert response.status == 404
    assert json.loads(body)["code"] == "route_not_found"


@pytest.mark.parametrize("path", ["/", "/a%20b?c=d", "/_local_stack/status"])
def test_a_function_url_takes_every_path(front: Front, path: str) -> None:
    name = "hello.lambda-url.us-east-1.on.aws"
    ((host, _),) = front.hosts

    response, _ = front.ask("POST", path, body=b"x", headers={"Host": name})

    assert response.status == 200
    method, seen, headers, body = host.requests[-1]
    assert (method, seen, headers["host"], body) == ("POST", path, name, b"x")


def test_without_a_function_url_its_host_name_is_any_other(tmp_path: Path) -> None:
    with running_front(tmp_path, style="aws") as front:
        response, body = front.ask("GET", "/x", headers={"Host": "hello.lambda-url.localhost"})

    assert (response.status, json.loads(body)) == (404, {"message": "Not Found"})
