"""`--debug NAME:PORT`: debugpy listens in the function's process before its handler is imported.

Runs in a fork that is about to become an environment. It does not wait for anybody: breakpoints are
hit from the moment that an editor attaches.
"""

from __future__ import annotations

import http.client
import importlib
import json
import sys

HOST = "127.0.0.1"


def listen(port: int, runtime_api: str) -> None:
    """Start debugpy on `port`. Without debugpy the function's init fails, and says why.

    A port that is taken is said and left alone: another environment of the function has it.
    """
    try:
        debugpy = importlib.import_module("debugpy")
    except ModuleNotFoundError:
        message = "debugpy is not installed where the stack is; --debug needs it"
        _fail_init(runtime_api, "Runtime.DebuggerMissing", message)
        sys.exit(1)
    try:
        debugpy.listen((HOST, port))
    except (OSError, RuntimeError) as error:
        sys.stderr.write(f"debugger: not in this environment, {HOST}:{port}: {error}\n")
        return
    sys.stderr.write(f"debugger: attach to {HOST}:{port}\n")


def _fail_init(runtime_api: str, error_type: str, message: str) -> None:
    """What awslambdaric does when a handler cannot be imported: the caller gets this error."""
    error = {"errorMessage": message, "errorType": error_type, "requestId": "", "stackTrace": []}
    headers = {
        "Content-Type": "application/json",
        "Lambda-Runtime-Function-Error-Type": error_type,
    }
    sys.stderr.write(f"[ERROR] {error_type}: {message}\n")
    connection = http.client.HTTPConnection(runtime_api, timeout=5)
    try:
        connection.request(
            "POST", "/2018-06-01/runtime/init/error", json.dumps(error).encode(), headers
        )
        connection.getresponse().read()
    finally:
        connection.close()
