"""Reads HTTP APIs and REST APIs, declared and implicit, with what holds for all their routes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from local_stack.model import Api
from local_stack.template.authorizers import Authorizers, Known, read_authorizers
from local_stack.template.cors import read_http_cors, read_rest_cors
from local_stack.template.merging import merged_properties
from local_stack.template.place import Place
from local_stack.template.references import (
    HTTP_API,
    IMPLICIT_HTTP_API,
    IMPLICIT_REST_API,
    IMPLICIT_REST_STAGE,
    REST_API,
)
from local_stack.template.source import LineDict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from local_stack.template.source import Source

# What changes nothing for a function or its callers on one machine.
_HTTP_IGNORED = frozenset(
    [
        "AccessLogSettings",
        "DefaultRouteSettings",
        "Description",
        "DisableExecuteApiEndpoint",
        "Domain",
        "FailOnWarnings",
        "IpAddressType",
        "Name",
        "PropagateTags",
        "RouteSettings",
        "Tags",
    ]
)
_HTTP_HONOURED = frozenset(["Auth", "CorsConfiguration", "StageName", "StageVariables"])
_REST_IGNORED = frozenset(
    [
        "AccessLogSetting",
        "AlwaysDeploy",
        "ApiKeySourceType",
        "CacheClusterEnabled",
        "CacheClusterSize",
        "CanarySetting",
        "Description",
        "DisableExecuteApiEndpoint",
        "Domain",
        "EndpointAccessMode",
        "EndpointConfiguration",
        "FailOnWarnings",
        "MethodSettings",
        "MinimumCompressionSize",
        "Mode",
        "Models",
        "Name",
        "OpenApiVersion",
        "PropagateTags",
        "SecurityPolicy",
        "Tags",
        "TracingEnabled",
    ]
)
_REST_HONOURED = frozenset(["Auth", "BinaryMediaTypes", "Cors", "StageName", "Variables"])


@dataclass(frozen=True, slots=True)
class DeclaredApi:
    """An API, and what its routes need to be read."""

    api: Api
    authorizers: Authorizers = field(default_factory=Authorizers)


def read_apis(
    source: Source, known: Known, implicit: Collection[str] = ()
) -> dict[str, DeclaredApi]:
    """Every API of the template by id, and those of SAM's `implicit` ones that are used."""
    apis: dict[str, DeclaredApi] = {}
    for kind, section in ((HTTP_API, "HttpApi"), (REST_API, "Api")):
        for logical_id, resource in source.resources(kind):
            with source.leaving_out(logical_id):
                raw = merged_properties(source, section, logical_id, resource)
                place = Place(source, raw, f"Resources.{logical_id}.Properties")
                apis[logical_id] = _read(place, logical_id, section, raw, known)
    for logical_id, section in ((IMPLICIT_HTTP_API, "HttpApi"), (IMPLICIT_REST_API, "Api")):
        if logical_id in implicit and logical_id not in apis:
            raw = LineDict(source.globals(section), line=source.globals(section).line)
            if section == "Api":
                raw = LineDict({"StageName": IMPLICIT_REST_STAGE, **raw}, line=raw.line)
                raw.key_lines = source.globals(section).key_lines
            place = Place(source, raw, f"Globals.{section}")
            apis[logical_id] = _read(place, logical_id, section, raw, known)
    return apis


def _read(place: Place, logical_id: str, section: str, raw: LineDict, known: Known) -> DeclaredApi:
    is_http = section == "HttpApi"
    kind: Literal["http", "rest"] = "http" if is_http else "rest"
    honoured = _HTTP_HONOURED if is_http else _REST_HONOURED
    for name in ("DefinitionBody", "DefinitionUri"):
        if name in raw:
            with place.source.leaving_out():
                message = "an OpenAPI document is not read here, only events of functions"
                place.unsupported(name, message)
    ignored = (_HTTP_IGNORED if is_http else _REST_IGNORED) | {"DefinitionBody", "DefinitionUri"}
    place.only(raw, honoured | ignored)
    authorizers = read_authorizers(place, raw.get("Auth"), kind, known)
    stage = place.text("StageName", place.value("StageName", raw), "$default" if is_http else "")
    if not stage:
        place.fail("StageName", "is needed")
    variables = "StageVariables" if is_http else "Variables"
    if is_http:
        cors = read_http_cors(place, place.value("CorsConfiguration", raw))
    else:
        cors = read_rest_cors(place, place.value("Cors", raw))
    binary = None if is_http else place.value("BinaryMediaTypes", raw)
    api = Api(
        id=logical_id,
        kind=kind,
        stage=stage,
        stage_variables=_stage_variables(place, variables, place.value(variables, raw)),
        cors=cors,
        authorizers=authorizers.kept,
        binary_media_types=tuple(
            item.replace("~1", "/") for item in place.texts("BinaryMediaTypes", binary)
        ),
    )
    return DeclaredApi(api, authorizers)


def _stage_variables(place: Place, name: str, value: Any) -> Mapping[str, str]:
    given = place.mapping(name, value)
    return {key: place.text(f"{name}.{key}", item) for key, item in given.items()}
