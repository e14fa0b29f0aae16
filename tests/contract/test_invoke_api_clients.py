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
            return (await client(function, payload)).payload
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

    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},  # a name whose DNS points here
        {"Host": "evil.example:4566"},
    ):
        response = httpx.post(url, content=payload, headers=headers, trust_env=False)
        assert response.status_code == 403
        assert response.headers["x-amzn-errortype"] == "AccessDeniedException"
        response = httpx.get(
            f"{host.lambda_url}/_local_stack/status", headers=headers, trust_env=False
        )
        assert response.status_code == 403

    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("name", ["localhost", "lambda.localhost:4566", "[::1]", "place-bet"])
def test_names_of_loopback_and_those_that_are_allowed_may_be_asked(
    host: RunningHost, name: str
) -> None:
    url = f"{host.lambda_url}/2015-03-31/functions/Echo/invocations"

    assert httpx.post(url, headers={"Host": name}, trust_env=False).status_code == 200


# --- bodies that other clients send --------------------------------------------------------------


def test_a_body_in_chunks_is_a_payload(host: RunningHost) -> None:
    url = f"{host.lambda_url}/2015-03-31/functions/Echo/invocations"

    response = httpx.post(url, content=iter([b'{"a": ', b"1}"]), trust_env=False)

    assert response.request.headers["transfer-encoding"] == "chunked"
    assert response.json() == {"a": 1}


def test_a_request_without_body_and_length_is_one_with_an_empty_object(host: RunningHost) -> None:
    head = b"POST /2015-03-31/functions/Echo/invocations HTTP/1.1\r\nhost: 127.0.0.1\r\n"

    with socket.create_connection(("127.0.0.1", host.lambda_port)) as connection:
        connection.sendall(head + b"connection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n{}")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "x"])
def test_the_content_type_of_a_payload_means_nothing(host: RunningHost, content_type: str) -> None:
    url = f"{host.lambda_url}/2015-03-31/functions/Echo/invocations"

    response = httpx.post(
        url, content=b"[1]", headers={"Content-Type": content_type}, trust_env=False
    )

    assert (response.status_code, response.content) == (200, b"[1]")


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
