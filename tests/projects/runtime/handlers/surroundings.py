"""Handlers that tell what they see around them."""

from __future__ import annotations

import importlib
import os
import random
import socket
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def context(event: object, context: LambdaContext) -> dict[str, Any]:
    client = context.client_context
    return {
        "remaining_ms": context.get_remaining_time_in_millis(),
        "function_name": context.function_name,
        "function_version": context.function_version,
        "invoked_function_arn": context.invoked_function_arn,
        "memory_limit_in_mb": context.memory_limit_in_mb,
        "aws_request_id": context.aws_request_id,
        "log_group_name": context.log_group_name,
        "log_stream_name": context.log_stream_name,
        "client": None if client is None else client.client.app_title,
        "custom": None if client is None else client.custom,
        "trace_id": os.environ.get("_X_AMZN_TRACE_ID"),
        "tenant_id": context.tenant_id,
    }


def process(event: object, context: object) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "environment": dict(os.environ),
        "cwd": str(Path.cwd()),
        "path": sys.path,
        "argv": sys.argv,
        "descriptors": _descriptors(),
        "threads": threading.active_count(),
        "random": random.random(),
        "uuid": str(uuid.uuid4()),
        "sees": [name for name in ("local_stack", "yaml", "httpx") if _can_import(name)],
        "stdin": sys.stdin.read(),
        "timezone": time.tzname[0],
    }


def versions(event: object, context: object) -> dict[str, str]:
    import anyio
    import idna

    return {"anyio": str(anyio.__file__), "idna": str(idna.__file__)}


def _can_import(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return False
    return True


def _descriptors() -> dict[str, str]:
    """What every open file descriptor is: a path, a pipe, or a socket's family and type."""
    found = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue  # the one that was open to read this folder
        if target.startswith("socket:"):
            with socket.socket(fileno=os.dup(int(link.name))) as each:
                target = f"{each.family.name} {each.type.name}"
        found[link.name] = target
    return found
