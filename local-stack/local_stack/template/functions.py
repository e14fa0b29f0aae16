"""Reads `AWS::Serverless::Function` resources, with Globals and layers, into `Function`s."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from local_stack.model import Function
from local_stack.template.http import read_routes
from local_stack.template.intrinsics import text_of
from local_stack.template.source import LineDict, Source

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FUNCTION = "AWS::Serverless::Function"
LAYER = "AWS::Serverless::LayerVersion"
# Environment variables that Lambda sets itself; a function may not (Lambda developer guide,
# "Defined runtime environment variables").
RESERVED_VARIABLES = frozenset(
    [
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
    ]
)
VARIABLES_BYTES_MAX = 4096
_NAME = re.compile(r"[a-zA-Z0-9-_]{1,64}")
_VARIABLE = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")
_PYTHON = re.compile(r"python3\.(1[0-4])")
# Without effect on one machine: accepted, because the same template is deployed.
_IGNORED = frozenset(
    [
        "Architectures",
        "AutoPublishAlias",
        "AutoPublishCodeSha256",
        "CodeSigningConfigArn",
        "DeploymentPreference",
        "Description",
        "KmsKeyArn",
        "LoggingConfig",
        "Metadata",
        "PermissionsBoundary",
        "Policies",
        "PropagateTags",
        "RecursiveLoop",
        "Role",
        "RolePath",
        "RuntimeManagementConfig",
        "Tags",
        "Tracing",
        "VersionDescription",
        "VpcConfig",
        "AssumeRolePolicyDocument",
    ]
)
_HONOURED = frozenset(
    [
        "CodeUri",
        "Environment",
        "Events",
        "FunctionName",
        "Handler",
        "Layers",
        "MemorySize",
        "ProvisionedConcurrencyConfig",
        "ReservedConcurrentExecutions",
        "Runtime",
        "Timeout",
    ]
)


@dataclass(frozen=True, slots=True)
class _At:
    """Where we are: for messages."""

    source: Source
    resource: LineDict
    path: str

    def fail(self, what: str, message: str, hint: str = "") -> NoReturn:
        self.source.fail(self.resource, f"{self.path}.{what}", message, hint)

    def mapping(self, what: str, value: Any) -> Mapping[str, Any]:
        if value is not None and not isinstance(value, dict):
            self.fail(what, "is a mapping")
        return value or {}


def read_functions(source: Source) -> dict[str, Function]:
    """Every function of the template, by name. Raises `TemplateError`."""
    layers = dict(_read_layers(source))
    functions: dict[str, Function] = {}
    routes: dict[str, str] = {}
    for logical_id, resource in source.resources(FUNCTION):
        function = _read_function(source, logical_id, resource, layers)
        path = f"Resources.{logical_id}"
        if function.name in functions:
            source.fail(resource, path, f"two functions named {function.name}")
        functions[function.name] = function
        for route in function.routes:
            other = routes.setdefault(route.key, logical_id)
            if other != logical_id:
                source.fail(resource, path, f"route {route.key!r} is {other}'s already")
    return functions


def _read_layers(source: Source) -> list[tuple[str, Path]]:
    found = []
    for logical_id, resource in source.resources(LAYER):
        path = f"Resources.{logical_id}"
        properties = source.resolved_properties(logical_id, resource)
        content = properties.get("ContentUri")
        if not isinstance(content, str):
            source.fail(resource, f"{path}.ContentUri", "a layer has a local ContentUri folder")
        folder = (source.path.parent / content).resolve()
        if not folder.is_dir():
            source.fail(resource, f"{path}.ContentUri", f"no folder {content}")
        found.append((logical_id, _layer_python_path(folder)))
    return found


def _layer_python_path(folder: Path) -> Path:
    """What AWS would put on `sys.path` for this layer.

    A built layer has `python/` (mounted as /opt/python). An unbuilt one that is itself a package
    is imported by its folder's name, so the folder above goes on the path.
    """
    if (folder / "python").is_dir():
        return folder / "python"
    return folder.parent if (folder / "__init__.py").exists() else folder


def _read_function(
    source: Source, logical_id: str, resource: LineDict, layers: Mapping[str, Path]
) -> Function:
    at = _At(source, resource, f"Resources.{logical_id}.Properties")
    merged = _with_globals(source.globals("Function"), source.properties(logical_id, resource))
    _check_known(at, merged)
    events = at.mapping("Events", merged.pop("Events", None))
    layer_refs = merged.pop("Layers", None) or []
    properties = source.resolve(
        {key: value for key, value in merged.items() if key in _HONOURED}, at.path
    )
    name = str(properties.get("FunctionName", logical_id))
    if not _NAME.fullmatch(name):
        at.fail("FunctionName", f"{name!r} is not a function name")
    reserved = properties.get("ReservedConcurrentExecutions")
    return Function(
        logical_id=logical_id,
        name=name,
        handler=_handler(at, properties),
        runtime=_runtime(at, properties),
        code_dir=_code_dir(at, properties),
        layer_paths=tuple(_layer_paths(at, layer_refs, layers)),
        variables=_variables(at, properties),
        timeout_s=float(_integer(at, properties, "Timeout", 3, 1, 900)),
        memory_mb=_integer(at, properties, "MemorySize", 128, 128, 10_240),
        reserved_concurrency=None
        if reserved is None
        else _integer(at, properties, "ReservedConcurrentExecutions", 0, 0, 10_000),
        provisioned_concurrency=_provisioned(at, properties),
        description=str(source.resolve(merged.get("Description", ""), at.path)),
        routes=tuple(read_routes(source, at.path, events)),
    )


def _with_globals(defaults: Mapping[str, Any], own: LineDict) -> LineDict:
    """SAM's rule: maps merge, lists add (globals first), the function's own scalars win."""
    merged = LineDict(own, line=own.line)
    for key, value in defaults.items():
        mine = merged.get(key)
        if mine is None:
            merged[key] = value
        elif isinstance(value, dict) and isinstance(mine, dict):
            merged[key] = _with_globals(value, LineDict(mine, line=getattr(mine, "line", 0)))
        elif isinstance(value, list) and isinstance(mine, list):
            merged[key] = [*value, *mine]
    return merged


def _check_known(at: _At, properties: Mapping[str, Any]) -> None:
    for key in properties:
        if key not in _HONOURED and key not in _IGNORED:
            at.fail(key, "this runtime cannot honour it", "remove it, or run the project on AWS")


def _runtime(at: _At, properties: Mapping[str, Any]) -> str:
    runtime = str(properties.get("Runtime", ""))
    if not _PYTHON.fullmatch(runtime):
        at.fail("Runtime", f"{runtime!r} does not run here", "python3.10 to python3.14 do")
    return runtime


def _handler(at: _At, properties: Mapping[str, Any]) -> str:
    handler = properties.get("Handler")
    if not isinstance(handler, str) or "." not in handler:
        at.fail("Handler", "names a module and a function, such as app.handler")
    return str(handler)


def _code_dir(at: _At, properties: Mapping[str, Any]) -> Path:
    code_uri = properties.get("CodeUri")
    if not isinstance(code_uri, str):
        at.fail("CodeUri", "is a local folder")
    folder = (at.source.path.parent / str(code_uri)).resolve()
    if not folder.is_dir():
        at.fail("CodeUri", f"no folder {code_uri}")
    return folder


def _layer_paths(at: _At, references: Any, layers: Mapping[str, Path]) -> list[Path]:
    if not isinstance(references, list):
        at.fail("Layers", "is a list")
    paths = []
    for reference in references:
        logical_id = reference.get("Ref") if isinstance(reference, dict) else None
        if not isinstance(logical_id, str) or logical_id not in layers:
            at.fail("Layers", f"{reference!r} is not a layer of this template", "use !Ref")
        paths.append(layers[logical_id])
    return paths


def _variables(at: _At, properties: Mapping[str, Any]) -> dict[str, str]:
    environment = at.mapping("Environment", properties.get("Environment"))
    raw = at.mapping("Environment.Variables", environment.get("Variables"))
    variables: dict[str, str] = {}
    for name, value in raw.items():
        where = f"Environment.Variables.{name}"
        if name in RESERVED_VARIABLES:
            at.fail(where, "Lambda sets this variable itself")
        if not _VARIABLE.fullmatch(str(name)):
            at.fail(where, "a name starts with a letter and has letters, digits and _ only")
        if isinstance(value, dict | list) or value is None:
            at.fail(where, "is a text")
        variables[name] = text_of(value)
    size = sum(len(name.encode()) + len(value.encode()) for name, value in variables.items())
    if size > VARIABLES_BYTES_MAX:
        at.fail("Environment", f"{size} bytes of variables; Lambda takes {VARIABLES_BYTES_MAX}")
    return variables


def _provisioned(at: _At, properties: Mapping[str, Any]) -> int:
    name = "ProvisionedConcurrencyConfig"
    config = at.mapping(name, properties.get(name))
    return _integer(at, config, "ProvisionedConcurrentExecutions", 0, 0, 10_000)


def _integer(
    at: _At, properties: Mapping[str, Any], name: str, default: int, low: int, high: int
) -> int:
    value = properties.get(name, default)
    text = str(value)
    if not text.isdecimal() or not low <= int(text) <= high:
        at.fail(name, f"{value!r} is not a whole number from {low} to {high}")
    return int(text)
