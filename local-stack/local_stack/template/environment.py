"""A function's environment variables, and SAM CLI's `--env-vars` files.

An `--env-vars` file maps logical ids (or names) of functions to variables; `Parameters` holds
those for all functions. As in SAM CLI only variables that the template names are set by it
(samcli/local/lambdafn/env_vars.py), so a variable that cannot be known here gets its value there.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from local_stack.errors import SettingsError
from local_stack.template.parameters import NO_VALUE, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local_stack.template.place import Place

EnvVars = dict[str, dict[str, str]]

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
ENV_VARS_BYTES_MAX = 1024 * 1024
_CHOICES = frozenset(["Fn::If", "Fn::FindInMap", "Fn::Transform", "Ref"])
_VARIABLE = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")


def read_env_vars(path: Path) -> EnvVars:
    """The `--env-vars` file at `path`. Raises `SettingsError` that names the file."""
    try:
        if path.stat().st_size > ENV_VARS_BYTES_MAX:
            msg = f"--env-vars {path}: more than {ENV_VARS_BYTES_MAX} bytes"
            raise SettingsError(msg)
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"--env-vars {path}: {error.strerror}"
        raise SettingsError(msg) from error
    except ValueError as error:  # no JSON, or no UTF-8
        msg = f"--env-vars {path}: {error}"
        raise SettingsError(msg) from error
    if not isinstance(document, dict) or not all(isinstance(v, dict) for v in document.values()):
        msg = f"--env-vars {path}: it is a JSON object of objects, by function or `Parameters`"
        raise SettingsError(msg)
    return {
        function: {name: _as_sam_writes(value) for name, value in variables.items()}
        for function, variables in document.items()
    }


def _as_sam_writes(value: Any) -> str:
    """SAM CLI's rule: lists, objects and null become the empty text."""
    return "" if value is None or isinstance(value, dict | list) else text_of(value)


def read_variables(place: Place, raw: Any, overrides: Mapping[str, str]) -> dict[str, str]:
    """`Environment` of a function, each variable a text; `overrides` win and are not resolved.

    A variable that cannot be known is left out under `--skip-unsupported`, with a message.
    """
    source = place.source
    environment = place.mapping("Environment", _opened(place, "Environment", raw))
    inner = place.inside("Environment", environment)
    given = _opened(inner, "Variables", environment.get("Variables"))
    given = inner.mapping("Variables", given)
    at = inner.inside("Variables", given)
    variables: dict[str, str] = {}
    for name, value in given.items():
        _check_name(at, name)
        if name in overrides:
            variables[name] = overrides[name]
            continue
        with source.leaving_out():
            resolved = source.resolve(value, f"{at.path}.{name}")
            if resolved is not NO_VALUE:
                variables[name] = _text(at, name, resolved)
    size = sum(len(name.encode()) + len(value.encode()) for name, value in variables.items())
    if size > VARIABLES_BYTES_MAX:
        message = f"{size} bytes of variables; Lambda takes {VARIABLES_BYTES_MAX}"
        place.fail("Environment", message)
    return variables


def _opened(place: Place, name: str, value: Any) -> Any:
    """A mapping as it is, so that each variable is resolved alone; an intrinsic as a whole."""
    is_intrinsic = isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _CHOICES
    return place.value(name, {name: value}) if is_intrinsic else value


def _text(place: Place, name: str, value: Any) -> str:
    if isinstance(value, dict | list) or value is None:
        place.fail(name, "is a text")
    return text_of(value)


def _check_name(place: Place, name: str) -> None:
    if name in RESERVED_VARIABLES:
        place.fail(name, "Lambda sets this variable itself")
    if not _VARIABLE.fullmatch(name):
        place.fail(name, "a name starts with a letter and has letters, digits and _ only")


def overrides_of(env_vars: Mapping[str, Mapping[str, str]], *names: str) -> dict[str, str]:
    """What an `--env-vars` file says for the function that has these names; the first found wins."""
    own = next((env_vars[name] for name in names if env_vars.get(name)), {})
    return {**env_vars.get("Parameters", {}), **own}
