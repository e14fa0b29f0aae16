"""The OpenAPI document of the whole HTTP API, from what every HTTP function says of itself.

    make openapi

writes docs/openapi.json; `tests/contract/test_openapi.py` fails while the file is another.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.problems import PROBLEM_MEDIA_TYPE, PROBLEM_SCHEMA
from tests.support.load_function import FUNCTIONS, load_function

if TYPE_CHECKING:
    from types import ModuleType

REPOSITORY = Path(__file__).parents[2]
PATH = REPOSITORY / "docs" / "openapi.json"

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
# What stands in front of a function can answer instead of it.
_GATEWAY = {
    "429": "`too_many_requests`: Every environment of the function is busy.",
    "503": "`service_unavailable`: The function did not answer in time, or could not be started.",
}
_HEADERS = {
    "X-Request-Id": "The request's id: in `instance` of a problem, in logs and in event headers.",
    "Idempotent-Replayed": "`true` when this is the first answer to the Idempotency-Key again.",
    "Retry-After": "Seconds after which a repeat may succeed.",
}


def document() -> dict[str, Any]:
    """The merged document: paths in order, every schema once."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Problem": _problem_schema()}
    for folder in sorted(path.parent.name for path in FUNCTIONS.glob("*/app.py")):
        module = load_function(folder)
        if not hasattr(module, "app"):
            continue
        described = module.app.openapi()
        for path, operations in described["paths"].items():
            for operation in operations.values():
                _complete(operation, module, folder)
            assert path not in paths, f"{path} is served by two functions"
            paths[path] = operations
        for name, schema in described.get("components", {}).get("schemas", {}).items():
            assert schemas.setdefault(name, schema) == schema, f"{name} means two things"
    # FastAPI also names what is only a validator's result.
    said = json.dumps([paths, schemas])
    used = {name: schemas[name] for name in sorted(schemas) if f'/schemas/{name}"' in said}
    components = {"headers": _headers(), "schemas": used}
    body = _without_titles({"paths": dict(sorted(paths.items())), "components": components})
    return {"openapi": "3.1.0", "info": _info(), "servers": _SERVERS, **body}


def text() -> str:
    """The document as it stands in the file."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def function_name(folder: str) -> str:
    """`place_bet` → `PlaceBet`."""
    return "".join(word.capitalize() for word in folder.split("_"))


_SERVERS = [{"url": "http://127.0.0.1:8080", "description": "`make up`"}]


def _info() -> dict[str, str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return {
        "title": "Betting platform",
        "version": project["version"],
        "description": "Every path is a Lambda function of its own. See docs/http-api.md.",
    }


def _headers() -> dict[str, Any]:
    return {
        name: {"description": meaning, "schema": {"type": "string"}}
        for name, meaning in _HEADERS.items()
    }


def _problem_schema() -> dict[str, Any]:
    return {**PROBLEM_SCHEMA, "description": "RFC 9457 problem details; some have more members."}


def _complete(operation: dict[str, Any], module: ModuleType, folder: str) -> None:
    """Say what FastAPI cannot know, and leave out what it makes up."""
    (route,) = (route for route in module.app.routes if hasattr(route, "endpoint"))
    told = (module.__doc__ or "").partition(" — ")[2].strip()
    operation["operationId"] = route.endpoint.__name__
    operation["summary"] = operation.pop("description").rstrip(".")
    operation["description"] = told[:1].upper() + told[1:]
    operation["x-lambda-function"] = function_name(folder)
    responses = operation["responses"]
    for status, line in _GATEWAY.items():
        before = responses.get(status, {}).get("description")
        content = responses.get(status, {}).get("content", {})
        content.setdefault(PROBLEM_MEDIA_TYPE, {"schema": PROBLEM_SCHEMA})
        lines = [before, line] if before else [line]
        responses[status] = {"description": "\n\n".join(lines), "content": content}
    keyed = any(p["name"] == "Idempotency-Key" for p in operation.get("parameters", ()))
    for status, response in responses.items():
        _complete_response(str(status), response, keyed=keyed)
    operation["responses"] = {str(status): responses[status] for status in sorted(responses)}


def _complete_response(status: str, response: dict[str, Any], *, keyed: bool) -> None:
    names = ["X-Request-Id"]
    if status == "200":
        response["description"] = "It worked."
        names += ["Idempotent-Replayed"] if keyed else []
    elif status in ("429", "503"):
        names.append("Retry-After")
    response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    content = response.get("content", {})
    if content.get(PROBLEM_MEDIA_TYPE, {}).get("schema") == PROBLEM_SCHEMA:
        content[PROBLEM_MEDIA_TYPE] = {"schema": _PROBLEM}


def _without_titles(value: Any) -> Any:
    """Without the titles that pydantic makes of names; a property that is called `title` stays."""
    if isinstance(value, dict):
        return {
            key: _without_titles(item)
            for key, item in value.items()
            if not (key == "title" and isinstance(item, str))
        }
    return [_without_titles(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
