"""Events for `local-stack invoke`, read back by code that others wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from aws_lambda_powertools.utilities.data_classes import (
    APIGatewayProxyEvent,
    APIGatewayProxyEventV2,
    EventBridgeEvent,
    KafkaEvent,
    LambdaFunctionUrlEvent,
)
from aws_lambda_powertools.utilities.data_classes.api_gateway_authorizer_event import (
    APIGatewayAuthorizerEventV2,
)

from local_stack import generate_event
from local_stack.errors import LocalStackError
from local_stack.model import (
    Api,
    Function,
    FunctionUrl,
    KafkaSource,
    LambdaAuthorizer,
    Route,
    Schedule,
    Template,
)

GUARD = LambdaAuthorizer("Guard", "Orders", identity_sources=("$request.header.Authorization",))
TEMPLATE = Template(
    path=Path("template.yaml"),
    functions={
        "ListUserBets": Function(
            logical_id="ListUserBets",
            name="ListUserBets",
            handler="app.handler",
            runtime="python3.11",
            code_dir=Path("functions/list_user_bets"),
            routes=(Route("GET", "/api/bets/{userId}"), Route("POST", "/api/bets")),
        ),
        "Orders": Function(
            logical_id="Orders",
            name="Orders",
            handler="app.handler",
            runtime="python3.11",
            code_dir=Path("functions/orders"),
            url=FunctionUrl(),
            routes=(
                Route("GET", "/orders/{id}", "1.0", api="ServerlessRestApi"),
                Route("GET", "/guarded", authorizer="Guard"),
            ),
        ),
    },
    apis={
        "ServerlessHttpApi": Api("ServerlessHttpApi", authorizers={"Guard": GUARD}),
        "ServerlessRestApi": Api("ServerlessRestApi", "rest", "Prod"),
    },
    schedules=(Schedule("Tick", "RelayOutbox", "rate(1 minute)"),),
)


def test_a_request_becomes_the_event_of_its_route() -> None:
    text = generate_event.http_event(
        TEMPLATE, "get", "/api/bets/abc?limit=5", headers={"X-Test": "yes"}, body=b""
    )

    event = APIGatewayProxyEventV2(json.loads(text))
    assert event.route_key == "GET /api/bets/{userId}"
    assert event.path_parameters == {"userId": "abc"}
    assert event.query_string_parameters == {"limit": "5"}
    assert event.headers["x-test"] == "yes"


def test_a_body_is_json_unless_a_header_says_otherwise() -> None:
    text = generate_event.http_event(TEMPLATE, "POST", "/api/bets", headers={}, body=b'{"a": 1}')

    event = APIGatewayProxyEventV2(json.loads(text))
    assert event.headers["content-type"] == "application/json"
    assert event.json_body == {"a": 1}


def test_a_request_without_a_route_tells_the_routes() -> None:
    with pytest.raises(LocalStackError, match=r"there are GET /api/bets/\{userId\}, .*POST"):
        generate_event.http_event(TEMPLATE, "DELETE", "/api/bets", headers={}, body=b"")


def test_values_become_the_records_of_a_batch() -> None:
    text = generate_event.kafka_event(
        TEMPLATE, "bet-events", [b"one", b"two"], key="user", brokers="a:1,b:2"
    )

    event = KafkaEvent(json.loads(text))
    records = list(event.records)
    assert event.bootstrap_servers == "a:1,b:2"
    assert [record.decoded_value for record in records] == [b"one", b"two"]
    assert [record.offset for record in records] == [0, 1]
    assert {record.decoded_key for record in records} == {b"user"}


def test_the_mapping_of_a_topic_decides_the_form_of_its_batches() -> None:
    arn = "arn:aws:kafka:us-east-1:000000000000:cluster/c/1"
    source = KafkaSource("M", "F", "orders", ("b-1:9092",), "g", kind="msk", source_arn=arn)
    template = replace(TEMPLATE, kafka_sources=(source,))

    text = generate_event.kafka_event(template, "orders", [b"one"], key=None, brokers="a:1")

    event = json.loads(text)
    assert (event["eventSource"], event["eventSourceArn"]) == ("aws:kafka", arn)
    assert event["bootstrapServers"] == "b-1:9092"


def test_a_rest_route_gets_the_event_of_rest_apis() -> None:
    text = generate_event.http_event(TEMPLATE, "GET", "/orders/7?a=1&a=2", headers={}, body=b"")

    event = APIGatewayProxyEvent(json.loads(text))
    assert event.resource == "/orders/{id}"
    assert event.multi_value_query_string_parameters == {"a": ["1", "2"]}
    assert event.request_context.stage == "Prod"


def test_a_function_url_has_its_event() -> None:
    text = generate_event.function_url_event(
        TEMPLATE, "Orders", "post", "/a?b=c", headers={"x-test": "yes"}, body=b"{}"
    )

    event = LambdaFunctionUrlEvent(json.loads(text))
    assert (event.http_method, event.path, event.route_key) == ("POST", "/a", "$default")
    assert event.request_context.domain_name == "orders.lambda-url.localhost"
    assert event.headers["x-test"] == "yes"
    with pytest.raises(LocalStackError, match="functions with one: Orders"):
        generate_event.function_url_event(
            TEMPLATE, "ListUserBets", "GET", "/", headers={}, body=b""
        )


def test_an_authorizer_is_asked_about_a_request_that_names_its_caller() -> None:
    text = generate_event.authorizer_event_of(
        TEMPLATE, "GET", "/guarded", headers={"Authorization": "abc"}
    )

    event = APIGatewayAuthorizerEventV2(json.loads(text))
    assert event.route_arn.endswith("/GET/guarded")
    assert event.identity_source == ["abc"]


def test_an_authorizer_that_would_not_be_asked_has_no_event() -> None:
    with pytest.raises(LocalStackError, match=r"\$request.header.Authorization"):
        generate_event.authorizer_event_of(TEMPLATE, "GET", "/guarded", headers={})
    with pytest.raises(LocalStackError, match="has no Lambda authorizer"):
        generate_event.authorizer_event_of(TEMPLATE, "GET", "/api/bets/a", headers={})


@pytest.mark.parametrize(
    ("condition", "count", "answered"),
    [
        ("Success", 1, True),
        ("RetriesExhausted", 3, True),
        ("EventAgeExceeded", 0, False),
        ("ZeroReservedConcurrency", 0, False),
    ],
)
def test_an_event_that_ended_has_its_record(condition: str, count: int, answered: bool) -> None:
    text = generate_event.async_destination_event(TEMPLATE, "Orders", condition, b'{"a": 1}')

    record = json.loads(text)
    assert record["requestPayload"] == {"a": 1}
    assert record["requestContext"]["condition"] == condition
    assert record["requestContext"]["approximateInvokeCount"] == count
    assert ("responsePayload" in record) is answered


def test_a_record_is_of_a_known_function_and_of_json() -> None:
    with pytest.raises(LocalStackError, match="there are ListUserBets, Orders"):
        generate_event.async_destination_event(TEMPLATE, "Nobody", "Success", b"{}")
    with pytest.raises(LocalStackError, match="not JSON"):
        generate_event.async_destination_event(TEMPLATE, "Orders", "Success", b"{")


@pytest.mark.parametrize("name", [None, "Tick"])
def test_a_schedule_becomes_its_event(name: str | None) -> None:
    event = EventBridgeEvent(json.loads(generate_event.schedule_event(TEMPLATE, name)))

    assert event.detail_type == "Scheduled Event"
    assert event.resources[0].endswith(":rule/Tick")


def test_an_unknown_schedule_tells_the_known_ones() -> None:
    with pytest.raises(LocalStackError, match="there are Tick"):
        generate_event.schedule_event(TEMPLATE, "Tock")
