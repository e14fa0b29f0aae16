"""Loads a function's `app.py` as Lambda does: by its folder, under a name of its own."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.aws_events import FakeContext, http_event

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

FUNCTIONS = Path(__file__).parents[2] / "functions"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What an HTTP function answered."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body, its numbers as Decimals with the digits that were sent."""
        return json.loads(self.text, parse_float=Decimal)


def load_function(name: str) -> ModuleType:
    """The module `functions/<name>/app.py`, loaded afresh."""
    path = FUNCTIONS / name / "app.py"
    spec = importlib.util.spec_from_file_location(f"function_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def http_caller(name: str) -> Callable[..., HttpAnswer]:
    """Calls the handler of an HTTP function; takes the arguments of `http_event`."""
    handler = load_function(name).handler

    def call(method: str, path: str, **options: Any) -> HttpAnswer:
        response = handler(http_event(method, path, **options), FakeContext(name))
        assert not response["isBase64Encoded"]
        return HttpAnswer(response["statusCode"], response.get("headers", {}), response["body"])

    return call
