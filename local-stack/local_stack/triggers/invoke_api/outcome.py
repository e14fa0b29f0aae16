"""Answers of the Lambda API about invocations and functions. Pure.

Shapes are those of the API's service model, which tests hold them against.
"""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING, Any

from local_stack.model import ACCOUNT_ID, VERSION
from local_stack.triggers.invoke_api.names import PUBLISHED

if TYPE_CHECKING:
    from local_stack.environments.invocation import Outcome
    from local_stack.model import AsyncConfig, Function

    Headers = list[tuple[bytes, bytes]]

# Nothing here changes between starts, and clients only show it.
_LAST_MODIFIED = "1970-01-01T00:00:00.000+0000"
_ROLE = f"arn:aws:iam::{ACCOUNT_ID}:role/local-stack"
_JSON = (b"Content-Type", b"application/json")
_VERSION = b"X-Amz-Executed-Version"
_HIDDEN = {
    "Error": {
        "ErrorCode": "AccessDeniedException",
        "Message": "Values of variables may be secrets: this runtime does not show them.",
    }
}


def invoke_headers(outcome: Outcome, version: str, *, want_tail: bool) -> Headers:
    """Headers of a synchronous invocation; a function error is a 200 with one more of them."""
    headers = [
        _JSON,
        (_VERSION, version.encode()),
        (b"x-amzn-RequestId", outcome.request_id.encode()),
    ]
    if outcome.function_error is not None:
        headers.append((b"X-Amz-Function-Error", outcome.function_error.encode()))
    if want_tail:
        headers.append((b"X-Amz-Log-Result", base64.b64encode(outcome.log_tail)))
    return headers


def configuration(function: Function, qualifier: str = "") -> dict[str, Any]:
    """A FunctionConfiguration, without values of variables: they may be secrets."""
    shown: dict[str, Any] = {
        "FunctionName": function.name,
        "FunctionArn": f"{function.arn}:{qualifier}" if qualifier else function.arn,
        "Runtime": function.runtime,
        "Role": _ROLE,
        "Handler": function.handler,
        "CodeSize": 0,
        "Description": function.description,
        "Timeout": int(function.timeout_s),
        "MemorySize": function.memory_mb,
        "LastModified": _LAST_MODIFIED,
        "Version": VERSION if qualifier in ("", VERSION) else PUBLISHED,
        "TracingConfig": {"Mode": "PassThrough"},
        "RevisionId": _revision(function.arn),
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": [function.architecture],
        "EphemeralStorage": {"Size": function.ephemeral_storage_mb},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": _logging(function),
    }
    if function.variables:
        shown["Environment"] = _HIDDEN
    return shown


def function_answer(
    function: Function, reserved_concurrency: int | None, qualifier: str = ""
) -> dict[str, Any]:
    """The body of GetFunction."""
    body: dict[str, Any] = {
        "Configuration": configuration(function, qualifier),
        "Code": {"RepositoryType": "local", "Location": function.code_dir.as_uri()},
    }
    if function.tags:
        body["Tags"] = dict(function.tags)
    if reserved_concurrency is not None and not qualifier:
        body["Concurrency"] = concurrency_answer(reserved_concurrency)
    return body


def concurrency_answer(reserved_concurrency: int | None) -> dict[str, Any]:
    """The body of GetFunctionConcurrency and PutFunctionConcurrency."""
    if reserved_concurrency is None:
        return {}
    return {"ReservedConcurrentExecutions": reserved_concurrency}


def alias_answer(function: Function) -> dict[str, Any]:
    """An AliasConfiguration of the function's only alias."""
    arn = f"{function.arn}:{function.alias}"
    return {
        "AliasArn": arn,
        "Name": function.alias,
        "FunctionVersion": PUBLISHED,
        "Description": "",
        "RevisionId": _revision(arn),
    }


def event_invoke_answer(function: Function, qualifier: str) -> dict[str, Any]:
    """A FunctionEventInvokeConfig."""
    config: AsyncConfig = function.async_config
    destinations = {
        name: {"Destination": destination.arn}
        for name, destination in (
            ("OnSuccess", config.on_success),
            ("OnFailure", config.on_failure),
        )
        if destination is not None
    }
    return {
        "LastModified": 0,
        "FunctionArn": f"{function.arn}:{qualifier or VERSION}",
        "MaximumRetryAttempts": config.retries_max,
        "MaximumEventAgeInSeconds": config.event_age_s_max,
        "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}, **destinations},
    }


def _logging(function: Function) -> dict[str, str]:
    logging = function.logging
    shown = {
        "LogFormat": logging.format,
        "LogGroup": logging.group or f"/aws/lambda/{function.name}",
        "ApplicationLogLevel": logging.application_level,
        "SystemLogLevel": logging.system_level,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _revision(arn: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, arn))
