"""Events for `local-stack invoke`, read back by code that others wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aws_lambda_powertools.utilities.data_classes import (
    APIGatewayProxyEventV2,
    EventBridgeEvent,
    KafkaEvent,
)

from local_stack import generate_event
from local_stack.errors import LocalStackError
from local_stack.model import Function, Route, Schedule, Template

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
        )
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
    with pytest.raises(LocalStackError, match=r"there are GET /api/bets/\{userId\}, POST"):
        generate_event.http_event(TEMPLATE, "DELETE", "/api/bets", headers={}, body=b"")


def test_values_become_the_records_of_a_batch() -> None:
    text = generate_event.kafka_event(
        "bet-events", [b"one", b"two"], key="user", bootstrap_servers="a:1,b:2"
    )

    event = KafkaEvent(json.loads(text))
    records = list(event.records)
    assert event.bootstrap_servers == "a:1,b:2"
    assert [record.decoded_value for record in records] == [b"one", b"two"]
    assert [record.offset for record in records] == [0, 1]
    assert {record.decoded_key for record in records} == {b"user"}


@pytest.mark.parametrize("name", [None, "Tick"])
def test_a_schedule_becomes_its_event(name: str | None) -> None:
    event = EventBridgeEvent(json.loads(generate_event.schedule_event(TEMPLATE, name)))

    assert event.detail_type == "Scheduled Event"
    assert event.resources[0].endswith(":rule/Tick")


def test_an_unknown_schedule_tells_the_known_ones() -> None:
    with pytest.raises(LocalStackError, match="there are Tick"):
        generate_event.schedule_event(TEMPLATE, "Tock")
