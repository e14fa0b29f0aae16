"""template.yaml is the only list of functions: folders, routes, Nginx, variables and docs follow it."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from local_stack.services import nginx
from local_stack.settings import load_settings
from local_stack.template.loader import load_template, read_yaml
from shared import settings as function_settings
from shared.betting import events
from tests.support.load_function import FUNCTIONS, load_function
from tests.support.openapi import function_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_stack.model import Function

REPOSITORY = Path(__file__).parents[2]
SETTINGS = load_settings(REPOSITORY)
TEMPLATE = load_template(SETTINGS.template_path, SETTINGS.resolved_parameters())
DOCUMENT = read_yaml(SETTINGS.template_path)
PARAMETERS = DOCUMENT["Parameters"]
FOLDERS = {function_name(path.parent.name): path.parent for path in FUNCTIONS.glob("*/app.py")}
HTTP = [function for function in TEMPLATE.functions.values() if function.routes]
HTTP_API_TIMEOUT_S = 30  # API Gateway ends an integration then


def by_name(function: Function) -> str:
    return function.name


# ---- folders and handlers ----


def test_every_folder_is_a_function_and_every_function_a_folder() -> None:
    assert {f.name: f.code_dir for f in TEMPLATE.functions.values()} == FOLDERS


@pytest.mark.parametrize("function", TEMPLATE.functions.values(), ids=by_name)
def test_a_function_has_one_name_and_one_handler(function: Function) -> None:
    assert function.logical_id == function.name
    assert function.handler == "app.handler"
    assert function.runtime == "python3.11"
    assert callable(load_function(function.code_dir.name).handler)
    assert function.description


@pytest.mark.parametrize("function", HTTP, ids=by_name)
def test_an_http_function_serves_the_route_of_the_template(function: Function) -> None:
    module = load_function(function.code_dir.name)
    (route,) = module.app.routes
    (method,) = route.methods

    assert [(r.method, r.path) for r in function.routes] == [(method, route.path)]
    assert function.description == f"{method} {route.path}"
    assert (module.__doc__ or "").startswith(f"{method} {route.path} — ")


def test_what_has_no_route_is_no_application() -> None:
    for function in TEMPLATE.functions.values():
        if not function.routes:
            assert not hasattr(load_function(function.code_dir.name), "app")


# ---- routes elsewhere ----


def test_nginx_has_a_location_for_every_route_and_no_other() -> None:
    routes = [route for function in HTTP for route in function.routes]
    config = nginx.render(SETTINGS, routes)

    http_api = config.partition("# The HTTP API.")[2].partition("# The Lambda API,")[0]
    said = re.findall(r"^ +location (.+) \{  # (.+)$", http_api, re.MULTILINE)
    proxied = {keys for match, keys in said if not keys.startswith("not a route")}
    assert proxied == {route.key for route in routes}
    for match, keys in said:
        if keys in proxied:
            kind, pattern = match.split(" ", 1)
            path = re.sub(r"\{\w+\}", "31c13867-275d-4890-a097-5945199642e4", keys.split()[1])
            pattern = pattern.strip("'").replace("\\\\", "\\")
            assert kind == ("~" if "{" in keys else "=")
            assert re.fullmatch(pattern, path) if kind == "~" else pattern == path


@pytest.mark.parametrize("page", ["docs/http-api.md", "docs/openapi.json"])
def test_the_documents_name_every_route_and_function(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for function in HTTP:
        assert function.name in text
        assert all(route.path in text for route in function.routes)


def test_events_go_where_the_application_says() -> None:
    (source,) = TEMPLATE.kafka_sources
    assert (source.function, source.topic) == ("SinkBetEvents", events.BET_EVENTS_TOPIC)
    assert source.starting_position == "TRIM_HORIZON"
    assert [schedule.function for schedule in TEMPLATE.schedules] == [
        "RelayOutbox",
        "ReconcileBets",
    ]
    text = (REPOSITORY / "docs" / "events.md").read_text(encoding="utf-8")
    for topic in events.TOPIC_PARTITIONS:
        assert f"`{topic}`" in text


def test_what_up_invokes_first_is_in_the_template() -> None:
    assert SETTINGS.on_start
    assert all(item.function in TEMPLATE.functions for item in SETTINGS.on_start)


# ---- limits ----


@pytest.mark.parametrize("function", HTTP, ids=by_name)
def test_an_http_function_ends_before_its_gateway_gives_up(function: Function) -> None:
    assert function.timeout_s + SETTINGS.limits.http_wait_seconds < HTTP_API_TIMEOUT_S


def test_connections_are_bounded_by_reserved_concurrency() -> None:
    holders = [f for f in TEMPLATE.functions.values() if "DATABASE_URL" in f.variables]
    unbounded = [function.name for function in holders if function.reserved_concurrency is None]
    connections = sum(function.reserved_concurrency or 0 for function in holders)

    assert unbounded == []
    assert connections < 97, "PostgreSQL takes 100 and keeps 3 for its superuser"
    text = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"its bound: {connections} a host over all functions" in text


# ---- parameters and variables ----


def test_every_parameter_is_given_a_value_and_a_meaning() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    given = project["tool"]["local-stack"]["parameters"]

    assert set(given) <= set(PARAMETERS)
    for name, parameter in PARAMETERS.items():
        assert parameter["Description"]
        assert "Default" in parameter or name in given, name


def test_secrets_are_hidden_and_have_no_default() -> None:
    for name, parameter in PARAMETERS.items():
        secret = name in ("DatabaseUrl", "ClickHouseUrl")
        assert parameter.get("NoEcho", False) is secret
        assert not (secret and "Default" in parameter)


def test_a_variable_is_called_as_its_parameter() -> None:
    for variables in _declared_variables():
        for name, value in variables.items():
            if isinstance(value, dict):
                assert name == _upper_snake(value["Ref"])


@pytest.mark.parametrize("function", TEMPLATE.functions.values(), ids=by_name)
def test_a_function_gets_the_variables_that_its_imports_read_and_no_other(
    function: Function,
) -> None:
    """What a function reads is what the settings accessors read that its modules import."""
    everywhere = set(DOCUMENT["Globals"]["Function"]["Environment"]["Variables"])
    wanted = {
        variable
        for path in _import_closure(function.code_dir / "app.py")
        for accessor in _accessors_of(path)
        for variable in _required(accessor)
    }

    assert set(function.variables) - everywhere == wanted


def test_every_function_gets_what_is_read_everywhere() -> None:
    optional = {
        str(field.alias) for field in function_settings.FunctionSettings.model_fields.values()
    }
    everywhere = set(DOCUMENT["Globals"]["Function"]["Environment"]["Variables"])
    assert everywhere == optional - {"AWS_LAMBDA_FUNCTION_NAME"}  # which Lambda itself sets


def _declared_variables() -> Iterator[dict[str, Any]]:
    yield DOCUMENT["Globals"]["Function"]["Environment"]["Variables"]
    for resource in DOCUMENT["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            yield resource["Properties"]["Environment"]["Variables"]


def _upper_snake(name: str) -> str:
    """`DbMaxConnections` → `DB_MAX_CONNECTIONS`; ClickHouse is one word."""
    words = re.findall("[A-Z][a-z]*", name.replace("ClickHouse", "Clickhouse"))
    return "_".join(words).upper()


def _required(accessor: str) -> set[str]:
    """The variables without which a settings accessor raises."""
    kind = getattr(function_settings, accessor).__annotations__["return"]
    model = getattr(function_settings, kind) if isinstance(kind, str) else kind
    assert issubclass(model, BaseModel)
    return {str(field.alias) for field in model.model_fields.values() if field.is_required()}


@cache
def _import_closure(path: Path) -> frozenset[Path]:
    """The module and every module of the layer that it imports, directly or not."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += _imported(module)
    return frozenset(found)


def _imported(path: Path) -> Iterator[Path]:
    for node in _runtime_imports(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names = [str(node.module), *(f"{node.module}.{name}" for name in names)]
        for name in names:
            module = REPOSITORY / (name.replace(".", "/") + ".py")
            if name.startswith("shared.") and module.exists():
                yield module


def _accessors_of(path: Path) -> Iterator[str]:
    """The settings accessors that a module imports."""
    for node in _runtime_imports(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "shared.settings":
            yield from (alias.name for alias in node.names if alias.name.endswith("_settings"))


def _runtime_imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports but for those that only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        yield from _runtime_imports(child)
