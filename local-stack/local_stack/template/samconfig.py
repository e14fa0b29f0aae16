"""Parameter overrides of a project's `samconfig.toml`, the configuration file of SAM CLI.

Read from the `default` environment: `global`, then `deploy`, then `local_start_api`; a later one
wins. The forms of `parameter_overrides` are those of SAM CLI (samcli/cli/types.py): one text, a
list of texts, or a table. Nothing else of the file changes anything here.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

import yaml

from local_stack.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAMES = ("samconfig.toml", "samconfig.yaml", "samconfig.yml")  # in SAM CLI's order
ENVIRONMENT = "default"
_COMMANDS = ("global", "deploy", "local_start_api")
_FILE_BYTES_MAX = 1024 * 1024
# `Key=value`, `Key="a value"` or `ParameterKey=Key,ParameterValue=value`, with \ before a space.
_VALUE = r"""((?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|(?:\\.|[^\s"'\\]))*)"""
_OLD = re.compile(rf"""ParameterKey=["']?(\w+)["']?,ParameterValue={_VALUE}""")
_NEW = re.compile(rf"""(?<!\S)["']?(\w+)["']?={_VALUE}""")
_ESCAPED = re.compile(r"\\(.)")


def find_samconfig(*folders: Path) -> Path | None:
    """The first configuration file of SAM CLI in these folders."""
    candidates = (folder / name for folder in folders for name in FILE_NAMES)
    return next((path for path in candidates if path.is_file()), None)


def read_samconfig(path: Path) -> dict[str, str]:
    """The parameter overrides in `path`. Raises `SettingsError` that names the file."""
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            msg = f"{path}: more than {_FILE_BYTES_MAX} bytes"
            raise SettingsError(msg)
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise SettingsError(msg) from error
    except (ValueError, yaml.YAMLError) as error:
        msg = f"{path}: {error}"
        raise SettingsError(msg) from error
    found: dict[str, str] = {}
    for command in _COMMANDS:
        overrides = _inside(document, ENVIRONMENT, command, "parameters", "parameter_overrides")
        found |= parsed_overrides(path, overrides)
    return found


def _inside(document: Any, *names: str) -> Any:
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def parsed_overrides(path: Path, overrides: Any) -> dict[str, str]:
    """One value of `parameter_overrides`, in any of its forms; `path` is for messages."""
    if overrides is None or overrides == "":
        return {}
    if isinstance(overrides, dict):
        return {str(key): _text(value) for key, value in overrides.items()}
    if isinstance(overrides, list):
        found: dict[str, str] = {}
        for item in overrides:
            found |= parsed_overrides(path, item)
        return found
    pairs = _OLD.findall(str(overrides)) or _NEW.findall(str(overrides))
    if not pairs:
        msg = f"{path}: parameter_overrides {overrides!r}: Key=value is understood"
        raise SettingsError(msg)
    return {key: _unquoted(value) for key, value in pairs}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(str(item).strip() for item in value if item not in (None, ""))
    return "" if value is None else str(value)


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return _ESCAPED.sub(r"\1", value)
