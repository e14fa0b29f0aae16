"""The real, unmodified boto3 client against the Lambda API of a host."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.support.host import PROJECTS, RunningHost, read_answer, running_host
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ARN = "arn:aws:lambda:us-east-1:000000000000:function"
SYNC_BYTES_MAX = 6 * 1024 * 1024
ASYNC_BYTES_MAX = 1024 * 1024


def _refused(call: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    with pytest.raises(ClientError) as caught:
        call(*arguments, **keywords)
    return caught.value.response


def _json_text(size: int) -> bytes:
    return b'"' + b"x" * (size - 2) + b'"'


# --- invocation types ------------------------------------------------------------------------


def test_a_synchronous_invocation_brings_the_result(host: RunningHost) -> None:
    answer = host.client.invoke(FunctionName="Echo", Payload=b'{"a": 1}')

    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert not {"FunctionError", "LogResult"} & set(answer)
    assert read_answer(answer).value == {"a": 1}
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["content-type"] == "application/json"
    assert headers["x-amzn-requestid"] == answer["ResponseMetadata"]["RequestId"]


def test_an_invocation_without_payload_is_one_with_an_empty_object(host: RunningHost) -> None:
    assert read_answer(host.client.invoke(FunctionName="Echo")).value == {}


def test_the_request_id_is_the_one_that_the_function_sees(host: RunningHost) -> None:
    invoked = host.invoke("Context")

    assert invoked.value["aws_request_id"] == invoked.request_id


def test_an_asynchronous_invocation_is_accepted_and_then_run(
    host: RunningHost, tmp_path: Path
) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    go.touch()
    payload = json.dumps({"started": str(started), "until": str(go)})

    answer = host.client.invoke(FunctionName="Waits", InvocationType="Event", Payload=payload)

    assert answer["StatusCode"] == 202
    assert "ExecutedVersion" not in set(answer)
    assert read_answer(answer).payload == b""
    wait_until(started.exists, 5, "the function has run")
    request_id = answer["ResponseMetadata"]["RequestId"]
    wait_until(lambda: f"START RequestId: {request_id} " in host.log("Waits"), 5, "it is logged")


def test_a_dry_run_runs_nothing(host: RunningHost, tmp_path: Path) -> None:
    payload = json.dumps({"started": str(tmp_path / "started")})

    answer = host.client.invoke(FunctionName="Waits", InvocationType="DryRun", Payload=payload)

    assert answer["StatusCode"] == 204
    assert read_answer(answer).payload == b""
    host.invoke("Waits")
    assert not (tmp_path / "started").exists()


def test_a_function_error_is_a_200_with_a_header(host: RunningHost) -> None:
    answer = host.client.invoke(FunctionName="Raises", Payload=b'{"message": "no luck"}')

    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert read_answer(answer).value["errorMessage"] == "no luck"


def test_a_result_that_looks_like_an_error_is_none(host: RunningHost) -> None:
    event = {"errorMessage": "x", "errorType": "y", "statusCode": 500}

    invoked = host.invoke("Echo", event)

    assert (invoked.error, invoked.value) == (None, event)


# --- log tail, client context ----------------------------------------------------------------


def test_the_log_tail_is_of_this_invocation(host: RunningHost) -> None:
    host.invoke("Prints", {"text": "an earlier line\n"})

    answer = host.client.invoke(
        FunctionName="Prints", LogType="Tail", Payload=b'{"text": "a line\\n"}'
    )

    request_id = read_answer(answer).request_id
    lines = base64.b64decode(answer["LogResult"]).decode().split("\n")
    assert lines[:3] == [
        f"START RequestId: {request_id} Version: $LATEST",
        "a line",
        f"END RequestId: {request_id}",
    ]
    assert lines[3].startswith(f"REPORT RequestId: {request_id}\t")


def test_the_log_tail_is_4_kb_at_most(host: RunningHost) -> None:
    answer = host.client.invoke(FunctionName="Prints", LogType="Tail", Payload=b'{"lines": 5000}')

    read_answer(answer)
    tail = base64.b64decode(answer["LogResult"])
    assert len(tail) == 4096
    assert b"line 4999\nEND RequestId: " in tail


def test_the_log_tail_shows_why_a_function_failed(host: RunningHost) -> None:
    answer = host.client.invoke(FunctionName="Raises", LogType="Tail")

    read_answer(answer)
    assert b"[ERROR] OutOfLuck: no luck today" in base64.b64decode(answer["LogResult"])


def test_a_client_context_reaches_the_function(host: RunningHost) -> None:
    context = {"client": {"app_title": "caf\xe9"}, "custom": {"a": "b"}}
    text = base64.b64encode(json.dumps(context).encode()).decode()

    seen = host.invoke("Context", ClientContext=text).value

    assert (seen["client"], seen["custom"]) == ("caf\xe9", {"a": "b"})


def test_a_client_context_beyond_its_limit_is_refused(host: RunningHost) -> None:
    response = _refused(host.client.invoke, FunctionName="Echo", ClientContext="x" * 3584)

    assert response["Error"]["Code"] == "InvalidParameterValueException"
    assert "3583 bytes" in response["Error"]["Message"]


def test_a_tenant_reaches_the_function(host: RunningHost) -> None:
    assert host.invoke("Published", TenantId="blue/1").value["tenant_id"] == "blue/1"
    assert host.invoke("Published").value["tenant_id"] is None


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "Echo",
        "Echo:$LATEST",
        "000000000000:function:Echo",
        f"{ARN}:Echo",
        f"{ARN}:Echo:$LATEST",
    ],
)
def test_a_function_goes_by_name_partial_arn_and_arn(host: RunningHost, name: str) -> None:
    assert host.invoke(name, 7).value == 7


def test_a_qualifier_may_be_given_beside_the_name(host: RunningHost) -> None:
    assert host.invoke("Echo", 7, Qualifier="$LATEST").value == 7


@pytest.mark.parametrize(("qualifier", "version"), [("live", "1"), ("1", "1")])
def test_an_alias_and_its_version_run_the_code_that_is_there(
    host: RunningHost, qualifier: str, version: str
) -> None:
    answer = host.client.invoke(FunctionName="Published", Qualifier=qualifier)

    assert answer["ExecutedVersion"] == version
    seen = read_answer(answer).value
    assert seen["invoked_function_arn"] == f"{ARN}:Published:{qualifier}"


@pytest.mark.parametrize("name", ["Echo:live", "Echo:1", "Published:2"])
def test_a_qualifier_that_there_is_none_of_is_not_found(host: RunningHost, name: str) -> None:
    response = _refused(host.client.invoke, FunctionName=name)

    assert response["Error"] == {
        "Code": "ResourceNotFoundException",
        "Message": f"Function not found: {ARN}:{name}",
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "arn:aws:lambda:us-east-1:123456789012:function:Echo",
            "Function not found: arn:aws:lambda:us-east-1:123456789012:function:Echo:$LATEST",
        ),
        (
            "arn:aws:lambda:eu-west-1:000000000000:function:Echo",
            "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')",
        ),
    ],
)
def test_functions_of_others_are_not_found(host: RunningHost, name: str, message: str) -> None:
    response = _refused(host.client.invoke, FunctionName=name)

    assert response["Error"] == {"Code": "ResourceNotFoundException", "Message": message}


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"FunctionName": "a b"}, "functionName"),
        ({"FunctionName": "Echo", "Qualifier": "a b"}, "qualifier"),
        ({"FunctionName": "Echo", "InvocationType": "Later"}, "invocationType"),
        ({"FunctionName": "Echo", "LogType": "Head"}, "logType"),
        ({"FunctionName": "Echo", "TenantId": "a;b"}, "tenantId"),
    ],
)
def test_what_the_apis_model_does_not_take_fails_validation(
    host: RunningHost, arguments: dict[str, str], field: str
) -> None:
    response = _refused(host.client.invoke, **arguments)

    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert response["Error"]["Code"] == "ValidationException"
    assert f"at '{field}' failed to satisfy constraint" in response["Error"]["Message"]


def test_a_qualifier_that_contradicts_the_name_is_refused(host: RunningHost) -> None:
    response = _refused(host.client.invoke, FunctionName="Echo:live", Qualifier="7")

    assert response["Error"]["Code"] == "InvalidParameterValueException"


@pytest.mark.parametrize("kind", ["RequestResponse", "Event", "DryRun"])
def test_an_unknown_function_is_not_found(host: RunningHost, kind: Any) -> None:
    with pytest.raises(host.client.exceptions.ResourceNotFoundException) as caught:
        host.client.invoke(FunctionName="doesnotexist", InvocationType=kind)

    response: Any = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert response["Error"]["Message"] == f"Function not found: {ARN}:doesnotexist:$LATEST"
    assert response["Type"] == "User"


# --- limits ----------------------------------------------------------------------------------


def test_a_payload_of_6_mb_arrives_and_one_byte_more_is_too_large(host: RunningHost) -> None:
    fits = read_answer(
        host.client.invoke(FunctionName="Literal", Payload=b'{"value": 1}'.ljust(SYNC_BYTES_MAX))
    )
    assert fits.value == 1

    with pytest.raises(host.client.exceptions.RequestTooLargeException) as caught:
        host.client.invoke(FunctionName="Echo", Payload=_json_text(SYNC_BYTES_MAX + 1))
    response: Any = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert response["Error"]["Message"] == (
        "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    )


def test_a_payload_far_too_large_is_refused_while_it_comes(host: RunningHost) -> None:
    with pytest.raises(host.client.exceptions.RequestTooLargeException):
        host.client.invoke(FunctionName="Echo", Payload=_json_text(20_000_000))


def test_an_event_of_1_mb_is_accepted_and_one_byte_more_is_too_large(host: RunningHost) -> None:
    answer = host.client.invoke(
        FunctionName="Echo", InvocationType="Event", Payload=_json_text(ASYNC_BYTES_MAX)
    )
    assert read_answer(answer).status == 202

    response = _refused(
        host.client.invoke,
        FunctionName="Echo",
        InvocationType="Event",
        Payload=_json_text(ASYNC_BYTES_MAX + 1),
    )
    assert response["Error"] == {
        "Code": "RequestTooLargeException",
        "Message": "1048577 byte payload is too large for the Event invocation type "
        "(limit 1048576 bytes)",
    }


@pytest.mark.parametrize("payload", [b"{", b"text", b"NaN", b"\xff\xfe"])
def test_a_payload_that_is_not_json_is_refused(host: RunningHost, payload: bytes) -> None:
    with pytest.raises(host.client.exceptions.InvalidRequestContentException) as caught:
        host.client.invoke(FunctionName="Echo", Payload=payload)

    response: Any = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert response["Error"]["Message"].startswith(
        "Could not parse request body into json: Could not parse payload into json: "
    )


# --- concurrency -----------------------------------------------------------------------------


def test_at_its_reserved_concurrency_a_function_is_throttled(
    host: RunningHost, tmp_path: Path
) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    with ThreadPoolExecutor(1) as callers:
        running = callers.submit(
            host.invoke, "OnlyOne", {"started": str(started), "until": str(go)}
        )
        wait_until(started.exists, 5, "the first call runs")

        with pytest.raises(host.client.exceptions.TooManyRequestsException) as caught:
            host.client.invoke(FunctionName="OnlyOne")
        go.touch()
        assert running.result().error is None

    response: Any = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    assert response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert response["Type"] == "User"
    assert response["Error"] == {"Code": "TooManyRequestsException", "Message": "Rate Exceeded."}


def test_a_function_of_zero_concurrency_is_switched_off(host: RunningHost) -> None:
    response = _refused(host.client.invoke, FunctionName="SwitchedOff")

    assert response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"


def test_one_caller_after_the_other_is_never_throttled(host: RunningHost) -> None:
    for number in range(300):
        assert host.invoke("EchoOne", number).value == number


def test_at_the_account_limit_a_function_is_throttled(tmp_path: Path) -> None:
    limits = {"account_concurrency": 5}
    started, go = tmp_path / "started", tmp_path / "go"
    with running_host(PROJECTS / "runtime", limits=limits) as host, ThreadPoolExecutor(1) as pool:
        # Two are reserved by two functions, two provisioned for a third; this is the last.
        running = pool.submit(host.invoke, "Waits", {"started": str(started), "until": str(go)})
        wait_until(started.exists, 5, "the first call runs")

        response = _refused(host.client.invoke, FunctionName="Echo")
        go.touch()
        running.result()

    assert response["Reason"] == "ConcurrentInvocationLimitExceeded"


# --- other operations ------------------------------------------------------------------------


def test_functions_are_listed(host: RunningHost) -> None:
    functions = host.client.list_functions()["Functions"]

    echo = next(each for each in functions if each["FunctionName"] == "Echo")
    assert echo["FunctionArn"] == f"{ARN}:Echo"
    assert (echo["Runtime"], echo["Handler"]) == ("python3.11", "results.echo")
    assert (echo["Timeout"], echo["MemorySize"]) == (10, 256)
    assert echo["Description"] == "Returns its event"
    pages = list(host.client.get_paginator("list_functions").paginate())
    assert len(pages) == 1


@pytest.mark.parametrize("name", ["OnlyOne", f"{ARN}:OnlyOne"])
def test_a_function_is_described(host: RunningHost, name: str) -> None:
    described = host.client.get_function(FunctionName=name)

    assert described["Configuration"]["FunctionName"] == "OnlyOne"
    assert described["Concurrency"]["ReservedConcurrentExecutions"] == 1
    assert described["Code"]["Location"].startswith("file:///")


def test_an_unknown_function_is_not_described(host: RunningHost) -> None:
    response = _refused(host.client.get_function, FunctionName="doesnotexist")

    assert response["Error"]["Code"] == "ResourceNotFoundException"
