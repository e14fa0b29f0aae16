"""Answers of the Lambda API about functions and invocations. Pure."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from local_stack.model import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local_stack.environments.invocation import Outcome
    from local_stack.model import Function

# Nothing here changes between starts, and clients only show it.
_LAST_MODIFIED = "1970-01-01T00:00:00.000+0000"


def invoke_answer(outcome: Outcome, *, want_tail: bool) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a synchronous invocation; a function error is a 200."""
    headers = {"X-Amz-Executed-Version": VERSION, "x-amzn-RequestId": outcome.request_id}
    if outcome.function_error is not None:
        headers["X-Amz-Function-Error"] = outcome.function_error
    if want_tail:
        headers["X-Amz-Log-Result"] = base64.b64encode(outcome.log_tail).decode("ascii")
    return 200, headers, outcome.payload


def configuration(function: Function) -> dict[str, Any]:
    """A FunctionConfiguration, without values of variables: they may be secrets."""
    return {
        "FunctionName": function.name,
        "FunctionArn": function.arn,
        "Runtime": function.runtime,
        "Handler": function.handler,
        "CodeSize": 0,
        "Description": function.description,
        "Timeout": int(function.timeout_s),
        "MemorySize": function.memory_mb,
        "LastModified": _LAST_MODIFIED,
        "Version": VERSION,
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
    }


def function_answer(function: Function) -> bytes:
    """The body of GetFunction."""
    body: dict[str, Any] = {
        "Configuration": configuration(function),
        "Code": {"RepositoryType": "local", "Location": function.code_dir.as_uri()},
    }
    if function.reserved_concurrency is not None:
        reserved = {"ReservedConcurrentExecutions": function.reserved_concurrency}
        body["Concurrency"] = reserved
    return json.dumps(body).encode()


def functions_answer(functions: Iterable[Function]) -> bytes:
    """The body of ListFunctions: one page, for a template has few functions."""
    return json.dumps({"Functions": [configuration(function) for function in functions]}).encode()
