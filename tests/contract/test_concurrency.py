"""Concurrency as callers see it: boto3 and HTTP on one side, processes on the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError

from local_stack.status import read_functions
from tests.support.host import RunningHost, running_host
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_S = 5.0
TEMPLATE = """\
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.11, Handler: app.handler, CodeUri: code/, Timeout: 20, MemorySize: 256}
Resources:
  Free: {Type: AWS::Serverless::Function, Properties: {FunctionName: Free}}
  Two:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: Two
      ReservedConcurrentExecutions: 2
      Events: {Get: {Type: HttpApi, Properties: {Path: /two, Method: GET}}}
  Shut:
    Type: AWS::Serverless::Function
    Properties: {FunctionName: Shut, ReservedConcurrentExecutions: 0}
  Warm:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: Warm
      AutoPublishAlias: live
      ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 1}
"""
CODE = """\
import os, pathlib, time

def handler(event, context):
    folder = event.get("folder")
    if folder:
        pathlib.Path(folder, context.aws_request_id).touch()
        while not pathlib.Path(folder, "go").exists():
            time.sleep(0.01)
    return {"pid": os.getpid(), "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]}
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    project = tmp_path_factory.mktemp("project")
    (project / "code").mkdir()
    (project / "code" / "app.py").write_text(CODE)
    (project / "template.yaml").write_text(TEMPLATE)
    limits = {"http_wait_seconds": 0.2, "http_waiters": 1, "account_concurrency": 50}
    with running_host(project, limits=limits) as host:
        yield host


def at_once(host: RunningHost, function: str, count: int, folder: Path) -> list[Any]:
    """The answers to `count` invocations that run at the same time."""
    with ThreadPoolExecutor(count) as callers:
        event = {"folder": str(folder)}
        calls = [callers.submit(host.invoke, function, event) for _ in range(count)]
        try:
            wait_until(lambda: len(list(folder.iterdir())) == count, PATIENCE_S, "all of them run")
        finally:
            (folder / "go").touch()
        return [call.result().value for call in calls]


def refusal(host: RunningHost, function: str) -> tuple[int, str]:
    with pytest.raises(host.client.exceptions.TooManyRequestsException) as caught:
        host.invoke(function)
    response: Any = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Reason"]


def test_as_many_environments_run_as_there_are_invocations(
    host: RunningHost, tmp_path: Path
) -> None:
    answers = at_once(host, "Free", 5, tmp_path)

    assert len({answer["pid"] for answer in answers}) == 5
    assert len(host.environments("Free")) == 5


def test_invocations_one_after_another_share_one_environment(host: RunningHost) -> None:
    pids = {host.invoke("Two").value["pid"] for _ in range(5)}

    assert len(pids) == 1


def test_past_the_reserved_concurrency_an_invocation_is_refused(
    host: RunningHost, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(2) as callers:
        event = {"folder": str(tmp_path)}
        calls = [callers.submit(host.invoke, "Two", event) for _ in range(2)]
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2, PATIENCE_S, "both run")

        assert refusal(host, "Two") == (429, "ReservedFunctionConcurrentInvocationLimitExceeded")
        answer = httpx.get(f"{host.http_url}/two", trust_env=False)  # waits a little, and no more
        assert answer.status_code >= 429

        (tmp_path / "go").touch()
        assert all(call.result().error is None for call in calls)


def test_an_http_caller_waits_a_little_at_the_limit(host: RunningHost, tmp_path: Path) -> None:
    (running := tmp_path / "running").mkdir()
    with ThreadPoolExecutor(3) as callers:
        event = {"folder": str(running)}
        calls = [callers.submit(host.invoke, "Two", event) for _ in range(2)]
        wait_until(lambda: len(list(running.iterdir())) == 2, PATIENCE_S, "both run")
        waiting = callers.submit(httpx.get, f"{host.http_url}/two", trust_env=False)
        wait_until(lambda: _function(host, "Two")["waiting"] == 1, PATIENCE_S, "it waits")

        (running / "go").touch()

        assert waiting.result().status_code == 200
        assert all(call.result().error is None for call in calls)


def test_a_reserved_concurrency_of_zero_switches_a_function_off(host: RunningHost) -> None:
    assert refusal(host, "Shut") == (429, "ReservedFunctionConcurrentInvocationLimitExceeded")
    assert host.environments("Shut") == []


def test_past_the_provisioned_concurrency_invocations_run_on_demand(
    host: RunningHost, tmp_path: Path
) -> None:
    answers = at_once(host, "Warm", 2, tmp_path)

    assert sorted(answer["type"] for answer in answers) == ["on-demand", "provisioned-concurrency"]


def test_the_account_keeps_a_part_of_its_concurrency_unreserved(host: RunningHost) -> None:
    with pytest.raises(ClientError) as caught:
        host.client.put_function_concurrency(FunctionName="Free", ReservedConcurrentExecutions=44)

    error = caught.value.response["Error"]
    assert error["Code"] == "InvalidParameterValueException"
    assert "below its minimum value of [5]" in error["Message"]


def test_the_status_shows_environments_limits_and_what_waits(host: RunningHost) -> None:
    host.invoke("Warm")
    status = httpx.get(f"{host.lambda_url}/_local_stack/status", trust_env=False).json()

    shown = {function.name: function for function in read_functions([status, status])}

    assert shown["Two"].limit == 2
    assert shown["Shut"].limit == 0
    assert shown["Free"].limit is None
    warm = shown["Warm"]
    assert (warm.provisioned, warm.waiting, warm.events) == (1, 0, 0)
    assert warm.states["ready"] >= 2  # of two hosts that are the same one
    assert warm.cold_starts >= 2
    assert warm.invocations >= 2
    assert shown["Shut"].throttles >= 0


def _function(host: RunningHost, name: str) -> Any:
    answer = httpx.get(f"{host.lambda_url}/_local_stack/status", trust_env=False)
    return answer.json()["functions"][name]
