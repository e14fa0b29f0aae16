"""Projects that know nothing of this runtime, run as their authors would: `local-stack up`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from kafka import KafkaConsumer, KafkaProducer

from tests.support.stack import REPOSITORY, StackUnderTest, running_stack
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

PROJECTS = REPOSITORY / "tests" / "projects"


@pytest.fixture(scope="module")
def hello() -> Iterator[StackUnderTest]:
    with running_stack(PROJECTS / "starter_hello") as running:
        yield running


@pytest.fixture(scope="module")
def powertools() -> Iterator[StackUnderTest]:
    with running_stack(PROJECTS / "starter_powertools") as running:
        yield running


@pytest.fixture(scope="module")
def consumer() -> Iterator[StackUnderTest]:
    with running_stack(PROJECTS / "starter_kafka") as running:
        yield running


def _get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=10, trust_env=False)


def test_hello_world_starts_no_store(hello: StackUnderTest) -> None:
    assert set(hello.status()["parts"]) == {"host-1", "nginx", "supervisord"}


@pytest.mark.parametrize("path", ["/hello", "/Prod/hello"])
def test_hello_world_answers_with_and_without_its_stage(hello: StackUnderTest, path: str) -> None:
    answer = _get(hello.http_url + path)

    assert answer.status_code == 200
    assert answer.json() == {"message": "hello world", "path": "/hello"}


def test_hello_world_answers_what_a_rest_api_answers_elsewhere(hello: StackUnderTest) -> None:
    answer = _get(hello.http_url + "/nowhere")

    assert answer.status_code == 403
    assert answer.json() == {"message": "Missing Authentication Token"}


def test_hello_world_is_invoked_with_its_own_event_file(hello: StackUnderTest) -> None:
    said = hello.cli("invoke", "HelloWorldFunction", "--event", "events/event.json").stdout

    assert json.loads(json.loads(said)["body"])["message"] == "hello world"


def test_parameters_of_samconfig_reach_the_function(powertools: StackUnderTest) -> None:
    answer = _get(powertools.http_url + "/hello")

    assert answer.json() == {"message": "good day, world"}


def test_a_path_variable_and_the_stage_reach_powertools(powertools: StackUnderTest) -> None:
    answer = _get(powertools.http_url + "/hello/anna")

    assert answer.json() == {"message": "good day, anna", "stage": "Prod"}


def test_powertools_own_errors_arrive(powertools: StackUnderTest) -> None:
    answer = _get(powertools.http_url + "/hello/nobody")

    assert answer.status_code == 404
    assert answer.json()["message"] == "there is nobody"


def test_powertools_logs_and_metrics_are_seen(powertools: StackUnderTest) -> None:
    _get(powertools.http_url + "/hello").raise_for_status()

    def lines() -> list[dict[str, Any]]:
        log = powertools.log("functions/hello-dev")
        return [json.loads(line) for line in log.splitlines() if line.startswith("{")]

    wait_until(
        lambda: any(line.get("message") == "somebody says hello" for line in lines()),
        5,
        "the line is in the function's log",
    )
    metrics = _get(powertools.lambda_url + "/_local_stack/metrics").text
    assert "starter_helloworldinvocations_count" in metrics


def test_another_runtime_than_the_local_one_is_warned_of(powertools: StackUnderTest) -> None:
    assert "python3.13" in powertools.cli("doctor", check=False).stdout


def test_a_failed_record_is_retried_alone_and_ends_in_the_topic_for_failures(
    consumer: StackUnderTest,
) -> None:
    producer = KafkaProducer(bootstrap_servers=consumer.kafka, enable_idempotence=False)
    for order in (
        {"id": "a", "quantity": 1},
        {"id": "b", "quantity": 0},
        {"id": "c", "quantity": 2},
    ):
        producer.send("orders", json.dumps(order).encode(), key=b"k", partition=0).get(timeout=10)
    producer.close()

    def handled() -> list[str]:
        lines = consumer.log("functions/ConsumerFunction").splitlines()
        return [str(json.loads(line)["order_id"]) for line in lines if '"order handled"' in line]

    wait_until(lambda: "c" in handled(), 40, "the record behind the failed one is handled")
    assert handled()[0] == "a"
    failed = KafkaConsumer(
        "orders-failed",
        bootstrap_servers=consumer.kafka,
        auto_offset_reset="earliest",
        consumer_timeout_ms=15_000,
    )
    try:
        record = next(iter(failed))
    finally:
        failed.close()
    assert b"orders" in record.value
    wait_until(lambda: handled().count("a") == 1, 1, "what was good has been handled once")
