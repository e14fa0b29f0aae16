"""The real Nginx with the rendered configuration, in front of hosts that only record."""

from __future__ import annotations

import gzip
import json
import socket
from typing import TYPE_CHECKING

import pytest

from local_stack.services import nginx
from tests.support.nginx_front import BODY_BYTES_MAX, LONG_ANSWER, Front, running_front

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPResponse
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_front(tmp_path_factory.mktemp("nginx")) as running:
        yield running


@pytest.fixture(autouse=True)
def _forget(request: pytest.FixtureRequest) -> None:
    if "front" in request.fixturenames:
        for pair in request.getfixturevalue("front").hosts:
            for host in pair:
                host.requests.clear()
                host.drop_connection = False


def _problem(response: HTTPResponse, body: bytes) -> dict[str, object]:
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, object] = json.loads(body)
    assert set(problem) == {"type", "title", "status", "detail", "instance", "code"}
    assert problem["status"] == response.status
    assert problem["instance"] == f"urn:request:{response.headers['X-Request-Id']}"
    return problem


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/bet"),
        ("GET", "/api/bet"),  # the method is the gateway's to refuse
        ("GET", "/api/bets/31c13867-275d-4890-a097-5945199642e4?limit=5&cursor=a%2Fb"),
        ("GET", "/api/bets/a%20b"),
        ("GET", "/files/a/b/c.txt"),
    ],
)
def test_a_route_reaches_the_host_as_it_was_sent(front: Front, method: str, path: str) -> None:
    response, body = front.ask(method, path)

    assert (response.status, body) == (200, b'{"ok": true}')
    ((seen_method, seen_path, _, _),) = front.hosts[0][0].requests
    assert (seen_method, seen_path) == (method, path)


@pytest.mark.parametrize(
    "path",
    ["/", "/api", "/api/bet/", "/api/bets", "/api/bets/a/b", "//api/bet", "/_local_stack/status"],
)
def test_an_unknown_path_is_a_problem_and_reaches_nobody(front: Front, path: str) -> None:
    response, body = front.ask("GET", path)

    assert response.status == 404
    assert _problem(response, body)["code"] == "route_not_found"
    assert front.hosts[0][0].requests == []


def test_the_host_sees_what_api_gateway_would_tell_it(front: Front) -> None:
    front.ask("GET", "/api/bets/x", headers={"Host": "bets.example", "X-Request-Id": "mine"})

    ((_, _, headers, _),) = front.hosts[0][0].requests
    assert headers["host"] == "bets.example"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-port"] == str(front.settings.ports.http)
    assert len(headers["x-request-id"]) == 32


def test_the_request_id_is_the_same_for_host_and_client(front: Front) -> None:
    response, _ = front.ask("GET", "/api/bets/x")

    ((_, _, headers, _),) = front.hosts[0][0].requests
    assert response.headers.get_all("X-Request-Id") == [headers["x-request-id"]]


def test_a_body_at_the_limit_arrives_and_one_past_it_is_413(front: Front) -> None:
    response, _ = front.ask("POST", "/api/bet", body=b"x" * BODY_BYTES_MAX)
    assert response.status == 200
    assert len(front.hosts[0][0].requests[0][3]) == BODY_BYTES_MAX
    front.hosts[0][0].requests.clear()

    response, body = front.ask("POST", "/api/bet", body=b"x" * (BODY_BYTES_MAX + 1))

    assert response.status == 413
    assert _problem(response, body)["code"] == "payload_too_large"
    assert front.hosts[0][0].requests == []


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"nonsense\r\n\r\n", 400, "bad_request"),
        (b"GET /api/bet HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET /api/bet HTTP/9.9\r\n\r\n", 505, "http_version_not_supported"),
        (b"TRACE /api/bet HTTP/1.1\r\nHost: x\r\n\r\n", 404, "route_not_found"),
        (b"BREW /api/bet HTTP/1.1\r\nHost: x\r\n\r\n", 404, "route_not_found"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri_too_long"),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
            431,
            "headers_too_large",
        ),
        (
            b"POST /api/bet HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: odd\r\n\r\n",
            501,
            "not_implemented",
        ),
    ],
)
def test_what_is_not_http_is_a_problem(front: Front, raw: bytes, status: int, code: str) -> None:
    with socket.create_connection(("127.0.0.1", front.settings.ports.http), timeout=10) as client:
        client.sendall(raw)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode()
    assert json.loads(body)["code"] == code


def test_a_long_answer_is_compressed_for_who_takes_it(front: Front) -> None:
    response, body = front.ask("GET", "/files/long", headers={"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == LONG_ANSWER

    response, body = front.ask("GET", "/files/long")
    assert response.headers["Content-Encoding"] is None
    assert body == LONG_ANSWER


def test_connections_to_the_host_are_kept(front: Front) -> None:
    front.hosts[0][0].connections.clear()

    for _ in range(5):
        front.ask("GET", "/api/bets/x")

    assert len(front.hosts[0][0].connections) == 1


def test_a_host_that_hangs_up_is_503_with_retry_after(front: Front) -> None:
    front.hosts[0][0].drop_connection = True

    response, body = front.ask("POST", "/api/bet", body=b"{}")

    assert response.status == 503
    assert response.headers["Retry-After"] == "1"
    assert _problem(response, body)["code"] == "service_unavailable"


def test_a_post_that_was_sent_is_never_sent_to_another_host(tmp_path: Path) -> None:
    with running_front(tmp_path, replicas=2) as front:
        for http_host, _ in front.hosts:
            http_host.drop_connection = True

        response, _ = front.ask("POST", "/api/bet", body=b"{}")

        assert response.status == 503
        assert sum(len(http_host.requests) for http_host, _ in front.hosts) == 1


def test_a_host_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    with running_front(tmp_path, replicas=2, silent=0) as front:
        statuses = {front.ask("POST", "/api/bet", body=b"{}")[0].status for _ in range(10)}

        assert statuses == {200}
        assert len(front.hosts[0][0].requests) == 10


def test_without_any_host_it_is_503(tmp_path: Path) -> None:
    with running_front(tmp_path, silent=0) as front:
        response, body = front.ask("GET", "/api/bets/x")
        assert response.status == 503
        assert _problem(response, body)["status"] == 503

        response, body = front.ask("GET", "/2015-03-31/functions", api="lambda")
        assert response.status == 503
        assert response.headers["X-Amzn-Errortype"] == "ServiceException"


def test_errors_of_aws_are_answered_where_they_are_asked_for(tmp_path: Path) -> None:
    with running_front(tmp_path, style="aws") as front:
        response, body = front.ask("GET", "/nowhere")

    assert response.status == 404
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"message": "Not Found"}


@pytest.mark.parametrize("host", ["localhost:4566", "127.0.0.1", "[::1]:4566"])
def test_the_lambda_api_answers_to_loopback_names(front: Front, host: str) -> None:
    response, _ = front.ask("GET", "/2015-03-31/functions", headers={"Host": host}, api="lambda")

    assert response.status == 200
    assert len(front.hosts[0][1].requests) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:4566"},
    ],
)
def test_the_lambda_api_refuses_web_pages(front: Front, headers: dict[str, str]) -> None:
    path = "/2015-03-31/functions/PlaceBet/invocations"

    response, body = front.ask("POST", path, body=b"{}", headers=headers, api="lambda")

    assert response.status == 403
    assert response.headers["X-Amzn-Errortype"] == "AccessDeniedException"
    assert json.loads(body)["Type"] == "User"
    assert front.hosts[0][1].requests == []


def test_a_payload_of_six_megabytes_reaches_the_host(front: Front) -> None:
    path = "/2015-03-31/functions/PlaceBet/invocations"
    response, _ = front.ask("POST", path, body=b"x" * 6 * 1024 * 1024, api="lambda")
    assert response.status == 200

    too_long = b"x" * (nginx.LAMBDA_BODY_BYTES_MAX + 1)
    response, _ = front.ask("POST", path, body=too_long, api="lambda")

    assert response.status == 413
    assert response.headers["X-Amzn-Errortype"] == "RequestTooLargeException"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/_local_stack/status", 200),
        ("/_local_stack/metrics", 200),
        ("/_local_stack/ready", 404),
        ("/_local_stack/anything", 404),
    ],
)
def test_of_the_hosts_own_pages_only_two_are_shown(front: Front, path: str, status: int) -> None:
    assert front.ask("GET", path, api="lambda")[0].status == status
