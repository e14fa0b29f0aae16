"""Reads a SAM template: YAML with the short forms of intrinsics, each mapping with its line."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING, Any

import yaml

from local_stack.errors import TemplateError
from local_stack.model import Template
from local_stack.template.apis import read_apis
from local_stack.template.authorizers import Known
from local_stack.template.code import read_layers
from local_stack.template.events import check_event_kinds
from local_stack.template.functions import FunctionReader, names_of
from local_stack.template.http import RouteReader, implicit_apis
from local_stack.template.intrinsics import Resolver
from local_stack.template.kafka import read_kafka_sources
from local_stack.template.merging import check_globals
from local_stack.template.resources import check_resources, check_transforms
from local_stack.template.schedules import read_schedules
from local_stack.template.source import LineDict, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from local_stack.model import Function

_NAMES_SHOWN_MAX = 3


class _Loader(yaml.SafeLoader):
    """SafeLoader that keeps line numbers, refuses duplicate keys and knows `!Ref` and friends."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> LineDict:
    own: set[str] = set()
    for key_node, _ in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise TemplateError("a key is a text", where=f"{loader.name}:{line}")
        if key_node.value in own:
            msg = f"duplicate key {key_node.value!r}"
            raise TemplateError(msg, where=f"{loader.name}:{line}")
        own.add(key_node.value)
    loader.flatten_mapping(node)  # what `<<` merges in comes first, so own keys win
    result = LineDict(line=node.start_mark.line + 1)
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = key_node.value  # as written: an account number, or `on`, is a text here
        result[key] = loader.construct_object(value_node, deep=True)
        result.key_lines[key] = line
    return result


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> LineDict:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = _mapping(loader, node)
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if name == "Fn::GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    result = LineDict(line=node.start_mark.line + 1)
    result[name] = value
    return result


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_multi_constructor("!", _intrinsic)
# A date such as 2012-10-17 stays the text it was: CloudFormation knows no dates.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: str(node.value))


def read_yaml(path: Path) -> LineDict:
    """Parse a template file. Raises `TemplateError` with file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"cannot read the template: {error.strerror}"
        raise TemplateError(msg, where=str(path), hint="name it with --template") from error
    except UnicodeDecodeError as error:
        raise TemplateError("the template is not UTF-8", where=str(path)) from error
    loader = _Loader(text)
    loader.name = path.name
    try:
        document = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = error.problem or "it is no YAML"
        raise TemplateError(problem, where=f"{path.name}:{line}") from error
    except yaml.YAMLError as error:
        raise TemplateError(str(error), where=path.name) from error
    finally:
        loader.dispose()
    if not isinstance(document, LineDict) or not isinstance(document.get("Resources"), dict):
        raise TemplateError("a template has a mapping of Resources", where=f"{path.name}:1")
    _check_sections(path, document)
    return document


def _check_sections(path: Path, document: LineDict) -> None:
    """Sections map names to mappings, so that readers may rely on it."""
    for section in ("Parameters", "Mappings", "Conditions", "Globals", "Resources"):
        items = document.get(section)
        if items is None:
            continue
        if not isinstance(items, LineDict):
            raise TemplateError("not a mapping", where=f"{path.name}:{document.line}", path=section)
        for name, item in items.items():
            if not isinstance(item, LineDict) and not (item is None and section == "Globals"):
                where = f"{path.name}:{items.key_lines.get(name, items.line)}"
                expands = name.startswith("Fn::")
                message = f"{name} is not expanded here" if expands else "not a mapping"
                raise TemplateError(message, where=where, path=f"{section}.{name}")


def load_template(
    path: Path,
    overrides: Mapping[str, str],
    *,
    skip_unsupported: bool = False,
    env_vars: Mapping[str, Mapping[str, str]] | None = None,
    samconfig: Mapping[str, str] | None = None,
    jwks: Mapping[str, str] | None = None,
    cache: Path | None = None,
) -> Template:
    """The template at `path`, every intrinsic resolved with the parameter `overrides`.

    Raises `TemplateError` for whatever cannot be honoured; with `skip_unsupported` what is right
    on AWS and does not run here is left out and listed in `skipped` instead. `env_vars` is an
    `--env-vars` file (template/environment.py), `samconfig` holds overrides that give way to
    `overrides`, `jwks` the keys of JWT authorizers (a file or URL, by name or issuer). Zip files
    and inline code are unpacked under `cache`; by default that is `.aws-sam/` beside the template.
    """
    document = read_yaml(path)
    resolver = Resolver(document, overrides, path.name, samconfig)
    source = Source(path, document, resolver, skip_unsupported)
    cache = cache or path.parent / ".aws-sam" / "local-stack"
    check_globals(source)
    check_transforms(source)
    ignored = check_resources(source)
    check_event_kinds(source)
    layers = read_layers(source, cache)
    functions = FunctionReader(source, layers, cache, env_vars or {}).read()
    known = Known(functions, jwks or {})
    apis = read_apis(source, known, implicit_apis(source, functions))
    functions, used_apis = RouteReader(source, apis).read(functions)
    _warn_of_the_machine(source, functions)
    names = names_of(functions)
    return Template(
        path=path,
        functions=functions,
        apis=used_apis,
        schedules=tuple(read_schedules(source, names)),
        kafka_sources=tuple(read_kafka_sources(source, names)),
        skipped=tuple(source.skipped),
        warnings=tuple(source.warnings),
        ignored=ignored,
    )


def _warn_of_the_machine(source: Source, functions: Mapping[str, Function]) -> None:
    """One warning for all functions of another Python, and one for those of another processor."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    others = sorted({f.runtime for f in functions.values()} - {version})
    if others:
        names = _some(f.name for f in functions.values() if f.runtime != version)
        message = f"{', '.join(others)} of {names}: they run on {version} here"
        source.warnings.append(message)
    machine = platform.machine()
    local = {"aarch64": "arm64", "amd64": "x86_64"}.get(machine.lower(), machine)
    if foreign := [f.name for f in functions.values() if f.architecture != local]:
        names, wanted = _some(foreign), functions[foreign[0]].architecture
        message = f"{wanted} of {names}: they run on {local} here; binaries they bring must fit"
        source.warnings.append(message)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _NAMES_SHOWN_MAX
    return ", ".join(listed[:_NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
