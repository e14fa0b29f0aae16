"""Functions as a template would give them, for tests without a template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from local_stack.model import Function, Route


def a_function(name: str = "Hello", *routes: str, **fields: Any) -> Function:
    """A function; each of `routes` is `METHOD /path` or `$default`."""
    values = {
        "logical_id": name,
        "name": name,
        "handler": "app.handler",
        "runtime": "python3.11",
        "code_dir": Path("/code"),
        "routes": tuple(_route(route) for route in routes),
        **fields,
    }
    return Function(**values)


def _route(text: str) -> Route:
    method, _, path = text.rpartition(" ")
    return Route(method or "ANY", path)
