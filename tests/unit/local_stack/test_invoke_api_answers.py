"""Answers about functions and mappings have the shapes of the API's model, and come in pages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from local_stack.errors import InvalidParameter, ValidationFailed
from local_stack.model import (
    AsyncConfig,
    Destination,
    KafkaSource,
    Logging,
)
from local_stack.triggers.invoke_api import outcome
from local_stack.triggers.invoke_api.mappings import mapping_answer, mapping_uuid
from local_stack.triggers.invoke_api.paging import page
from tests.support.functions import a_function
from tests.support.service_model import assert_fits, parse

ARN = "arn:aws:lambda:us-east-1:000000000000:function"
SOURCE = KafkaSource("Sink", "SinkBets", "bets", ("b-1:9092", "b-2:9092"), "sink-bets")


def test_a_function_is_shown_without_the_values_of_its_variables() -> None:
    function = a_function(
        "PlaceBet",
        variables={"DATABASE_URL": "postgresql://hidden"},
        code_dir=Path("/srv/a b"),
        timeout_s=10.0,
        description="GET /a",
        alias="live",
        tags={"team": "bets"},
        logging=Logging("JSON", "DEBUG", "WARN", "/a/group"),
    )

    body = outcome.function_answer(function, 5)

    assert_fits("GetFunction", body)
    assert "hidden" not in json.dumps(body)
    shown = body["Configuration"]
    assert (shown["FunctionArn"], shown["Version"]) == (f"{ARN}:PlaceBet", "$LATEST")
    assert (shown["Timeout"], shown["EphemeralStorage"]) == (10, {"Size": 512})
    assert shown["Environment"]["Error"]["ErrorCode"] == "AccessDeniedException"
    assert shown["LoggingConfig"]["LogGroup"] == "/a/group"
    assert body["Concurrency"] == {"ReservedConcurrentExecutions": 5}
    assert body["Code"]["Location"] == "file:///srv/a%20b"
    assert body["Tags"] == {"team": "bets"}


@pytest.mark.parametrize(("qualifier", "version"), [("$LATEST", "$LATEST"), ("live", "1")])
def test_a_qualified_function_has_a_qualified_arn(qualifier: str, version: str) -> None:
    shown = outcome.configuration(a_function("F", alias="live"), qualifier)

    assert_fits("GetFunctionConfiguration", shown)
    assert (shown["FunctionArn"], shown["Version"]) == (f"{ARN}:F:{qualifier}", version)
    assert "Environment" not in shown


def test_a_function_without_a_limit_shows_none() -> None:
    assert "Concurrency" not in outcome.function_answer(a_function(), None)
    assert outcome.concurrency_answer(None) == {}
    assert outcome.concurrency_answer(0) == {"ReservedConcurrentExecutions": 0}


def test_an_alias_points_at_the_only_version() -> None:
    shown = outcome.alias_answer(a_function("F", alias="live"))

    assert_fits("GetAlias", shown)
    assert (shown["AliasArn"], shown["FunctionVersion"]) == (f"{ARN}:F:live", "1")


def test_how_events_are_retried_is_shown() -> None:
    config = AsyncConfig(1, 60, Destination("function", "Other"), Destination("kafka", "dead"))

    shown = outcome.event_invoke_answer(a_function("F", async_config=config), "")

    assert_fits("GetFunctionEventInvokeConfig", shown)
    assert (shown["MaximumRetryAttempts"], shown["MaximumEventAgeInSeconds"]) == (1, 60)
    assert shown["DestinationConfig"] == {
        "OnSuccess": {"Destination": f"{ARN}:Other"},
        "OnFailure": {"Destination": "kafka://dead"},
    }


# --- event source mappings -------------------------------------------------------------------


def test_a_mapping_is_shown_with_everything_but_its_credentials() -> None:
    source = replace(
        SOURCE,
        starting_position="AT_TIMESTAMP",
        starting_timestamp_s=1_795_521_600.5,
        window_s=3.0,
        filters=('{"value": {"a": [1]}}',),
        on_failure=Destination("kafka", "dead"),
        report_batch_item_failures=True,
    )

    body = mapping_answer(source)

    assert_fits("GetEventSourceMapping", body)
    parsed = parse("GetEventSourceMapping", 200, {}, json.dumps(body).encode())
    assert parsed["StartingPositionTimestamp"].isoformat().startswith("2026-11-24T")
    assert parsed["LastModified"].timestamp() == 0
    assert body["SelfManagedEventSource"] == {
        "Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["b-1:9092", "b-2:9092"]}
    }
    assert body["MaximumBatchingWindowInSeconds"] == 3
    assert body["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_a_mapping_of_a_cluster_of_aws_names_it() -> None:
    arn = "arn:aws:kafka:us-east-1:000000000000:cluster/bets/1"

    body = mapping_answer(replace(SOURCE, kind="msk", source_arn=arn, enabled=False))

    assert_fits("GetEventSourceMapping", body)
    assert (body["EventSourceArn"], body["State"]) == (arn, "Disabled")
    assert "SelfManagedEventSource" not in body


def test_the_default_window_of_half_a_second_is_not_shown_as_a_whole_number() -> None:
    assert "MaximumBatchingWindowInSeconds" not in mapping_answer(SOURCE)


def test_the_id_of_a_mapping_is_made_of_its_name() -> None:
    assert mapping_uuid(SOURCE) == mapping_uuid(replace(SOURCE, batch_size=7))
    assert mapping_uuid(SOURCE) != mapping_uuid(replace(SOURCE, name="Other"))


# --- pages -------------------------------------------------------------------------------------


def _pages(items: list[str], size: int, size_max: int = 50) -> list[list[str]]:
    pages, query = [], {"MaxItems": [str(size)]}
    while True:
        chosen, marker = page(items, str, query, size_max=size_max)
        pages.append(chosen)
        if marker is None:
            return pages
        query["Marker"] = [marker]


def test_a_list_comes_in_pages_in_the_order_of_its_keys() -> None:
    assert _pages(["d", "a", "c", "b"], 2) == [["a", "b"], ["c", "d"]]
    assert _pages(["a", "b", "c"], 2) == [["a", "b"], ["c"]]
    assert _pages([], 2) == [[]]


def test_a_page_is_never_larger_than_its_limit() -> None:
    assert [len(chosen) for chosen in _pages([f"{n:03}" for n in range(101)], 10_000)] == [
        50,
        50,
        1,
    ]


@pytest.mark.parametrize("size", ["0", "-1", "10001"])
def test_a_number_of_items_outside_of_its_range_is_refused(size: str) -> None:
    with pytest.raises(ValidationFailed, match=f"Value '{size}' at 'maxItems'"):
        page(["a"], str, {"MaxItems": [size]}, size_max=50)


@pytest.mark.parametrize("query", [{"MaxItems": ["x"]}, {"Marker": ["%%"]}, {"Marker": ["gA=="]}])
def test_what_makes_no_sense_is_refused(query: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidParameter):
        page(["a"], str, query, size_max=50)
