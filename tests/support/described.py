"""What docs/openapi.json says of an answer. It reads the file, and nothing of the application."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

if TYPE_CHECKING:
    import httpx

PATH = Path(__file__).parents[2] / "docs" / "openapi.json"


@cache
def document() -> dict[str, Any]:
    """The document, its numbers as Decimals: `multipleOf: 0.01` means nothing to a float."""
    found: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"), parse_float=Decimal)
    return found


def routes() -> set[tuple[str, str]]:
    """Method and path of every operation."""
    return {
        (method.upper(), path)
        for path, operations in document()["paths"].items()
        for method in operations
    }


def content(answer: httpx.Response) -> Any:
    """The JSON body, its numbers as Decimals with the digits that were sent."""
    return json.loads(answer.text, parse_float=Decimal)


def check(answer: httpx.Response, method: str, path: str) -> None:
    """Fail unless the document describes this answer to `method path`: status, type, shape."""
    responses = document()["paths"][path][method.lower()]["responses"]
    response = responses[str(answer.status_code)]
    kinds = response["content"]
    kind = answer.headers["Content-Type"].partition(";")[0]
    assert kind in kinds, f"{method} {path} answers {kind}, and not one of {sorted(kinds)}"
    if kind.endswith("json"):
        check_body(content(answer), kinds[kind])


def check_body(body: Any, media_type: dict[str, Any]) -> None:
    """Fail unless `body` fits the schema of a media type of the document."""
    schema = {**media_type["schema"], "components": document()["components"]}
    checker = Draft202012Validator.FORMAT_CHECKER
    Draft202012Validator(schema, format_checker=checker).validate(body)
