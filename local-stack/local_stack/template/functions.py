"""Reads `AWS::Serverless::Function` resources, with Globals and layers, into `Function`s."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from local_stack.model import Function
from local_stack.template.code import Layers, code_dir, layer_paths
from local_stack.template.environment import (
    RESERVED_VARIABLES,
    VARIABLES_BYTES_MAX,
    overrides_of,
    read_variables,
)
from local_stack.template.function_config import (
    read_architecture,
    read_async_config,
    read_logging,
    read_url,
)
from local_stack.template.merging import merged_properties
from local_stack.template.place import Place
from local_stack.template.references import FUNCTION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from local_stack.model import Destination
    from local_stack.template.source import LineDict, Source

__all__ = ["FUNCTION", "RESERVED_VARIABLES", "VARIABLES_BYTES_MAX", "FunctionReader"]

_NAME = re.compile(r"[a-zA-Z0-9-_]{1,64}")
_PYTHON = re.compile(r"python3\.(1[0-4])")
# Without effect on one machine: accepted, because the same template is deployed.
_IGNORED = frozenset(
    [
        "AssumeRolePolicyDocument",
        "AutoPublishAliasAllProperties",
        "AutoPublishCodeSha256",
        "CodeSigningConfigArn",
        "DeploymentPreference",
        "FunctionScalingConfig",
        "KmsKeyArn",
        "Metadata",
        "PermissionsBoundary",
        "Policies",
        "PropagateTags",
        "PublishToLatestPublished",
        "RecursiveLoop",
        "Role",
        "RolePath",
        "RuntimeManagementConfig",
        "SnapStart",
        "SourceKMSKeyArn",
        "Tracing",
        "VersionDeletionPolicy",
        "VersionDescription",
        "VpcConfig",
    ]
)
# Honoured, and resolved by the reader of each: a part that cannot be known costs only that part.
_PARTS = frozenset(["Description", "Environment", "EventInvokeConfig", "Events", "Layers", "Tags"])
_RESOLVED = frozenset(
    [
        "Architectures",
        "AutoPublishAlias",
        "CodeUri",
        "EphemeralStorage",
        "FunctionName",
        "FunctionUrlConfig",
        "Handler",
        "InlineCode",
        "LoggingConfig",
        "MemorySize",
        "PackageType",
        "ProvisionedConcurrencyConfig",
        "ReservedConcurrentExecutions",
        "Runtime",
        "Timeout",
    ]
)
_IMAGE = frozenset(["ImageConfig", "ImageUri"])
CONCURRENCY_MAX = 10_000


@dataclass(frozen=True, slots=True)
class FunctionReader:
    """Reads the functions of one template; their routes and event sources are read elsewhere."""

    source: Source
    layers: Layers
    cache: Path  # where code that is no folder becomes one
    env_vars: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def read(self) -> dict[str, Function]:
        """Every function of the template, by name. Raises `TemplateError`."""
        functions: dict[str, Function] = {}
        places: dict[str, Place] = {}
        for logical_id, resource in self.source.resources(FUNCTION):
            with self.source.leaving_out(logical_id):
                function = self._function(logical_id, resource)
                if function.name in functions:
                    path = f"Resources.{logical_id}"
                    self.source.fail(resource, path, f"two functions named {function.name}")
                functions[function.name] = function
                own = self.source.properties(logical_id, resource)
                places[function.name] = Place(
                    self.source, own, f"Resources.{logical_id}.Properties"
                )
        return {
            name: _with_known_destinations(places[name], function, functions)
            for name, function in functions.items()
        }

    def _function(self, logical_id: str, resource: LineDict) -> Function:
        source, path = self.source, f"Resources.{logical_id}.Properties"
        raw = merged_properties(source, "Function", logical_id, resource)
        place = Place(source, raw, path)
        _refuse_images(place, raw)
        kept = _honoured(place, raw)
        properties = source.resolve({k: v for k, v in kept.items() if k in _RESOLVED}, path)
        name = place.text("FunctionName", properties.get("FunctionName"), logical_id)
        if not _NAME.fullmatch(name):
            place.fail("FunctionName", f"{name!r} is not a function name")
        runtime = _runtime(place, properties)
        reserved = properties.get("ReservedConcurrentExecutions")
        overrides = overrides_of(self.env_vars, logical_id, name)
        return Function(
            logical_id=logical_id,
            name=name,
            handler=_handler(place, properties),
            runtime=runtime,
            code_dir=code_dir(place, properties, self.cache),
            layer_paths=layer_paths(place, kept.get("Layers"), self.layers, runtime),
            variables=read_variables(place, kept.get("Environment"), overrides),
            timeout_s=float(place.integer("Timeout", properties.get("Timeout", 3), 1, 900)),
            memory_mb=place.integer("MemorySize", properties.get("MemorySize", 128), 128, 10_240),
            ephemeral_storage_mb=_ephemeral_storage(place, properties),
            reserved_concurrency=None
            if reserved is None
            else place.integer("ReservedConcurrentExecutions", reserved, 0, CONCURRENCY_MAX),
            provisioned_concurrency=_provisioned(place, properties),
            description=str(source.resolve_or(kept.get("Description", ""), path, "")),
            architecture=read_architecture(place, properties.get("Architectures")),
            alias=_alias(place, properties),
            async_config=read_async_config(place, kept.get("EventInvokeConfig")),
            logging=read_logging(place, properties.get("LoggingConfig")),
            url=read_url(place, properties.get("FunctionUrlConfig")),
            tags=_tags(place, source.resolve_or(kept.get("Tags"), path, None)),
        )


def _refuse_images(place: Place, raw: LineDict) -> None:
    for name in sorted(_IMAGE & raw.keys()):
        place.unsupported(name, "images do not run here, only functions of a folder or a zip file")
    if place.value("PackageType", raw) not in (None, "Zip"):
        place.unsupported("PackageType", "images do not run here")


def _honoured(place: Place, raw: LineDict) -> LineDict:
    """Without the properties that change nothing here; others are refused, or left out."""
    kept = type(raw)(raw, line=raw.line)
    for key in raw:
        if key in _IGNORED:
            del kept[key]
        elif key not in _PARTS and key not in _RESOLVED:
            del kept[key]
            with place.source.leaving_out():
                place.unsupported(key, "this runtime cannot honour it")
    # A group that only AWS can name: the name changes nothing that runs.
    logging = kept.get("LoggingConfig")
    if isinstance(logging, dict) and "LogGroup" in logging:
        group = place.source.resolve_or(logging["LogGroup"], place.path, None)
        rest = {key: value for key, value in logging.items() if key != "LogGroup"}
        kept["LoggingConfig"] = type(raw)(
            rest if group is None else {**rest, "LogGroup": group}, line=raw.line
        )
    return kept


def _runtime(place: Place, properties: Mapping[str, Any]) -> str:
    runtime = place.text("Runtime", properties.get("Runtime"))
    if not runtime:
        place.fail("Runtime", "is needed, such as python3.11")
    if not _PYTHON.fullmatch(runtime):
        place.unsupported(
            "Runtime", f"{runtime!r} does not run here", "python3.10 to python3.14 do"
        )
    return runtime


def _handler(place: Place, properties: Mapping[str, Any]) -> str:
    handler = properties.get("Handler")
    if not isinstance(handler, str) or "." not in handler:
        place.fail("Handler", "names a module and a function, such as app.handler")
    return handler


def _ephemeral_storage(place: Place, properties: Mapping[str, Any]) -> int:
    given = place.mapping("EphemeralStorage", properties.get("EphemeralStorage"))
    inner = place.inside("EphemeralStorage", given)
    return inner.integer("Size", given.get("Size", 512), 512, 10_240)


def _alias(place: Place, properties: Mapping[str, Any]) -> str | None:
    alias = properties.get("AutoPublishAlias")
    return None if alias is None else place.text("AutoPublishAlias", alias)


def _provisioned(place: Place, properties: Mapping[str, Any]) -> int:
    name = "ProvisionedConcurrencyConfig"
    given = place.mapping(name, properties.get(name))
    if not given:
        return 0
    if not properties.get("AutoPublishAlias"):
        place.fail(name, "AutoPublishAlias is needed with it, as SAM says")
    inner, count = place.inside(name, given), given.get("ProvisionedConcurrentExecutions")
    return inner.integer("ProvisionedConcurrentExecutions", count, 0, CONCURRENCY_MAX)


def _tags(place: Place, value: Any) -> dict[str, str]:
    tags = place.mapping("Tags", value)
    return {name: place.text(f"Tags.{name}", item) for name, item in tags.items()}


def _with_known_destinations(
    place: Place, function: Function, functions: Mapping[str, Function]
) -> Function:
    """A destination that is no function of this template is refused, or left out."""
    config = function.async_config
    for name, attribute in (("OnSuccess", "on_success"), ("OnFailure", "on_failure")):
        destination: Destination | None = getattr(config, attribute)
        if destination is None or destination.kind != "function":
            continue
        if destination.target not in functions:
            with place.source.leaving_out():
                where = f"EventInvokeConfig.DestinationConfig.{name}"
                place.unsupported(where, f"{destination.target} is no function that runs here")
            config = replace(config, **{attribute: None})  # type: ignore[arg-type]
    return replace(function, async_config=config)


def names_of(functions: Mapping[str, Function]) -> dict[str, str]:
    """The names of functions by their logical ids."""
    return {function.logical_id: function.name for function in functions.values()}


def raw_events(
    source: Source, functions: Mapping[str, Function]
) -> Iterator[tuple[Function, LineDict, Mapping[str, Any]]]:
    """Each function with its resource and its unresolved `Events`."""
    resources = source.document["Resources"]
    for function in functions.values():
        resource = resources[function.logical_id]
        path = f"Resources.{function.logical_id}.Properties"
        properties = source.properties(function.logical_id, resource)
        yield (
            function,
            resource,
            Place(source, properties, path).mapping("Events", properties.get("Events")),
        )
