"""docs/openapi.json is what the functions say, covers the template's routes, and is OpenAPI."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.openapi.models import OpenAPI
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from local_stack.settings import load_settings
from local_stack.template.loader import load_template
from tests.support import openapi

if TYPE_CHECKING:
    from collections.abc import Iterator

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(openapi.PATH.read_text(encoding="utf-8"))
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert method in METHODS
            yield method.upper(), path, operation


def inner(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in `value`, at any depth."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            yield from inner(item)


def test_the_file_is_what_the_functions_say() -> None:
    assert openapi.PATH.read_text(encoding="utf-8") == openapi.text(), "run `make openapi`"


def test_it_covers_exactly_the_routes_of_the_template(document: dict[str, Any]) -> None:
    settings = load_settings(openapi.REPOSITORY)
    template = load_template(settings.template_path, settings.resolved_parameters())
    routes = {
        (route.method, route.path): function.name
        for function in template.functions.values()
        for route in function.routes
    }

    assert {
        (method, path): operation["x-lambda-function"]
        for method, path, operation in operations(document)
    } == routes


def test_it_has_the_structure_of_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    OpenAPI.model_validate(document)
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))


def test_every_schema_is_json_schema(document: dict[str, Any]) -> None:
    schemas = [*document["components"]["schemas"].values()]
    schemas += [found["schema"] for found in inner(document["paths"]) if "schema" in found]
    assert len(schemas) > 50

    for schema in schemas:
        Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere_and_nothing_is_left_over(document: dict[str, Any]) -> None:
    references = {found["$ref"] for found in inner(document) if "$ref" in found}

    for reference in references:
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    assert {
        f"#/components/{kind}/{name}"
        for kind, named in document["components"].items()
        for name in named
    } == references


def test_every_parameter_of_a_path_is_declared(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        declared = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
        assert declared == set(re.findall(r"\{(\w+)\}", path)), f"{method} {path}"


def test_every_answer_but_the_good_one_can_be_a_problem(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if status != "200":
                kinds = response["content"]
                assert "application/problem+json" in kinds, f"{method} {path} {status}"
            assert response["description"], f"{method} {path} {status}"
