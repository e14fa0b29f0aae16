"""`local_stack.testing`: what a test of any project can do to a running template."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING

import botocore.exceptions
import pytest

from local_stack.errors import LocalStackError, TemplateError
from local_stack.testing import KafkaRecord, LocalStack
from tests.support.host import PROJECTS, running_host

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = PROJECTS / "tested" / "template.yaml"
ORDER = {"kind": "order", "address": "Main St 1"}
NOWHERE = {"kind": "order"}


@pytest.fixture(scope="module")
def module_stack() -> Iterator[LocalStack]:
    with LocalStack.start(TEMPLATE) as running:
        yield running


@pytest.fixture
def stack(module_stack: LocalStack) -> LocalStack:
    module_stack.reset()
    return module_stack


def post(url: str, document: object) -> tuple[int, bytes]:
    request = urllib.request.Request(url, json.dumps(document).encode())
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


# ---- calling ----


def test_routes_answer_at_the_base_url(stack: LocalStack) -> None:
    status, body = post(f"{stack.base_url}/orders", {"name": "Ann"})

    assert status == 201
    assert json.loads(body)["said"] == "Hello Ann, by post"


def test_functions_are_invoked_with_their_log(stack: LocalStack) -> None:
    invoked = stack.invoke("PlaceOrder", {"body": '{"name": "Ann"}'})

    assert (invoked.status, invoked.error) == (200, None)
    assert json.loads(invoked.value["body"])["said"] == "Hello Ann, by post"
    assert "order of Ann" in invoked.log
    assert invoked.request_id in invoked.log


def test_an_error_of_a_function_is_told_and_raises_nothing(stack: LocalStack) -> None:
    invoked = stack.invoke("SendMail", {"fails": True})

    assert invoked.error == "Unhandled"
    assert invoked.value["errorType"] == "ConnectionError"


def test_boto3_talks_to_the_host(stack: LocalStack) -> None:
    listed = stack.lambda_client.list_functions()["Functions"]

    names = sorted(function["FunctionName"] for function in listed)
    assert names == ["CloseBooks", "PlaceOrder", "SendMail", "ShipOrders"]


def test_the_log_of_a_function_is_whole_as_soon_as_it_has_answered(stack: LocalStack) -> None:
    before = stack.log_sizes().get("PlaceOrder", 0)

    for number in range(20):
        request_id = stack.invoke("PlaceOrder", {"body": json.dumps({"name": number})}).request_id
        assert f"REPORT RequestId: {request_id}" in stack.logs("PlaceOrder")

    assert stack.logs("PlaceOrder", since=before).count("START RequestId") == 20


def test_parameters_variables_and_settings_are_those_of_the_test() -> None:
    with LocalStack.start(
        TEMPLATE,
        parameters={"Greeting": "Salve"},
        env_vars={"PlaceOrder": {"CARRIER": "pigeon"}},
        gateway_errors="problem",
    ) as stack:
        _, body = post(f"{stack.base_url}/orders", {"name": "Ann"})
        status, problem = post(f"{stack.base_url}/nowhere", {})

    assert json.loads(body)["said"] == "Salve Ann, by pigeon"
    assert (status, json.loads(problem)["code"]) == (404, "route_not_found")


def test_a_template_that_cannot_be_read_is_told_by_place(tmp_path) -> None:
    (tmp_path / "template.yaml").write_text("Resources: [1]\n")

    with pytest.raises(TemplateError, match=r"template\.yaml:1"):
        LocalStack.start(tmp_path / "template.yaml")


# ---- schedules ----


def test_a_schedule_fires_when_it_is_told_to(stack: LocalStack) -> None:
    fired = stack.fire_schedule("CloseBooksNightly")

    assert fired.value == fired.event
    assert fired.value["detail-type"] == "Scheduled Event"
    assert fired.value["resources"][0].endswith("rule/CloseBooksNightly")
    assert stack.fire_schedule("CloseBooksWeekly").value == {"week": True}


def test_an_unknown_schedule_tells_the_known_ones(stack: LocalStack) -> None:
    with pytest.raises(LocalStackError, match=r"no schedule is named .Hourly.*Nightly, .*Weekly"):
        stack.fire_schedule("Hourly")


# ---- Kafka ----


def test_a_batch_that_went_well_is_committed(stack: LocalStack) -> None:
    delivery = stack.deliver("ShipOrders", [ORDER, ORDER])

    assert delivery.is_complete
    assert delivery.checkpoints == {"orders-0": 2}
    assert [item["offset"] for item in delivery.event["records"]["orders-0"]] == [0, 1]


def test_reported_failures_come_again_from_the_lowest_on(stack: LocalStack) -> None:
    elsewhere = KafkaRecord(json.dumps(ORDER).encode(), key=b"ann", partition=1, offset=70)

    delivery = stack.deliver("ShipOrders", [ORDER, NOWHERE, ORDER, elsewhere])

    assert delivery.error is None
    assert delivery.checkpoints == {"orders-0": 1, "orders-1": 71}
    assert (delivery.done["orders-0"], delivery.again["orders-0"]) == ([0], [1, 2])


def test_a_batch_comes_again_whole_when_the_function_raises(stack: LocalStack) -> None:
    delivery = stack.deliver("ShipOrders", [ORDER, {**ORDER, "explodes": True}])

    assert delivery.error == "Unhandled"
    assert delivery.again == {"orders-0": [0, 1]}


def test_records_that_the_filter_drops_never_reach_the_function(stack: LocalStack) -> None:
    delivery = stack.deliver("ShipOrders", [{"kind": "advert"}, ORDER])

    assert delivery.filtered == {"orders-0": [0]}
    assert [item["offset"] for item in delivery.event["records"]["orders-0"]] == [1]
    nothing = stack.deliver("ShipOrders", [{"kind": "advert"}])
    assert (nothing.event, nothing.checkpoints) == (None, {"orders-0": 1})


def test_a_batch_is_tried_again_as_the_mapping_says_and_given_up_to_its_topic(
    stack: LocalStack,
) -> None:
    delivery = stack.deliver("ShipOrders", [ORDER, NOWHERE], attempts=10)

    # What failed at first was cut off from what went well: it has failed twice by itself.
    assert (delivery.calls, delivery.error) == (2, None)
    assert (delivery.done, delivery.dead) == ({"orders-0": [0]}, {"orders-0": [1]})
    assert (delivery.checkpoints, delivery.is_complete) == ({"orders-0": 2}, False)
    [record] = stack.destination_records()
    assert record["topic"] == "orders-dead-letter"
    assert record["value"]["requestContext"]["condition"] == "RetriesExhausted"
    assert record["value"]["KafkaBatchInfo"]["recordInfo"]["offset"] == "1"


def test_a_batch_that_was_throttled_has_lost_no_attempt(stack: LocalStack) -> None:
    stack.throttle("ShipOrders", times=3)

    delivery = stack.deliver("ShipOrders", [ORDER], attempts=3)
    assert (delivery.status, delivery.error) == (429, "TooManyRequestsException")
    assert delivery.again == {"orders-0": [0]}
    assert stack.deliver("ShipOrders", [ORDER], attempts=3).is_complete


def test_a_batch_is_no_larger_than_the_mapping_allows(stack: LocalStack) -> None:
    assert stack.deliver("ShipOrders", [ORDER] * 4).is_complete
    with pytest.raises(LocalStackError, match="5 records are more than the BatchSize 4"):
        stack.deliver("ShipOrders", [ORDER] * 5)


def test_a_consumer_that_somebody_wrote_with_powertools_is_tested_without_a_broker() -> None:
    template = PROJECTS / "starter_kafka" / "template.yaml"
    orders = [{"id": "a", "quantity": 1}, {"id": "b", "quantity": 0}, {"id": "c", "quantity": 2}]

    with LocalStack.start(template) as stack:
        once = stack.deliver("OrdersSource", orders)
        twice = stack.deliver("OrdersSource", orders, attempts=2)
        failed = stack.destination_records()

    assert (once.done, once.again) == ({"orders-0": [0]}, {"orders-0": [1, 2]})
    assert '"order_id":"a"' in once.log
    assert twice.dead == {"orders-0": [1, 2]}
    assert [record["topic"] for record in failed] == ["orders-failed"] * 2


# ---- faults ----


def test_throttles_errors_and_timeouts_happen_as_often_as_asked(stack: LocalStack) -> None:
    stack.throttle("PlaceOrder")
    stack.fail("PlaceOrder", error_type="CardRefused", message="no funds")
    stack.time_out("PlaceOrder")

    with pytest.raises(botocore.exceptions.ClientError, match="TooManyRequestsException"):
        stack.invoke("PlaceOrder", {})
    assert stack.invoke("PlaceOrder", {}).value["errorType"] == "CardRefused"
    assert "timed out after 5.00 seconds" in stack.invoke("PlaceOrder", {}).value["errorMessage"]
    assert stack.invoke("PlaceOrder", {}).error is None


def test_faults_reach_http_callers_too(stack: LocalStack) -> None:
    stack.fail("PlaceOrder", times=2)

    statuses = [post(f"{stack.base_url}/orders", {})[0] for _ in range(3)]

    assert statuses == [500, 500, 201]


def test_a_fault_of_an_unknown_function_is_refused(stack: LocalStack) -> None:
    with pytest.raises(LocalStackError, match="Function not found"):
        stack.throttle("Nobody")


# ---- asynchronous events ----


def test_an_event_is_retried_when_the_clock_says_so_and_ends_as_a_dead_letter(
    stack: LocalStack,
) -> None:
    request_id = stack.invoke("SendMail", {"fails": True}, kind="Event").request_id

    [event] = stack.wait_until_settled()
    assert (event["state"], event["invoke_count"]) == ("waiting", 1)
    stack.advance(61)
    [event] = stack.wait_until_settled()
    assert (event["state"], event["invoke_count"]) == ("waiting", 2)
    assert stack.destination_records() == []
    stack.advance(121)
    [event] = stack.wait_until_settled()

    assert (event["state"], event["condition"]) == ("settled", "RetriesExhausted")
    [record] = stack.destination_records()
    assert (record["topic"], record["key"]) == ("mail-dead-letter", request_id)
    assert record["value"]["requestPayload"] == {"fails": True}
    assert record["value"]["responsePayload"]["errorType"] == "ConnectionError"


def test_a_throttled_event_goes_well_in_the_end(stack: LocalStack) -> None:
    stack.throttle("SendMail", times=2)
    stack.invoke("SendMail", {}, kind="Event")

    for _ in range(2):
        assert stack.wait_until_settled()[0]["state"] == "waiting"
        stack.advance(60)
    [event] = stack.wait_until_settled()

    assert event["condition"] == "Success"


def test_time_does_not_go_back(stack: LocalStack) -> None:
    with pytest.raises(LocalStackError, match="time does not go back"):
        stack.advance(-1)


def test_a_reset_forgets_everything_but_the_environments(stack: LocalStack) -> None:
    stack.fail("PlaceOrder")
    stack.invoke("SendMail", {"fails": True}, kind="Event")
    stack.wait_until_settled()

    stack.reset()
    stack.advance(1000)

    assert stack.invoke("PlaceOrder", {}).error is None
    assert stack.wait_until_settled() == []
    assert stack.destination_records() == []


# ---- the control itself ----


def test_a_host_that_is_not_under_test_knows_no_control_for_tests() -> None:
    with running_host(PROJECTS / "tested") as host:
        for method, path in (("POST", "reset"), ("GET", "events"), ("POST", "faults")):
            url = f"{host.lambda_url}/_local_stack/test/{path}"
            request = urllib.request.Request(url, method=method)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=10)
            with refused.value as answer:
                assert b"is no operation" in answer.read()
            assert refused.value.code == 501


def test_the_control_refuses_web_pages_and_says_what_is_wrong_with_a_request(
    stack: LocalStack,
) -> None:
    for body, header, status in (
        (b"{}", {"Origin": "https://example.com"}, 403),
        (b"no json", {}, 400),
        (b"[]", {}, 400),
        (b'{"function": "PlaceOrder", "kind": "error", "colour": 1}', {}, 400),
    ):
        url = f"{stack.lambda_url}/_local_stack/test/faults"
        request = urllib.request.Request(url, body, header)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        with refused.value:
            assert refused.value.code == status, body
