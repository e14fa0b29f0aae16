"""The environment variables that Lambda sets, with the values that are true on this machine.

Recorded list: the variables of a python runtime on AWS; `/var/task` and `/var/runtime` do not
exist here, so LAMBDA_TASK_ROOT and PWD name the function's real folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_stack.model import REGION, VERSION

if TYPE_CHECKING:
    from local_stack.model import Function

# What emulators have agreed on: accepted by every AWS client, worth nothing anywhere.
_FAKE_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_SESSION_TOKEN": "test",
}
# Lambda lets a function override these; everything else below it may not.
_OVERRIDABLE = {"LANG": "en_US.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": ":UTC"}


def function_variables(
    function: Function, *, runtime_api: str, log_stream: str, initialization_type: str
) -> dict[str, str]:
    """Every variable of one execution environment.

    `runtime_api` is `host:port` without a path: awslambdaric takes nothing else.
    """
    return {
        **_OVERRIDABLE,
        "AWS_LAMBDA_LOG_FORMAT": "Text",
        **function.variables,
        **_FAKE_CREDENTIALS,
        "_HANDLER": function.handler,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": VERSION,
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization_type,
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_REGION": REGION,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": str(function.code_dir),
        "LC_CTYPE": "C.UTF-8",
        "PWD": str(function.code_dir),
        "SHLVL": "0",
    }
