"""The environment variables that Lambda sets, with the values that are true on this machine.

Recorded list: the variables of a python runtime on AWS. `/var/task` does not exist here, so
LAMBDA_TASK_ROOT and PWD name the function's real folder, and what stands for the runtime's own folders
in PATH is where the interpreter is. `/var/runtime` is named as on AWS and is not there: awslambdaric and
boto3 come with the interpreter. There is no X-Ray daemon at the address that is named.
Nothing of the stack's own environment is among them.
"""

from __future__ import annotations

import sys
from pathlib import Path
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
_XRAY_HOST, _XRAY_PORT = "127.0.0.1", "2000"


def function_variables(
    function: Function, *, runtime_api: str, log_stream: str, initialization_type: str
) -> dict[str, str]:
    """Every variable of one execution environment.

    `runtime_api` is `host:port` without a path: awslambdaric takes nothing else. What is not
    reserved the function's own variables override.
    """
    return {
        **_overridable(function),
        **function.variables,
        **_FAKE_CREDENTIALS,
        "_AWS_XRAY_DAEMON_ADDRESS": _XRAY_HOST,
        "_AWS_XRAY_DAEMON_PORT": _XRAY_PORT,
        "_HANDLER": function.handler,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": VERSION,
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization_type,
        "AWS_LAMBDA_LOG_GROUP_NAME": function.logging.group or f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_REGION": REGION,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": str(function.code_dir),
        "LC_CTYPE": "C.UTF-8",
        "PWD": str(function.code_dir),
        "SHLVL": "0",
    }


def _overridable(function: Function) -> dict[str, str]:
    """What a function may set itself ("unreserved" in AWS's list of runtime variables)."""
    code = function.code_dir
    libraries = ["/lib64", "/usr/lib64", str(code), str(code / "lib"), "/opt/lib"]
    variables = {
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": f"{_XRAY_HOST}:{_XRAY_PORT}",
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": ":".join(libraries),
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "PYTHONPATH": "/var/runtime",
        "TZ": ":UTC",
    }
    if function.logging.format == "JSON":
        variables["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        variables["AWS_LAMBDA_LOG_LEVEL"] = function.logging.application_level or "INFO"
    return variables
