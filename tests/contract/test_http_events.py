"""What we build is read by code that nobody here wrote: Powertools' data classes, and Mangum."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aws_lambda_powertools.utilities.data_classes import (
    APIGatewayProxyEventV2,
    EventBridgeEvent,
    KafkaEvent,
)
from aws_lambda_powertools.utilities.parser.models import (
    APIGatewayProxyEventV2Model,
    EventBridgeModel,
    KafkaSelfManagedEventModel,
)
from mangum import Mangum

from local_stack.model import Route, Schedule
from local_stack.triggers.http.outcome import response_from
from local_stack.triggers.kafka.event import build_event as kafka_event
from local_stack.triggers.schedule.event import build_event as schedule_event
from tests.support.host import PROJECTS, RunningHost, running_host
from tests.support.http_calls import NOW, REQUEST_ID, a_request, event_from
from tests.support.kafka_records import a_record
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST = a_request(
    "POST",
    "/site/items/a%20b",
    "tag=a&tag=b%20c",
    [
        ("host", "api.example.com"),
        ("user-agent", "curl/8.5"),
        ("cookie", "session=1; theme=dark"),
        ("content-type", "application/octet-stream"),
    ],
    b"\x00\xff",
)


def _http_event() -> dict[str, Any]:
    return event_from(REQUEST, Route("ANY", "/site/{proxy+}"))


# --- Powertools ------------------------------------------------------------------------------


def test_powertools_reads_an_http_event() -> None:
    event = APIGatewayProxyEventV2(_http_event())

    assert (event.http_method, event.raw_path) == ("POST", "/site/items/a b")
    assert event.route_key == "ANY /site/{proxy+}"
    assert event.path_parameters == {"proxy": "items/a b"}
    assert event.query_string_parameters == {"tag": "a,b c"}
    assert event.resolved_query_string_parameters == {"tag": ["a", "b c"]}
    assert event.cookies == ["session=1", "theme=dark"]
    assert event.headers["User-Agent"] == "curl/8.5"
    assert (event.is_base64_encoded, event.body) == (True, "AP8=")
    context = event.request_context
    assert (context.request_id, context.stage) == (REQUEST_ID, "$default")
    assert (context.http.source_ip, context.http.user_agent) == ("203.0.113.7", "curl/8.5")
    assert context.time_epoch == round(NOW.timestamp() * 1000)


def test_powertools_strict_model_takes_an_http_event() -> None:
    model = APIGatewayProxyEventV2Model.model_validate(_http_event())

    assert model.requestContext.http.method == "POST"
    assert model.requestContext.timeEpoch == NOW


def test_powertools_reads_a_kafka_event() -> None:
    records = [
        a_record(0, 15, key=b"user-7", value=b'{"a": 1}', headers=[("trace", b"abc")]),
        a_record(0, 16),
        a_record(2, 4, key=b"k"),
    ]

    event = KafkaEvent(json.loads(kafka_event(records, ["b-1:9092", "b-2:9092"])))

    assert event.event_source == "SelfManagedKafka"
    assert event.decoded_bootstrap_servers == ["b-1:9092", "b-2:9092"]
    first, second, third = event.records
    assert (first.topic, first.partition, first.offset) == ("orders", 0, 15)
    assert (first.decoded_key, first.json_value) == (b"user-7", {"a": 1})
    assert first.decoded_headers["trace"] == b"abc"
    assert (second.offset, third.partition) == (16, 2)


def test_powertools_strict_model_takes_a_kafka_event() -> None:
    event = json.loads(kafka_event([a_record(key=b"k", headers=[("a", b"\xff")])], ["b:9092"]))

    model = KafkaSelfManagedEventModel.model_validate(event)

    [record] = model.records["orders-0"]
    assert (record.key, record.value) == (b"k", "v")
    assert record.headers == [{"a": b"\xff"}]


def test_powertools_reads_a_scheduled_event() -> None:
    schedule = Schedule("nightly", "F", "rate(1 day)")
    event = json.loads(schedule_event(schedule, event_id="the-id", now=NOW))

    read, model = EventBridgeEvent(event), EventBridgeModel.model_validate(event)

    assert (read.detail_type, read.source, read.get_id) == (
        "Scheduled Event",
        "aws.events",
        "the-id",
    )
    assert read.resources == ["arn:aws:events:us-east-1:000000000000:rule/nightly"]
    assert model.time == NOW.replace(microsecond=0)


# --- Mangum, in this process -----------------------------------------------------------------


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"]
    shown = {
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "method": scope["method"],
        "client": scope["client"][0],
        "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
        "body": body.hex(),
    }
    headers = [[b"content-type", b"application/json"], [b"set-cookie", b"a=1"]]
    headers += [[b"set-cookie", b"b=2"], [b"x-a", b"b"]]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(shown).encode()})


def test_mangum_reads_an_http_event_and_we_read_its_answer() -> None:
    handler: Any = Mangum(_echo, lifespan="off")

    result = handler(_http_event(), None)
    response = response_from(json.dumps(result).encode())

    assert response.status == 201
    assert sorted(response.headers) == [
        (b"content-type", b"application/json"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-a", b"b"),
    ]
    seen = json.loads(response.body)
    assert (seen["method"], seen["path"]) == ("POST", "/site/items/a b")
    assert seen["query"] == "tag=a&tag=b%20c"
    assert seen["client"] == "203.0.113.7"
    assert seen["headers"]["cookie"] == "session=1; theme=dark"
    assert seen["body"] == "00ff"


# --- through a host --------------------------------------------------------------------------

_JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def host() -> Iterator[RunningHost]:
    limits = {"http_wait_seconds": 0.5, "http_waiters": 2, "http_body_bytes": 7_000_000}
    with running_host(PROJECTS / "http", preload=("fastapi", "mangum"), limits=limits) as running:
        yield running


@pytest.fixture(scope="module")
def web(host: RunningHost) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=host.http_url, trust_env=False, timeout=30) as client:
        yield client


def test_fastapi_behind_mangum_sees_the_request_as_it_was(web: httpx.Client) -> None:
    response = web.put(
        "/site/items/a%20b",
        params=[("q", "1"), ("q", "caf\xe9 & more")],
        content=b"\x00\xff",
        headers={
            "cookie": "a=1; b=2",
            "user-agent": "tests",
            "x-forwarded-for": "9.9.9.9, 8.8.8.8",
        },
    )

    assert response.status_code == 200
    assert response.headers["x-name"] == "a b"
    assert response.headers.get_list("set-cookie") == [
        "seen=yes; Path=/; SameSite=lax",
        "count=2; Path=/; SameSite=lax",
    ]
    assert response.json() == {
        "method": "PUT",
        "name": "a b",
        "query": [["q", "1"], ["q", "caf\xe9 & more"]],
        "cookies": {"a": "1", "b": "2"},
        "agent": "tests",
        "client": "8.8.8.8",
        "body": "00ff",
        "event": "2.0",
    }


def test_bytes_come_back_as_bytes(web: httpx.Client) -> None:
    response = web.get("/site/bytes")

    assert response.content == bytes(range(256))
    assert response.headers["content-type"] == "application/octet-stream"


def test_an_answer_without_content_leaves_the_connection_in_order(web: httpx.Client) -> None:
    assert web.get("/site/nothing").status_code == 204
    assert web.get("/site/bytes").status_code == 200


def test_the_event_over_the_wire_is_http_apis(web: httpx.Client, host: RunningHost) -> None:
    response = web.get("/event/x%2Fy?a=1&a=2", headers={"accept": "a/b", "x-request-id": "mine"})

    event = response.json()
    APIGatewayProxyEventV2Model.model_validate(event)
    assert event["routeKey"] == "ANY /event/{name}"
    assert event["pathParameters"] == {"name": "x/y"}
    assert event["rawPath"] == "/event/x/y"
    assert event["requestContext"]["requestId"] == "mine"
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"
    assert event["headers"]["host"] == f"127.0.0.1:{host.http_port}"


def test_every_request_has_an_id_and_a_time_of_its_own(web: httpx.Client) -> None:
    one, other = (web.get("/event/a").json()["requestContext"] for _ in range(2))

    assert one["requestId"] != other["requestId"]
    assert one["timeEpoch"] <= other["timeEpoch"]
    assert abs(other["timeEpoch"] / 1000 - datetime.now(UTC).timestamp()) < 60


def test_a_greedy_variable_takes_the_rest_of_the_path(web: httpx.Client) -> None:
    event = web.get("/files/a/b%20c/d").json()

    assert event["pathParameters"] == {"proxy": "a/b c/d"}


@pytest.mark.parametrize(
    ("result", "content_type", "body"),
    [
        ("hello", "application/json", b"hello"),
        (3, "application/json", b"3"),
        (True, "application/json", b"true"),
        (None, "application/json", b"null"),
        ([1], "application/json", b"[1]"),
        # An error is told from a result by where it was posted, not by what it looks like.
        ({"errorType": "x"}, "application/json", b'{"errorType": "x"}'),
        ({"statusCode": 200, "body": "x"}, "text/plain;charset=UTF-8", b"x"),
        (
            {"statusCode": 200, "headers": {"Content-Type": "a/b"}, "body": "x"},
            "a/b",
            b"x",
        ),
    ],
)
def test_a_result_becomes_a_response(
    web: httpx.Client, result: Any, content_type: str, body: bytes
) -> None:
    response = web.post("/result", content=json.dumps(result), headers=_JSON)

    assert (response.status_code, response.content) == (200, body)
    assert response.headers["content-type"] == content_type


@pytest.mark.parametrize(
    "result",
    [
        {"statusCode": "many"},
        {"statusCode": 100},
        {"statusCode": 200, "headers": {"a": "b\r\nc: d"}},
        {"statusCode": 200, "body": "\ud800"},
        {"statusCode": 200, "body": "!", "isBase64Encoded": True},
        "\ud800",
    ],
)
def test_a_malformed_result_is_http_apis_500(web: httpx.Client, result: Any) -> None:
    response = web.post("/result", content=json.dumps(result), headers=_JSON)

    assert response.status_code == 500
    assert response.json() == {"message": "Internal Server Error"}


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/raises", 500, "Internal Server Error"),
        ("GET", "/hangs", 500, "Internal Server Error"),  # its own timeout: a function error
        ("GET", "/nowhere", 404, "Not Found"),
        ("GET", "/result", 404, "Not Found"),
        ("DELETE", "/raises", 404, "Not Found"),
        ("GET", "/off", 503, "Service Unavailable"),
    ],
)
def test_the_gateway_answers_in_http_apis_words(
    web: httpx.Client, method: str, path: str, status: int, message: str
) -> None:
    response = web.request(method, path, headers={"x-request-id": "the-id"})

    assert (response.status_code, response.json()) == (status, {"message": message})
    assert response.headers["apigw-requestid"] == "the-id"
    assert response.headers["content-type"] == "application/json"


def test_who_waits_too_long_for_an_environment_is_told(web: httpx.Client) -> None:
    """One runs for its second; the others wait half of one, and no more than three may."""
    with ThreadPoolExecutor(8) as callers:
        statuses = [r.status_code for r in callers.map(lambda _: web.get("/hangs"), range(8))]

    assert sorted(statuses) == [500] + [503] * 7


def test_a_body_that_is_too_large_for_lambda_is_refused(web: httpx.Client) -> None:
    for size in (6 * 2**20, 7_000_001):  # past Lambda's limit, past the gateway's
        response = web.post("/result", content=b"x" * size, headers={"content-type": "text/plain"})

        assert response.status_code == 413
        assert response.json() == {"message": "Request Entity Too Large"}


def test_a_client_that_goes_away_does_not_hurt_the_next(
    web: httpx.Client, host: RunningHost
) -> None:
    with socket.create_connection(("127.0.0.1", host.http_port)) as connection:
        connection.sendall(b"GET /hangs HTTP/1.1\r\nhost: a\r\n\r\n")
        wait_until(lambda: _states(host) == ["busy"], 5, "it runs")

    assert web.get("/event/a").status_code == 200
    wait_until(lambda: "busy" not in _states(host), 5, "it has ended")


def _states(host: RunningHost) -> list[str]:
    return [environment["state"] for environment in host.environments("Hangs")]


def test_in_the_problem_style_errors_are_problems() -> None:
    with (
        running_host(PROJECTS / "http", gateway_errors="problem") as host,
        httpx.Client(base_url=host.http_url, trust_env=False) as web,
    ):
        for path, status, code in [
            ("/nowhere", 404, "route_not_found"),
            ("/raises", 500, "internal_error"),
            ("/off", 429, "too_many_requests"),
        ]:
            response = web.get(path)

            assert response.status_code == status
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["code"] == code
