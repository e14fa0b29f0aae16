"""Where a function's code and its layers are: local folders, zip files, or text in the template."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.template.archives import BadArchive, unpacked, written
from local_stack.template.parameters import text_of
from local_stack.template.place import Place
from local_stack.template.references import LAYER
from local_stack.template.source import SKIP_HINT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local_stack.template.source import Source

INLINE_CODE_CHARACTERS_MAX = 4_194_304  # AWS::Lambda::Function, Code.ZipFile
LAYERS_MAX = 5  # Lambda's quota of a function
_REMOTE = ("s3://", "http://", "https://")

Layers = dict[str, Path]  # the folder of each layer, by its ARN


def code_dir(place: Place, properties: Mapping[str, Any], cache: Path) -> Path:
    """The folder that has the function's module: `CodeUri`, or `InlineCode` as `index.py`.

    Without either it is the template's folder, as for SAM CLI.
    """
    inline, uri = properties.get("InlineCode"), properties.get("CodeUri")
    if uri is not None or inline is None:
        return _folder(place, "CodeUri", "." if uri is None else uri, cache)
    code = place.text("InlineCode", inline)
    if len(code) > INLINE_CODE_CHARACTERS_MAX:
        place.fail("InlineCode", f"has {INLINE_CODE_CHARACTERS_MAX} characters at most")
    try:
        return written(code, "index.py", cache)
    except OSError as error:
        place.fail("InlineCode", f"cannot be written to {cache}: {error.strerror}")


def read_layers(source: Source, cache: Path) -> Layers:
    """Every layer of the template."""
    layers: Layers = {}
    for logical_id, resource in source.resources(LAYER):
        with source.leaving_out(logical_id):
            properties = source.properties(logical_id, resource)
            place = Place(source, properties, f"Resources.{logical_id}.Properties")
            content = source.resolve(properties.get("ContentUri"), f"{place.path}.ContentUri")
            if content is None:
                place.fail("ContentUri", "is a local folder or zip file")
            layers[_arn(source, logical_id)] = _folder(place, "ContentUri", content, cache)
    return layers


def layer_paths(place: Place, references: Any, layers: Layers, runtime: str) -> tuple[Path, ...]:
    """What goes on `sys.path` for a function's layers, the last layer first.

    Lambda merges layers into /opt in the order of the list, a later one over an earlier one
    (Lambda developer guide, "Adding layers to functions"); here each keeps its folder, so the last
    has to be looked at first.
    """
    if isinstance(references, dict):
        references = place.source.resolve(references, f"{place.path}.Layers")
    if references is None:
        return ()
    if not isinstance(references, list):
        place.fail("Layers", "is a list")
    if len(references) > LAYERS_MAX:
        place.fail("Layers", f"a function has {LAYERS_MAX} layers at most")
    left_out = {_arn(place.source, logical_id) for logical_id in place.source.left_out}
    found: list[Path] = []
    for reference in references:
        with place.source.leaving_out():
            resolved = place.source.resolve(reference, f"{place.path}.Layers")
            if isinstance(resolved, str) and resolved in layers:
                found = [*_python_paths(layers[resolved], runtime), *found]
            elif isinstance(resolved, str) and resolved in left_out:
                place.unsupported("Layers", f"{resolved} is left out itself")
            elif isinstance(resolved, str) and resolved.startswith("arn:"):
                place.unsupported(
                    "Layers",
                    f"{resolved} is not a layer of this template, and layers are not fetched",
                    f"install what it holds, and {SKIP_HINT}",
                )
            elif isinstance(resolved, str | dict):
                place.fail("Layers", f"{resolved!r} is not a layer of this template", "use !Ref")
    return tuple(found)


def _arn(source: Source, logical_id: str) -> str:
    return text_of(source.resolve_or({"Ref": logical_id}, f"Resources.{logical_id}", logical_id))


def _folder(place: Place, name: str, value: Any, cache: Path) -> Path:
    if isinstance(value, dict) or (isinstance(value, str) and value.startswith(_REMOTE)):
        place.unsupported(name, "names code that is not on this machine; a local folder is needed")
    if not isinstance(value, str):
        place.fail(name, "is a local folder or zip file")
    path = (place.source.path.parent / value).resolve()
    if path.is_dir():
        return path
    if not path.is_file():
        place.fail(name, f"no folder {value}")
    try:
        return unpacked(path, cache)
    except BadArchive as error:
        place.fail(name, f"{value}: {error}")
    except OSError as error:
        place.fail(name, f"{value} cannot be unpacked to {cache}: {error.strerror or error}")


def _python_paths(folder: Path, runtime: str) -> list[Path]:
    """What AWS would put on `sys.path` for this layer, mounted at /opt.

    A built layer has `python/`, and perhaps packages in `python/lib/python3.X/site-packages`. An
    unbuilt one that is itself a package is imported by its folder's name, so the folder above goes
    on the path.
    """
    if (folder / "python").is_dir():
        packages = folder / "python" / "lib" / runtime / "site-packages"
        return [folder / "python", *([packages] if packages.is_dir() else [])]
    return [folder.parent if (folder / "__init__.py").exists() else folder]
