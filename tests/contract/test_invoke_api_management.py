"""Operations of the Lambda API beside Invoke, as boto3 sees them; and the one limit that is set."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.host import PROJECTS, RunningHost, running_hosts
from tests.support.service_model import assert_fits, lambda_model
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARN = "arn:aws:lambda:us-east-1:000000000000:function"
SUPPORTED = {
    *("Invoke", "ListFunctions", "GetFunction", "GetFunctionConfiguration"),
    *("GetFunctionConcurrency", "PutFunctionConcurrency", "DeleteFunctionConcurrency"),
    *("GetFunctionEventInvokeConfig", "ListVersionsByFunction", "ListAliases", "GetAlias"),
    *("ListEventSourceMappings", "GetEventSourceMapping"),
}


@pytest.fixture(scope="module")
def pair() -> Iterator[list[RunningHost]]:
    """Two hosts of one stack; what a test changes, it changes back."""
    with running_hosts(2, PROJECTS / "asynchronous") as hosts:
        yield hosts


def _refused(call: Any, **arguments: Any) -> Any:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response


def _body(answer: Any) -> dict[str, Any]:
    """An answer of boto3 without what is about the request."""
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def _raw(host: RunningHost, path: str) -> Any:
    response = httpx.get(f"{host.lambda_url}{path}", trust_env=False)
    assert response.status_code == 200, response.text
    return response.json()


# --- functions -----------------------------------------------------------------------------------


def test_functions_are_listed_in_pages(pair: list[RunningHost]) -> None:
    client = pair[0].client
    pages = list(client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 3}))

    names = [function["FunctionName"] for page in pages for function in page["Functions"]]
    assert names == sorted(
        ["Collects", "Fails", "Notes", "OneByOne", "SwitchedOff", "ToTopic", "Works"]
    )
    assert [len(page["Functions"]) for page in pages] == [3, 3, 1]


def test_all_versions_are_listed_when_they_are_asked_for(pair: list[RunningHost]) -> None:
    functions = pair[0].client.list_functions(FunctionVersion="ALL")["Functions"]

    arns = [each["FunctionArn"] for each in functions if each["FunctionName"] == "Works"]
    assert arns == [f"{ARN}:Works:$LATEST", f"{ARN}:Works:1"]


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("ListFunctions", "/2015-03-31/functions/"),
        ("GetFunction", "/2015-03-31/functions/Works"),
        ("GetFunctionConfiguration", "/2015-03-31/functions/Works/configuration"),
        ("GetFunctionConcurrency", "/2019-09-30/functions/SwitchedOff/concurrency"),
        ("GetFunctionEventInvokeConfig", "/2019-09-25/functions/Fails/event-invoke-config"),
        ("ListVersionsByFunction", "/2015-03-31/functions/Works/versions"),
        ("ListAliases", "/2015-03-31/functions/Works/aliases"),
        ("GetAlias", "/2015-03-31/functions/Works/aliases/live"),
        ("ListEventSourceMappings", "/2015-03-31/event-source-mappings/"),
    ],
)
def test_an_answer_has_the_shape_of_the_apis_model(
    pair: list[RunningHost], operation: str, path: str
) -> None:
    body = _raw(pair[0], path)

    assert body
    assert_fits(operation, body)


@pytest.mark.parametrize(
    ("qualifier", "version"), [("$LATEST", "$LATEST"), ("live", "1"), ("1", "1")]
)
def test_a_qualified_function_is_described(
    pair: list[RunningHost], qualifier: str, version: str
) -> None:
    client = pair[0].client

    beside = client.get_function_configuration(FunctionName="Works", Qualifier=qualifier)
    inside = client.get_function(FunctionName=f"Works:{qualifier}")["Configuration"]

    assert (beside["Version"], inside["Version"]) == (version, version)
    assert beside["FunctionArn"] == inside["FunctionArn"] == f"{ARN}:Works:{qualifier}"


def test_aliases_and_retries_are_shown(pair: list[RunningHost]) -> None:
    client = pair[0].client

    [alias] = client.list_aliases(FunctionName="Works")["Aliases"]
    assert (alias["Name"], alias["FunctionVersion"]) == ("live", "1")
    assert _body(client.get_alias(FunctionName="Works", Name="live")) == alias
    assert client.list_aliases(FunctionName="Notes")["Aliases"] == []
    config = client.get_function_event_invoke_config(FunctionName="Fails")
    assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (1, 3600)
    assert config["DestinationConfig"]["OnFailure"] == {"Destination": f"{ARN}:Collects"}


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("get_function", {"FunctionName": "nobody"}, f"Function not found: {ARN}:nobody"),
        (
            "get_function_configuration",
            {"FunctionName": "Notes", "Qualifier": "live"},
            f"Function not found: {ARN}:Notes:live",
        ),
        (
            "get_alias",
            {"FunctionName": "Works", "Name": "old"},
            f"Cannot find alias arn: {ARN}:Works:old",
        ),
        (
            "get_function_event_invoke_config",
            {"FunctionName": "Notes"},
            f"The function {ARN}:Notes:$LATEST doesn't have an EventInvokeConfig",
        ),
        (
            "get_event_source_mapping",
            {"UUID": "0" * 36},
            "The resource you requested does not exist.",
        ),
    ],
)
def test_what_there_is_not_is_not_found(
    pair: list[RunningHost], method: str, arguments: dict[str, str], message: str
) -> None:
    response = _refused(getattr(pair[0].client, method), **arguments)

    assert response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert response["Error"] == {"Code": "ResourceNotFoundException", "Message": message}


# --- event source mappings -------------------------------------------------------------------------


def test_mappings_are_listed_in_pages_and_found_by_their_id(pair: list[RunningHost]) -> None:
    client = pair[0].client
    paginator = client.get_paginator("list_event_source_mappings")
    pages = list(
        paginator.paginate(FunctionName=f"{ARN}:ToTopic", PaginationConfig={"PageSize": 1})
    )

    mappings = [each for page in pages for each in page["EventSourceMappings"]]
    assert sorted(each["Topics"] for each in mappings) == [["bets"], ["games"]]
    for mapping in mappings:
        found = _body(pair[1].client.get_event_source_mapping(UUID=mapping["UUID"]))
        assert found == mapping
    assert client.list_event_source_mappings(FunctionName="Notes")["EventSourceMappings"] == []
    others = client.list_event_source_mappings(EventSourceArn="arn:aws:kafka:us-east-1:0:x")
    assert others["EventSourceMappings"] == []


# --- concurrency -----------------------------------------------------------------------------------


def test_a_limit_is_set_on_every_host_and_holds_after_a_restart(
    pair: list[RunningHost], tmp_path: Path
) -> None:
    first, second = pair
    answer = first.client.put_function_concurrency(
        FunctionName="Notes", ReservedConcurrentExecutions=1
    )
    assert _body(answer) == {"ReservedConcurrentExecutions": 1}
    for host in pair:
        assert _body(host.client.get_function_concurrency(FunctionName="Notes")) == _body(answer)
        described = host.client.get_function(FunctionName="Notes")
        assert described["Concurrency"] == _body(answer)

    second.kill()
    second.start(anew=False)

    event = {"file": str(tmp_path / "notes"), "until": str(tmp_path / "go")}
    with ThreadPoolExecutor(1) as callers:
        running = callers.submit(second.invoke, "Notes", event)
        wait_until(lambda: _busy(second, "Notes"), 5, "one runs")
        response = _refused(second.client.invoke, FunctionName="Notes", Payload=b"{}")
        (tmp_path / "go").touch()
        assert running.result().error is None
    assert response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"

    second.client.delete_function_concurrency(FunctionName="Notes")
    for host in pair:
        assert _body(host.client.get_function_concurrency(FunctionName="Notes")) == {}


def _busy(host: RunningHost, function: str) -> bool:
    return any(each["state"] == "busy" for each in host.environments(function))


def test_a_limit_of_zero_switches_a_function_off_and_on_again(pair: list[RunningHost]) -> None:
    client = pair[0].client
    client.put_function_concurrency(FunctionName="Notes", ReservedConcurrentExecutions=0)
    refused = [_refused(host.client.invoke, FunctionName="Notes") for host in pair]
    client.delete_function_concurrency(FunctionName="Notes")

    assert {each["Error"]["Code"] for each in refused} == {"TooManyRequestsException"}
    assert pair[1].invoke("Notes").error == "Unhandled"  # it runs, and misses its file


@pytest.mark.parametrize(
    ("name", "limit", "code", "message"),
    [
        ("nobody", 1, "ResourceNotFoundException", f"Function not found: {ARN}:nobody"),
        ("Works:live", 1, "InvalidParameterValueException", "This operation is permitted on"),
        ("Notes", 901, "InvalidParameterValueException", "below its minimum value of [100]"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(
    pair: list[RunningHost], name: str, limit: int, code: str, message: str
) -> None:
    response = _refused(
        pair[0].client.put_function_concurrency,
        FunctionName=name,
        ReservedConcurrentExecutions=limit,
    )

    assert response["Error"]["Code"] == code
    assert message in response["Error"]["Message"]


def test_a_limit_below_what_is_provisioned_is_refused(host: RunningHost) -> None:
    response = _refused(
        host.client.put_function_concurrency,
        FunctionName="Provisioned",
        ReservedConcurrentExecutions=1,
    )

    assert response["Error"]["Code"] == "InvalidParameterValueException"
    assert response["Error"]["Message"].endswith("provisioned concurrency [2].")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"ReservedConcurrentExecutions": "1"}'])
def test_a_limit_that_is_no_number_is_refused(pair: list[RunningHost], body: bytes) -> None:
    url = f"{pair[0].lambda_url}/2017-10-31/functions/Notes/concurrency"

    response = httpx.put(url, content=body, trust_env=False)

    assert response.status_code == 400
    assert response.headers["x-amzn-errortype"] == "InvalidRequestContentException"


# --- what is not done ------------------------------------------------------------------------------


def _value(shape: Any) -> Any:
    """The smallest value that boto3 takes for a required member."""
    kind = shape.type_name
    if kind == "structure":
        return {name: _value(shape.members[name]) for name in shape.required_members}
    if kind == "list":
        return [_value(shape.member)]
    if kind == "string":
        allowed = shape.metadata.get("enum")
        return allowed[0] if allowed else "a" * max(1, shape.metadata.get("min", 1))
    values = {"map": {}, "blob": b"a", "boolean": True}
    return values.get(kind, max(1, shape.metadata.get("min", 1)))


@pytest.mark.parametrize("operation", sorted(set(lambda_model().operation_names) - SUPPORTED))
def test_an_operation_that_is_not_done_is_refused_by_its_name(
    pair: list[RunningHost], operation: str
) -> None:
    shape = lambda_model().operation_model(operation).input_shape
    client = pair[0].client
    [method] = [
        python for python, name in client.meta.method_to_api_mapping.items() if name == operation
    ]

    response = _refused(getattr(client, method), **(_value(shape) if shape else {}))

    assert response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert response["Error"] == {
        "Code": "UnsupportedOperation",
        "Message": f"{operation} is not supported by this runtime",
    }
