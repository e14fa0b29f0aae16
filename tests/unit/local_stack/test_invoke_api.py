"""The Lambda API without a socket: names, headers, limits, answers and error bodies."""

from __future__ import annotations

import base64
import json

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
    read_invoke,
)
from local_stack.triggers.invoke_api.names import Reference
from local_stack.triggers.invoke_api.outcome import invoke_headers
from tests.support.service_model import assert_error_fits, parse


def test_an_invocation_is_synchronous_unless_it_says_otherwise() -> None:
    request = read_invoke("F", {b"x-amzn-trace-id": b"Root=1"}, "", b'{"a": 1}')

    assert request.function == Reference("F")
    assert request.invocation_type == "RequestResponse"
    assert request.payload == b'{"a": 1}'
    assert (request.want_tail, request.client_context, request.tenant_id) == (False, None, "")
    assert request.trace_id == "Root=1"


def test_an_empty_payload_is_an_empty_object() -> None:
    assert read_invoke("F", {}, "", b"").payload == b"{}"


def test_a_qualifier_stands_in_the_query() -> None:
    assert read_invoke("F", {}, "Qualifier=%24LATEST", b"").function == Reference("F", "$LATEST")
    with pytest.raises(errors.InvalidParameter):
        read_invoke("F:live", {}, "Qualifier=1", b"")


@pytest.mark.parametrize("kind", ["RequestResponse", "Event", "DryRun"])
def test_every_invocation_type_is_read(kind: str) -> None:
    headers = {
        b"x-amz-invocation-type": kind.encode(),
        b"x-amz-log-type": b"Tail",
        b"x-amz-client-context": b"e30=",
    }

    request = read_invoke("F", headers, "", b"1")

    assert request.invocation_type == kind
    # Tail and client context are for synchronous invocations only.
    assert request.want_tail == (kind == "RequestResponse")
    assert request.client_context == ("{}" if kind == "RequestResponse" else None)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            b"x-amz-invocation-type",
            "1 validation error detected: Value 'Later' at 'invocationType' failed to satisfy "
            "constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]",
        ),
        (
            b"x-amz-log-type",
            "1 validation error detected: Value 'Later' at 'logType' failed to satisfy "
            "constraint: Member must satisfy enum value set: [Tail, None]",
        ),
    ],
)
def test_a_header_of_another_value_fails_validation(header: bytes, message: str) -> None:
    with pytest.raises(errors.ValidationFailed) as caught:
        read_invoke("F", {header: b"Later"}, "", b"")

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("kind", "limit", "message"),
    [
        (
            "RequestResponse",
            SYNC_BYTES_MAX,
            "Request must be smaller than 6291456 bytes for the InvokeFunction operation",
        ),
        (
            "DryRun",
            SYNC_BYTES_MAX,
            "Request must be smaller than 6291456 bytes for the InvokeFunction operation",
        ),
        (
            "Event",
            ASYNC_BYTES_MAX,
            "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)",
        ),
    ],
)
def test_a_payload_at_its_limit_is_taken_and_one_byte_more_is_refused(
    kind: str, limit: int, message: str
) -> None:
    headers = {b"x-amz-invocation-type": kind.encode()}
    payload = b'"' + b"x" * (limit - 2) + b'"'

    assert len(read_invoke("F", headers, "", payload).payload) == limit
    with pytest.raises(errors.PayloadTooLarge) as caught:
        read_invoke("F", headers, "", payload + b" ")
    assert str(caught.value) == message


def test_a_client_context_at_its_limit_is_taken_and_one_byte_more_is_refused() -> None:
    # Base64 comes in fours: 3,580 characters are the longest that fit.
    fits = base64.b64encode(json.dumps({"custom": {"a": "x" * 2664}}).encode())
    assert len(fits) == CLIENT_CONTEXT_BYTES_MAX - 3

    context = read_invoke("F", {b"x-amz-client-context": fits}, "", b"").client_context
    assert context is not None
    assert json.loads(context)["custom"]["a"] == "x" * 2664
    with pytest.raises(errors.InvalidParameter, match="no more than 3583 bytes"):
        read_invoke("F", {b"x-amz-client-context": b"x" * 3584}, "", b"")
    with pytest.raises(errors.InvalidParameter, match="valid Base64-encoded JSON object"):
        read_invoke("F", {b"x-amz-client-context": b"x" * 3583}, "", b"")


@pytest.mark.parametrize("context", [b"%", b"e30", b"WzFd", b"bm9uZQ==", b"gA=="])
def test_a_client_context_is_a_json_object_in_base64(context: bytes) -> None:
    with pytest.raises(errors.InvalidParameter, match="valid Base64-encoded JSON object"):
        read_invoke("F", {b"x-amz-client-context": context}, "", b"")


def test_a_tenant_is_named_within_its_limits() -> None:
    tenant = "a-Z0.9_:/=+@ ".ljust(256, "x")

    assert read_invoke("F", {b"x-amz-tenant-id": tenant.encode()}, "", b"").tenant_id == tenant
    for refused in (f"{tenant}x", "", "a;b"):
        with pytest.raises(errors.ValidationFailed, match="at 'tenantId'"):
            read_invoke("F", {b"x-amz-tenant-id": refused.encode()}, "", b"")


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


def test_a_result_is_answered_with_version_and_request_id() -> None:
    headers = dict(invoke_headers(Outcome("the-id", b"null"), "1", want_tail=False))

    assert headers == {
        b"Content-Type": b"application/json",
        b"X-Amz-Executed-Version": b"1",
        b"x-amzn-RequestId": b"the-id",
    }


def test_a_function_error_has_a_header_of_its_own() -> None:
    outcome = Outcome("the-id", b"{}", "Unhandled", log_tail=b"\xff log")

    headers = dict(invoke_headers(outcome, "$LATEST", want_tail=True))

    assert headers[b"X-Amz-Function-Error"] == b"Unhandled"
    assert base64.b64decode(headers[b"X-Amz-Log-Result"]) == b"\xff log"


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "code", "body"),
    [
        (errors.FunctionNotFound("m"), 404, "ResourceNotFoundException", {"Message": "m"}),
        (errors.PayloadTooLarge("m"), 413, "RequestTooLargeException", {"message": "m"}),
        (errors.InvalidPayload("m"), 400, "InvalidRequestContentException", {"message": "m"}),
        (errors.InvalidParameter("m"), 400, "InvalidParameterValueException", {"message": "m"}),
        (errors.RecursiveInvocation("m"), 400, "RecursiveInvocationException", {"Message": "m"}),
    ],
)
def test_an_error_has_the_status_code_and_body_of_lambda(
    error: errors.InvokeError, status: int, code: str, body: dict[str, str]
) -> None:
    answered, headers, text = error_answer(error)

    assert (answered, headers) == (status, {"x-amzn-ErrorType": code})
    assert json.loads(text) == {"Type": "User", **body}
    assert_error_fits(code, json.loads(text))


def test_an_error_of_the_runtime_is_the_services_fault() -> None:
    status, headers, text = error_answer(errors.RuntimeFailed("broken"))

    assert (status, headers) == (500, {"x-amzn-ErrorType": "ServiceException"})
    assert json.loads(text) == {"Type": "Service", "Message": "broken"}
    assert_error_fits("ServiceException", json.loads(text))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.UnsupportedOperation("no"), 501, "UnsupportedOperation"),
        (errors.AccessDenied("no"), 403, "AccessDeniedException"),
        (errors.ValidationFailed("v", "f", "satisfy"), 400, "ValidationException"),
    ],
)
def test_boto3_reads_code_and_message_of_errors_that_have_no_model(
    error: errors.InvokeError, status: int, code: str
) -> None:
    answered, headers, text = error_answer(error)

    parsed = parse("Invoke", answered, headers, text)

    assert answered == status
    assert parsed["Error"]["Code"] == code
    assert parsed["Error"]["Message"] == str(error)


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
    assert_error_fits("TooManyRequestsException", json.loads(body))


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
