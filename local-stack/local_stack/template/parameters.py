"""The values of a template's Parameters: overrides over samconfig over defaults, each checked.

Rules of a parameter: the CloudFormation user guide, "Parameters". A list is split at its commas.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from local_stack.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_VALUE = object()
SSM_VALUE = "AWS::SSM::Parameter::Value"  # the template names where the value is, not the value
_LISTS = ("CommaDelimitedList", "List<")


def read_parameters(
    declared: Mapping[str, Any],
    overrides: Mapping[str, str],
    samconfig: Mapping[str, str],
    file_name: str,
) -> dict[str, Any]:
    """Every declared parameter's value, or `NO_VALUE`; lists are split.

    An override that no parameter takes is an error. One of `samconfig` is not: `sam deploy`
    ignores it too.
    """
    unknown = sorted(set(overrides) - set(declared))
    if unknown:
        known = ", ".join(declared) or "none"
        message = f"no such parameter; declared are: {known}"
        raise TemplateError(message, where=file_name, path=f"Parameters.{unknown[0]}")
    return {
        name: _value(_Parameter(name, declared[name], file_name), {**samconfig, **overrides})
        for name in declared
    }


def text_of(value: Any) -> str:
    """A scalar as CloudFormation's text: it writes truth values in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    declaration: Any
    file_name: str

    @property
    def kind(self) -> str:
        return str(self.declaration.get("Type", ""))

    def shown(self, value: str) -> str:
        """The value as messages show it: a secret is not shown."""
        return "the value" if text_of(self.declaration.get("NoEcho")) == "true" else repr(value)

    def fail(self, message: str) -> NoReturn:
        line = getattr(self.declaration, "line", 0)
        where = f"{self.file_name}:{line}" if line else self.file_name
        raise TemplateError(message, where=where, path=f"Parameters.{self.name}")


def _value(parameter: _Parameter, given: Mapping[str, str]) -> Any:
    is_elsewhere = parameter.kind.startswith(SSM_VALUE)
    if parameter.name not in given and ("Default" not in parameter.declaration or is_elsewhere):
        return NO_VALUE  # an error where it is used, not where it is declared
    value = text_of(given.get(parameter.name, parameter.declaration.get("Default")))
    is_list = parameter.kind.removeprefix(SSM_VALUE + "<").startswith(_LISTS)
    items = [item.strip() for item in value.split(",")] if is_list else [value]
    for item in items:
        _check(parameter, item)
    return items if is_list else value


def _check(parameter: _Parameter, value: str) -> None:
    rules = parameter.declaration
    allowed = rules.get("AllowedValues")
    if allowed is not None:
        if not isinstance(allowed, list):
            parameter.fail("AllowedValues is a list")
        if value not in [text_of(item) for item in allowed]:
            parameter.fail(f"{parameter.shown(value)} is not one of {allowed}")
    pattern = rules.get("AllowedPattern")
    if pattern is not None and not _matches(parameter, text_of(pattern), value):
        parameter.fail(f"the value does not match {pattern!r}")
    if parameter.kind in ("Number", "List<Number>"):
        _check_bounds(parameter, _number(parameter, value), "MinValue", "MaxValue", value)
    elif parameter.kind == "String":
        _check_bounds(parameter, len(value), "MinLength", "MaxLength", f"a length of {len(value)}")


def _check_bounds(
    parameter: _Parameter, number: float, least: str, most: str, subject: str
) -> None:
    for name, is_outside, side in ((least, operator.lt, "below"), (most, operator.gt, "above")):
        if name in parameter.declaration:
            bound = text_of(parameter.declaration[name])
            if is_outside(number, _number(parameter, bound)):
                parameter.fail(f"{subject} is {side} {name} {bound}")


def _matches(parameter: _Parameter, pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        parameter.fail(f"AllowedPattern {pattern!r} is no regular expression")


def _number(parameter: _Parameter, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        parameter.fail(f"{value!r} is not a number")
