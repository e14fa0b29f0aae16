"""Other clients of the Lambda API: localstack-client, the event sources, and who is none."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING

import httpx
import localstack_client.session  # type: ignore[import-untyped]
import pytest

from local_stack.triggers.client import InvokeClient, InvokeFailed
from tests.support.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.host import RunningHost


# --- localstack-client -----------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "LOCALSTACK_HOST"])
def test_localstack_client_needs_no_more_than_an_address(
    host: RunningHost, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    if variable == "AWS_ENDPOINT_URL":
        monkeypatch.setenv(variable, host.lambda_url)
    else:
        monkeypatch.setenv(variable, f"127.0.0.1:{host.lambda_port}")
        monkeypatch.setenv("EDGE_PORT", str(host.lambda_port))
    client = localstack_client.session.Session().client("lambda")

    answer = client.invoke(FunctionName="Echo", Payload=b'{"a": 1}')

    assert json.loads(answer["Payload"].read()) == {"a": 1}
    answer["Payload"].close()
    client.close()


# --- the client of the event sources ---------------------------------------------------------


def _invoke(url: str, function: str, payload: bytes) -> bytes:
    async def main() -> bytes:
        client = InvokeClient.at(url)
        try:
            return await client(function, payload)
        finally:
            await client.http.aclose()

    return asyncio.run(main())


def test_an_event_source_gets_the_result(host: RunningHost) -> None:
    assert json.loads(_invoke(host.lambda_url, "Echo", b'{"a": 1}')) == {"a": 1}


@pytest.mark.parametrize(
    ("function", "payload", "function_error", "message"),
    [
        ("Raises", b'{"message": "no luck"}', True, "OutOfLuck: no luck"),
        ("Exits", b"{}", True, "Runtime.ExitError: RequestId: "),
        ("SwitchedOff", b"{}", False, "429 "),
        ("doesnotexist", b"{}", False, "404 "),
        ("Echo", b"{", False, "400 "),
    ],
)
def test_an_event_source_hears_whose_fault_it_was(
    host: RunningHost, function: str, payload: bytes, message: str, *, function_error: bool
) -> None:
    with pytest.raises(InvokeFailed) as caught:
        _invoke(host.lambda_url, function, payload)

    assert caught.value.function_error == function_error
    assert str(caught.value).startswith(message)


def test_an_event_source_hears_that_nobody_is_there() -> None:
    with pytest.raises(
        InvokeFailed, match="the Lambda API does not answer: ConnectError"
    ) as caught:
        _invoke(f"http://127.0.0.1:{free_port()}", "Echo", b"{}")

    assert not caught.value.function_error


# --- what is no client of ours ---------------------------------------------------------------


def test_what_a_browser_page_could_send_is_refused(host: RunningHost, tmp_path: Path) -> None:
    url = f"{host.lambda_url}/2015-03-31/functions/Waits/invocations"
    payload = json.dumps({"started": str(tmp_path / "started")})

    for origin in ("https://evil.example", "null"):
        response = httpx.post(url, content=payload, headers={"Origin": origin}, trust_env=False)
        assert response.status_code == 403
        assert response.json()["Message"] == "Requests from web pages are refused."

    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("path", ["/", "/2015-03-31", "/_local_stack/nothing", "/%00"])
def test_an_unknown_path_is_not_supported(host: RunningHost, path: str) -> None:
    response = httpx.get(f"{host.lambda_url}{path}", trust_env=False)

    assert response.status_code == 501
    assert response.headers["x-amzn-errortype"] == "UnsupportedOperation"


def test_a_payload_that_never_came_whole_is_not_run(host: RunningHost, tmp_path: Path) -> None:
    payload = json.dumps({"started": str(tmp_path / "started")}).encode()
    head = b"POST /2015-03-31/functions/Waits/invocations HTTP/1.1\r\nhost: a\r\n"

    with socket.create_connection(("127.0.0.1", host.lambda_port)) as connection:
        connection.sendall(head + b"content-length: %d\r\n\r\n" % (len(payload) + 1) + payload)

    host.invoke("Waits")
    assert not (tmp_path / "started").exists()


def test_a_host_tells_about_itself(host: RunningHost) -> None:
    host.invoke("Echo")

    status = httpx.get(f"{host.lambda_url}/_local_stack/status", trust_env=False).json()

    assert status["host"] == 1
    echo = status["functions"]["Echo"]
    assert (echo["waiting"], echo["limit"]) == (0, None)
    assert {"pid", "state", "invocations"} == set(echo["environments"][0])
    assert status["functions"]["OnlyOne"]["limit"] == 1
