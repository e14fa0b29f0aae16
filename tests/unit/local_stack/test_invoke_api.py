"""The Lambda API without a socket: names, headers, limits, answers and error bodies."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from local_stack import errors
from local_stack.environments.invocation import (
    Outcome,
    exit_payload,
    timeout_payload,
    too_large_payload,
)
from local_stack.triggers.invoke_api.errors import error_answer
from local_stack.triggers.invoke_api.event import (
    ASYNC_BYTES_MAX,
    CLIENT_CONTEXT_BYTES_MAX,
    SYNC_BYTES_MAX,
    function_name,
    read_invoke,
)
from local_stack.triggers.invoke_api.outcome import (
    function_answer,
    functions_answer,
    invoke_answer,
)
from tests.support.functions import a_function

ARN = "arn:aws:lambda:us-east-1:000000000000:function"


@pytest.mark.parametrize(
    "raw",
    [
        "PlaceBet",
        "PlaceBet:$LATEST",
        "PlaceBet:live",
        "PlaceBet%3A%24LATEST",
        "function:PlaceBet",
        "000000000000:function:PlaceBet",
        "000000000000:function:PlaceBet:7",
        f"{ARN}:PlaceBet",
        f"{ARN}:PlaceBet:$LATEST",
        "arn:aws-cn:lambda:cn-north-1:123456789012:function:PlaceBet",
        "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:PlaceBet:live",
        f"{ARN}:PlaceBet".replace(":", "%3A"),
    ],
)
def test_a_function_goes_by_name_partial_arn_and_arn(raw: str) -> None:
    assert function_name(raw) == "PlaceBet"


@pytest.mark.parametrize("raw", ["a b", "a/b", "a:b:c", "", "arn:aws:s3:::bucket", "x" * 141])
def test_what_is_no_name_names_no_function(raw: str) -> None:
    with pytest.raises(errors.FunctionNotFound):
        function_name(raw)


def test_a_name_of_140_characters_is_one() -> None:
    assert function_name("x" * 140) == "x" * 140


def test_the_qualifier_agrees_with_the_name() -> None:
    assert function_name("PlaceBet:live", "live") == "PlaceBet"
    assert function_name("PlaceBet", "live") == "PlaceBet"
    with pytest.raises(errors.InvalidParameter, match="does not match the specified qualifier"):
        function_name("PlaceBet:live", "7")


def test_an_invocation_is_synchronous_unless_it_says_otherwise() -> None:
    request = read_invoke("F", {"x-amzn-trace-id": "Root=1"}, "", b'{"a": 1}')

    assert request.function == "F"
    assert request.invocation_type == "RequestResponse"
    assert request.payload == b'{"a": 1}'
    assert (request.want_tail, request.client_context) == (False, None)
    assert request.trace_id == "Root=1"


def test_an_empty_payload_is_an_empty_object() -> None:
    assert read_invoke("F", {}, "", b"").payload == b"{}"


@pytest.mark.parametrize("kind", ["RequestResponse", "Event", "DryRun"])
def test_every_invocation_type_is_read(kind: str) -> None:
    headers = {
        "x-amz-invocation-type": kind,
        "x-amz-log-type": "Tail",
        "x-amz-client-context": "e30=",
    }

    request = read_invoke("F", headers, "", b"1")

    assert request.invocation_type == kind
    # Tail and client context are for synchronous invocations only.
    assert request.want_tail == (kind == "RequestResponse")
    assert request.client_context == ("e30=" if kind == "RequestResponse" else None)


def test_an_unknown_invocation_type_is_refused() -> None:
    with pytest.raises(errors.InvalidParameter, match="Value 'Later' at 'invocationType'"):
        read_invoke("F", {"x-amz-invocation-type": "Later"}, "", b"")


@pytest.mark.parametrize(
    ("kind", "limit"),
    [("RequestResponse", SYNC_BYTES_MAX), ("DryRun", SYNC_BYTES_MAX), ("Event", ASYNC_BYTES_MAX)],
)
def test_a_payload_at_its_limit_is_taken_and_one_byte_more_is_refused(
    kind: str, limit: int
) -> None:
    headers = {"x-amz-invocation-type": kind}
    payload = b'"' + b"x" * (limit - 2) + b'"'

    assert len(read_invoke("F", headers, "", payload).payload) == limit
    expected = (
        f"{limit + 1} byte payload is too large for the {kind} invocation type"
        rf" \(limit {limit} bytes\)"
    )
    with pytest.raises(errors.PayloadTooLarge, match=expected):
        read_invoke("F", headers, "", payload + b" ")


def test_a_client_context_at_its_limit_is_taken_and_one_byte_more_is_refused() -> None:
    context = "x" * CLIENT_CONTEXT_BYTES_MAX

    assert read_invoke("F", {"x-amz-client-context": context}, "", b"").client_context == context
    with pytest.raises(errors.InvalidParameter, match="no more than 3583 bytes"):
        read_invoke("F", {"x-amz-client-context": context + "x"}, "", b"")


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b"'a'",
        b"{a: 1}",
        b"\xff",
        '{"a": 1}'.encode("utf-16"),
        b"NaN",
        b"[Infinity]",
        b"1 2",
        b"[" * 100_000,
    ],
)
def test_a_payload_that_is_not_json_is_refused(payload: bytes) -> None:
    with pytest.raises(
        errors.InvalidPayload,
        match=r"^Could not parse request body into json: Could not parse payload into json: ",
    ):
        read_invoke("F", {}, "", payload)


@pytest.mark.parametrize("payload", [b"null", b"0", b'""', b"[]", b" {} ", b'"\\ud800"', b"1e400"])
def test_any_json_is_a_payload_and_stays_as_it_is(payload: bytes) -> None:
    assert read_invoke("F", {}, "", payload).payload == payload


# --- answers ---------------------------------------------------------------------------------


def test_a_result_is_answered_as_it_is() -> None:
    status, headers, body = invoke_answer(Outcome("the-id", b"null"), want_tail=False)

    assert (status, body) == (200, b"null")
    assert headers == {"X-Amz-Executed-Version": "$LATEST", "x-amzn-RequestId": "the-id"}


def test_a_function_error_is_a_200_with_a_header() -> None:
    outcome = Outcome("the-id", b"{}", "Unhandled", log_tail=b"\xff log")

    status, headers, _ = invoke_answer(outcome, want_tail=True)

    assert status == 200
    assert headers["X-Amz-Function-Error"] == "Unhandled"
    assert base64.b64decode(headers["X-Amz-Log-Result"]) == b"\xff log"


def test_a_function_is_shown_without_the_values_of_its_variables() -> None:
    function = a_function(
        "PlaceBet",
        variables={"DATABASE_URL": "postgresql://secret"},
        reserved_concurrency=5,
        code_dir=Path("/srv/a b"),
        timeout_s=10.0,
        description="GET /a",
    )

    text = function_answer(function)
    shown = json.loads(text)

    assert b"secret" not in text
    assert shown["Configuration"]["FunctionArn"] == f"{ARN}:PlaceBet"
    assert shown["Configuration"]["Timeout"] == 10
    assert shown["Concurrency"] == {"ReservedConcurrentExecutions": 5}
    assert shown["Code"]["Location"] == "file:///srv/a%20b"
    assert json.loads(functions_answer([function])) == {"Functions": [shown["Configuration"]]}


def test_a_function_without_a_limit_shows_none() -> None:
    assert "Concurrency" not in json.loads(function_answer(a_function()))


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "code", "kind"),
    [
        (errors.FunctionNotFound("gone"), 404, "ResourceNotFoundException", "User"),
        (errors.PayloadTooLarge("big"), 413, "RequestTooLargeException", "User"),
        (errors.InvalidPayload("bad"), 400, "InvalidRequestContentException", "User"),
        (errors.InvalidParameter("odd"), 400, "InvalidParameterValueException", "User"),
        (errors.UnsupportedOperation("no"), 501, "UnsupportedOperation", "User"),
        (errors.RuntimeFailed("broken"), 500, "ServiceException", "Service"),
    ],
)
def test_an_error_has_the_status_code_and_body_of_lambda(
    error: errors.InvokeError, status: int, code: str, kind: str
) -> None:
    answered, headers, body = error_answer(error)

    assert answered == status
    assert headers == {"x-amzn-ErrorType": code}
    assert json.loads(body) == {"Type": kind, "Message": str(error), "message": str(error)}


def test_throttling_has_a_reason_and_says_when_to_come_back() -> None:
    error = errors.Throttled("ReservedFunctionConcurrentInvocationLimitExceeded")

    status, headers, body = error_answer(error)

    assert status == 429
    assert headers == {"x-amzn-ErrorType": "TooManyRequestsException", "Retry-After": "1"}
    assert json.loads(body) == {
        "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded",
        "Type": "User",
        "message": "Rate Exceeded.",
    }


def test_every_error_of_the_api_has_a_code_of_its_own() -> None:
    kinds = errors.InvokeError.__subclasses__()

    assert len({kind.code for kind in kinds}) == len(kinds)


def test_a_template_error_reads_from_the_place_to_the_remedy() -> None:
    error = errors.TemplateError("is wrong", where="t.yaml:3", path="Resources.A", hint="mend it")

    assert str(error) == "t.yaml:3: Resources.A: is wrong (mend it)"
    assert str(errors.TemplateError("is wrong")) == "is wrong"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (0, "Runtime exited without providing a reason"),
        (1, "Runtime exited with error: exit status 1"),
        (127, "Runtime exited with error: exit status 127"),
        (-9, "Runtime exited with error: signal: killed"),
        (-11, "Runtime exited with error: signal: segmentation fault"),
        (-6, "Runtime exited with error: signal: aborted"),
        (-15, "Runtime exited with error: signal: terminated"),
        (-31, "Runtime exited with error: signal: 31"),
    ],
)
def test_an_exit_is_told_as_lambda_tells_it(status: int, reason: str) -> None:
    assert json.loads(exit_payload("the-id", status)) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: the-id Error: {reason}",
    }


def test_a_timeout_and_a_large_response_are_told_as_lambda_tells_them() -> None:
    assert json.loads(timeout_payload("the-id", 1)) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: the-id Error: Task timed out after 1.00 seconds",
    }
    assert json.loads(too_large_payload()) == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": (
            "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
        ),
    }
