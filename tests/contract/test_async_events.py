"""Asynchronous invocations on real hosts: retries, destinations, and hosts that die."""

from __future__ import annotations

import json
import re
import zlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.host import PROJECTS, RunningHost, running_host
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARN = "arn:aws:lambda:us-east-1:000000000000:function"
PROJECT = PROJECTS / "asynchronous"


@pytest.fixture(scope="module")
def quick() -> Iterator[RunningHost]:
    """A host whose minutes are milliseconds."""
    with running_host(PROJECT, async_retry_scale=0.001) as host:
        yield host


def _send(host: RunningHost, function: str, event: dict[str, Any], **options: Any) -> str:
    """Invoke asynchronously; the request id."""
    answer = host.client.invoke(
        FunctionName=function, InvocationType="Event", Payload=json.dumps(event), **options
    )
    assert answer["StatusCode"] == 202
    answer["Payload"].close()
    return answer["ResponseMetadata"]["RequestId"]


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _records(file: Path, count: int = 1) -> list[Any]:
    path = file.with_name(f"{file.name}.records")
    wait_until(lambda: len(_lines(path)) >= count, 10, "the record has come")
    return _lines(path)


def _waiting(host: RunningHost, function: str) -> int:
    answer = httpx.get(f"{host.lambda_url}/_local_stack/status", trust_env=False)
    waiting: int = answer.json()["functions"][function]["events"]
    return waiting


# --- destinations ------------------------------------------------------------------------------


def test_a_result_is_sent_to_the_function_that_wants_it(quick: RunningHost, tmp_path: Path) -> None:
    event = {"file": str(tmp_path / "notes")}

    request_id = _send(quick, "Works", event)

    [record] = _records(tmp_path / "notes")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("timestamp"))
    assert record == {
        "version": "1.0",
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{ARN}:Works:$LATEST",
            "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": {"noted": event["file"]},
    }


def test_a_record_names_the_alias_that_was_invoked(quick: RunningHost, tmp_path: Path) -> None:
    _send(quick, "Works", {"file": str(tmp_path / "notes")}, Qualifier="live")

    [record] = _records(tmp_path / "notes")
    assert record["requestContext"]["functionArn"] == f"{ARN}:Works:live"
    assert record["responseContext"]["executedVersion"] == "1"
    [note] = _lines(tmp_path / "notes")
    assert note["arn"] == f"{ARN}:Works:live"


def test_a_failure_is_retried_under_its_request_id_and_then_told(
    quick: RunningHost, tmp_path: Path
) -> None:
    request_id = _send(quick, "Fails", {"file": str(tmp_path / "notes")})

    [record] = _records(tmp_path / "notes")
    assert [note["id"] for note in _lines(tmp_path / "notes")] == [request_id] * 2
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorType"] == "ValueError"
    assert record["responsePayload"]["requestId"] == request_id


def test_what_is_switched_off_tells_so_without_a_response(
    quick: RunningHost, tmp_path: Path
) -> None:
    _send(quick, "SwitchedOff", {"file": str(tmp_path / "notes")})

    [record] = _records(tmp_path / "notes")
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert not {"responseContext", "responsePayload"} & set(record)


def test_events_of_a_limited_function_run_one_after_the_other(
    quick: RunningHost, tmp_path: Path
) -> None:
    sent = [_send(quick, "OneByOne", {"file": str(tmp_path / "notes")}) for _ in range(20)]

    wait_until(lambda: len(_lines(tmp_path / "notes")) == len(sent), 10, "all have run")
    assert [note["id"] for note in _lines(tmp_path / "notes")] == sent
    assert 'lambda_throttles_total{function="OneByOne"} ' not in quick.metrics() or (
        'lambda_throttles_total{function="OneByOne"} 0.0' in quick.metrics()
    )


def test_a_loop_of_functions_is_ended(quick: RunningHost, tmp_path: Path) -> None:
    url = f"{quick.lambda_url}/2015-03-31/functions/Notes/invocations"
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793"
    payload = json.dumps({"file": str(tmp_path / "notes")})

    answers = [
        httpx.post(
            url,
            content=payload,
            headers={
                "X-Amzn-Trace-Id": f"{trace};Lineage=9c9bb1a0:{count}|{_name('Notes')}:{count}"
            },
            trust_env=False,
        )
        for count in (15, 16)
    ]

    assert [answer.status_code for answer in answers] == [200, 400]
    assert answers[1].headers["x-amzn-errortype"] == "RecursiveInvocationException"
    assert len(_lines(tmp_path / "notes")) == 1


def _name(function: str) -> str:

    return f"{zlib.crc32(function.encode()):08x}"


# --- hosts that die ------------------------------------------------------------------------------


def test_accepted_events_survive_kill_9_and_all_of_them_run(tmp_path: Path) -> None:
    go, notes, failures = tmp_path / "go", tmp_path / "notes", tmp_path / "failures"
    with running_host(PROJECT, async_retry_scale=0.02) as host:  # a minute is 1.2 s
        event = {"file": str(notes), "until": str(go)}
        sent = {_send(host, "OneByOne", event) for _ in range(30)}
        failing = _send(host, "Fails", {"file": str(failures)})
        wait_until(lambda: "events_retried_total{" in host.metrics(), 10, "a retry is to come")

        host.kill()
        assert _lines(notes) == []
        host.start(anew=False)
        assert _waiting(host, "OneByOne") == 30
        go.touch()

        wait_until(lambda: len(_lines(notes)) >= 30, 20, "all have run")
        assert {note["id"] for note in _lines(notes)} == sent
        [record] = _records(failures)
        assert record["requestContext"]["requestId"] == failing
        assert [note["id"] for note in _lines(failures)] == [failing] * 2
        wait_until(lambda: "async_events_waiting 0.0" in host.metrics(), 5, "nothing waits")
