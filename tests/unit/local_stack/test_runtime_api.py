"""One connection of a runtime: what is read from it, what is answered, and what cannot be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from local_stack.environments.state import State
from local_stack.runtime_api.init_error import valid_error_type
from local_stack.runtime_api.listener import RuntimeApi
from tests.fakes.environments import make_invocation
from tests.support.environment_world import EnvironmentWorld
from tests.support.virtual_time import virtual_time

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from local_stack.environments.invocation import Invocation

RUNTIME = "/2018-06-01/runtime"


class Wire:
    """The host's end of a connection; keeps what is written to it."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        self.closed = True

    def take(self) -> tuple[int, dict[str, str], bytes]:
        """The answer that was written, and nothing is there any more."""
        head, _, body = self.data.partition(b"\r\n\r\n")
        self.data = b""
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        assert int(headers["Content-Length"]) == len(body)
        return int(status.split()[1]), headers, body

    def error(self) -> tuple[int, Any]:
        status, _, body = self.take()
        return status, json.loads(body)["errorType"]


class Connection:
    """A runtime's connection to the Runtime API of an environment."""

    def __init__(self, world: EnvironmentWorld) -> None:
        self.wire = Wire()
        self.api = RuntimeApi(world.environment)
        self.api.connection_made(cast("asyncio.BaseTransport", self.wire))

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        names = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{names}Content-Length: {len(body)}\r\n\r\n"
        self.api.data_received(head.encode() + body)

    def next(self) -> None:
        self.send("GET", f"{RUNTIME}/invocation/next")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[EnvironmentWorld]:
    with virtual_time(monkeypatch) as loop:
        yield EnvironmentWorld(loop)


@pytest.fixture
def runtime(world: EnvironmentWorld) -> Connection:
    return Connection(world)


def _invoke(world: EnvironmentWorld, **fields: Any) -> Invocation:
    invocation = make_invocation(world.loop, "the-id")
    for name, value in fields.items():
        setattr(invocation, name, value)
    world.environment.invoke(invocation)
    return invocation


def test_the_answer_to_next_has_every_header(world: EnvironmentWorld, runtime: Connection) -> None:
    runtime.next()
    invocation = _invoke(
        world,
        trace_id="Root=1-2-3",
        client_context='{\n  "custom": {}\r\n}',
        qualifier="live",
        tenant_id="blue",
    )

    status, headers, body = runtime.wire.take()

    assert (status, body) == (200, b"{}")
    assert headers == {
        "Content-Type": "application/json",
        "Content-Length": "2",
        "Lambda-Runtime-Aws-Request-Id": "the-id",
        "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
        "Lambda-Runtime-Invoked-Function-Arn": f"{world.function.arn}:live",
        "Lambda-Runtime-Trace-Id": "Root=1-2-3",
        "Lambda-Runtime-Client-Context": '{   "custom": {} }',
        "Lambda-Runtime-Aws-Tenant-Id": "blue",
    }


def test_what_was_not_given_has_no_header(world: EnvironmentWorld, runtime: Connection) -> None:
    runtime.next()
    _invoke(world)

    _, headers, _ = runtime.wire.take()

    assert headers["Lambda-Runtime-Invoked-Function-Arn"] == world.function.arn
    assert not {"Lambda-Runtime-Client-Context", "Lambda-Runtime-Aws-Tenant-Id"} & set(headers)


def test_results_and_errors_are_accepted(world: EnvironmentWorld, runtime: Connection) -> None:
    for action, error in (("response", None), ("error", "Unhandled")):
        runtime.next()
        invocation = _invoke(world)
        runtime.wire.take()
        runtime.send("POST", f"{RUNTIME}/invocation/the-id/{action}", b'"x"')

        status, _, body = runtime.wire.take()

        assert (status, json.loads(body)) == (202, {"status": "OK"})
        outcome = invocation.done.result()
        assert (outcome.payload, outcome.function_error) == (b'"x"', error)


@pytest.mark.parametrize("action", ["response", "error"])
@pytest.mark.parametrize("more", [0, 1])
def test_the_largest_answer_is_taken_and_one_byte_more_is_not(
    world: EnvironmentWorld, runtime: Connection, action: str, more: int
) -> None:
    runtime.next()
    invocation = _invoke(world)
    runtime.wire.take()

    runtime.send("POST", f"{RUNTIME}/invocation/the-id/{action}", b"x" * (6_291_556 + more))

    payload = invocation.done.result().payload
    if more:
        assert runtime.wire.error() == (413, "RequestEntityTooLarge")
        assert json.loads(payload)["errorType"] == "Function.ResponseSizeTooLarge"
    else:
        assert runtime.wire.take()[0] == 202
        assert len(payload) == 6_291_556
    runtime.next()
    assert world.state() is State.READY


@pytest.mark.parametrize(
    ("sent", "reported"),
    [
        ("Runtime.ImportModuleError", "Runtime.ImportModuleError"),
        ("Function.Odd", "Function.Odd"),
        ("Function.", "Function.Unknown"),
        ("ValueError", "Runtime.Unknown"),
        ("", "Runtime.Unknown"),
    ],
)
def test_an_init_error_has_the_type_that_lambda_lets_pass(
    world: EnvironmentWorld, runtime: Connection, sent: str, reported: str
) -> None:
    assert valid_error_type(sent) == reported

    header = {"Lambda_Runtime_Function_Error_Type": sent}
    runtime.send("POST", f"{RUNTIME}/init/error", b"{}", **header)

    assert runtime.wire.take()[0] == 202
    assert world.log.endswith(f"\tStatus: error\tError Type: {reported}\n")


def test_a_defect_of_ours_is_logged_and_answered_500(
    world: EnvironmentWorld, runtime: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.next()
    invocation = _invoke(world)
    runtime.wire.take()

    def breaks(request_id: str, payload: bytes) -> None:
        msg = f"no good for {request_id} {payload!r}"
        raise KeyError(msg)

    world.environment.responded = breaks  # type: ignore[method-assign]
    runtime.send("POST", f"{RUNTIME}/invocation/the-id/response", b"null")

    assert runtime.wire.error() == (500, "InternalServerError")
    assert "Traceback" in caplog.text
    assert "no good for the-id" in caplog.text
    # The runtime dies of it, and its caller hears so: nothing is lost in silence.
    world.runtime.exit(1)
    assert world.error_of(invocation.done.result())["errorType"] == "Runtime.ExitError"
    assert world.state() is State.COLD


def test_what_a_process_said_before_its_end_is_not_taken_for_the_next_ones(
    world: EnvironmentWorld, runtime: Connection
) -> None:
    runtime.next()
    _invoke(world)
    runtime.wire.take()
    world.runtime.exit(-9)
    _invoke(world)
    world.loop.settle()

    runtime.next()

    assert runtime.wire.error() == (403, "InvalidStateTransition")
    assert world.state() is State.RESTARTING
    other = Connection(world)
    other.next()
    assert other.wire.take()[0] == 200


def test_what_is_no_http_is_refused_and_the_connection_closed(runtime: Connection) -> None:
    runtime.api.data_received(b"\x00\x01 nonsense\r\n\r\n")

    assert runtime.wire.error() == (400, "InvalidRequest")
    assert runtime.wire.closed


def test_a_client_that_asks_first_is_told_to_go_on(
    world: EnvironmentWorld, runtime: Connection
) -> None:
    runtime.next()
    _invoke(world)
    runtime.wire.take()

    head = f"POST {RUNTIME}/invocation/the-id/response HTTP/1.1\r\nHost: x\r\n"
    runtime.api.data_received(f"{head}Expect: 100-continue\r\nContent-Length: 1\r\n\r\n".encode())
    assert runtime.wire.data == b"HTTP/1.1 100 Continue\r\n\r\n"
    runtime.wire.data = b""
    runtime.api.data_received(b"1")

    assert runtime.wire.take()[0] == 202
