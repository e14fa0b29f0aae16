"""Resolves CloudFormation intrinsics strictly: what cannot be known is an error, never "".

Sources: the CloudFormation intrinsic function reference; the pseudo parameters have the values
that the Invoke API and the ARNs of this runtime use.
"""

from __future__ import annotations

import base64
import operator
import re
from typing import TYPE_CHECKING, Any, NoReturn

from local_stack.errors import TemplateError
from local_stack.model import ACCOUNT_ID, REGION, function_arn
from local_stack.template.source import LineDict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PSEUDO = {
    "AWS::AccountId": ACCOUNT_ID,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "local-stack",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/local-stack/0",
}
NO_VALUE = object()
_SSM_VALUE = "AWS::SSM::Parameter::Value"  # the template names where the value is, not the value
_SUB = re.compile(r"\$\{(!?)([^}]*)\}")
_FUNCTION = "AWS::Serverless::Function"


class Resolver:
    """Resolves values of one template document under given parameter overrides."""

    def __init__(
        self, document: Mapping[str, Any], overrides: Mapping[str, str], file_name: str
    ) -> None:
        self._document = document
        self._resources: Mapping[str, Any] = document["Resources"]
        self._file_name = file_name
        self._parameters = self._read_parameters(overrides)
        self._conditions: dict[str, bool] = {}
        self._deciding: list[str] = []  # conditions that are being worked out, for cycles
        self._handlers: dict[str, Callable[[Any, str, int], Any]] = {
            "Ref": self._ref,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::Split": self._split,
            "Fn::Select": self._select,
            "Fn::If": self._if,
            "Fn::GetAtt": self._get_att,
            "Fn::FindInMap": self._find_in_map,
            "Fn::Base64": self._base64,
            "Fn::Equals": self._equals,
            "Fn::And": self._and,
            "Fn::Or": self._or,
            "Fn::Not": self._not,
            "Condition": lambda value, path, line: self.condition(value),
        }

    def resolve(self, value: Any, path: str) -> Any:
        """`value` with all intrinsics replaced; keys resolved to `AWS::NoValue` are dropped."""
        if isinstance(value, list):
            items = (self.resolve(item, f"{path}[{i}]") for i, item in enumerate(value))
            return [item for item in items if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name in self._handlers and name != "Condition":
                return self._handlers[name](argument, path, getattr(value, "line", 0))
            if name.startswith("Fn::"):
                self._fail(path, getattr(value, "line", 0), f"{name} cannot be known locally")
        # A LineDict stays one, and keeps its line for messages of whoever reads it.
        result = LineDict(line=getattr(value, "line", 0))
        for key, item in value.items():
            resolved = self.resolve(item, f"{path}.{key}")
            if resolved is not NO_VALUE:
                result[key] = resolved
        return result

    def condition(self, name: str) -> bool:
        """Whether the named condition of the template holds."""
        path = f"Conditions.{name}"
        if not isinstance(name, str):
            self._fail("Conditions", getattr(name, "line", 0), "a condition is a name")
        if name not in self._conditions:
            conditions = self._document.get("Conditions") or {}
            if name not in conditions:
                self._fail(path, 0, "no such condition")
            if name in self._deciding:
                self._fail(path, getattr(conditions[name], "line", 0), "it depends on itself")
            self._deciding.append(name)
            self._conditions[name] = self._truth(conditions[name], path)
            self._deciding.pop()
        return self._conditions[name]

    def _read_parameters(self, overrides: Mapping[str, str]) -> dict[str, Any]:
        declared: Mapping[str, Any] = self._document.get("Parameters") or {}
        unknown = sorted(set(overrides) - set(declared))
        if unknown:
            known = ", ".join(declared) or "none"
            self._fail(f"Parameters.{unknown[0]}", 0, f"no such parameter; declared are: {known}")
        values: dict[str, Any] = {}
        for name, parameter in declared.items():
            path, line = f"Parameters.{name}", getattr(parameter, "line", 0)
            is_elsewhere = str(parameter.get("Type", "")).startswith(_SSM_VALUE)
            if name not in overrides and ("Default" not in parameter or is_elsewhere):
                values[name] = NO_VALUE  # an error where it is used, not where it is declared
                continue
            value = text_of(overrides.get(name, parameter.get("Default")))
            self._check_parameter(parameter, value, path, line)
            is_list = str(parameter.get("Type", "")).startswith(("CommaDelimitedList", "List<"))
            values[name] = [item.strip() for item in value.split(",")] if is_list else value
        return values

    def _check_parameter(self, parameter: Any, value: str, path: str, line: int) -> None:
        allowed = parameter.get("AllowedValues")
        if allowed is not None:
            if not isinstance(allowed, list):
                self._fail(path, line, "AllowedValues is a list")
            if value not in [text_of(item) for item in allowed]:
                self._fail(path, line, f"{value!r} is not one of {allowed}")
        pattern = parameter.get("AllowedPattern")
        if pattern is not None and not self._matches(text_of(pattern), value, path, line):
            self._fail(path, line, f"the value does not match {pattern!r}")
        if parameter.get("Type") != "Number":
            return
        number = self._number(value, path, line)
        for name, is_outside in (("MinValue", operator.lt), ("MaxValue", operator.gt)):
            if name in parameter:
                bound = text_of(parameter[name])
                if is_outside(number, self._number(bound, path, line)):
                    side = "below" if name == "MinValue" else "above"
                    self._fail(path, line, f"{value} is {side} {name} {bound}")

    def _matches(self, pattern: str, value: str, path: str, line: int) -> bool:
        try:
            return re.fullmatch(pattern, value) is not None
        except re.error:
            self._fail(path, line, f"AllowedPattern {pattern!r} is no regular expression")

    def _number(self, value: str, path: str, line: int) -> float:
        try:
            return float(value)
        except ValueError:
            self._fail(path, line, f"{value!r} is not a number")

    def _ref(self, name: Any, path: str, line: int) -> Any:
        if not isinstance(name, str):
            self._fail(path, line, "Ref takes a name")
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self._parameters:
            value = self._parameters[name]
            if value is NO_VALUE:
                hint = "set it in [tool.local-stack.parameters] or give it a Default"
                self._fail(path, line, f"parameter {name} has no value", hint)
            return value
        if name in self._resources:
            return self._physical_id(name)
        raise self._error(path, line, f"Ref {name!r} names neither a parameter nor a resource")

    def _physical_id(self, logical_id: str) -> str:
        resource = self._resources[logical_id]
        if resource.get("Type") == _FUNCTION:
            named = (resource.get("Properties") or {}).get("FunctionName")
            if named is not None:
                return str(self.resolve(named, f"Resources.{logical_id}.FunctionName"))
        return logical_id

    def _sub(self, argument: Any, path: str, line: int) -> str:
        text, local = argument, {}
        if isinstance(argument, list):
            if len(argument) != 2:
                self._fail(path, line, "Fn::Sub takes a text, or a text and a mapping")
            text, local = argument
        if not isinstance(text, str) or not isinstance(local, dict):
            self._fail(path, line, "Fn::Sub takes a text, or a text and a mapping")

        def replace(match: re.Match[str]) -> str:
            literal, name = match.group(1), match.group(2).strip()
            if literal:
                return "${" + name + "}"
            if name in local:
                return text_of(self.resolve(local[name], path))
            if "." in name and name not in PSEUDO:
                return self._get_att(name.split(".", 1), path, line)
            return text_of(self._ref(name, path, line))

        return _SUB.sub(replace, text)

    def _join(self, argument: Any, path: str, line: int) -> str:
        separator, items = self._pair(argument, path, line, "Fn::Join")
        resolved = self.resolve(items, path)
        if not isinstance(resolved, list):
            self._fail(path, line, "Fn::Join joins a list")
        return str(separator).join(text_of(item) for item in resolved)

    def _split(self, argument: Any, path: str, line: int) -> list[str]:
        separator, text = self._pair(argument, path, line, "Fn::Split")
        if not isinstance(separator, str) or not separator:
            self._fail(path, line, "Fn::Split splits at a text")
        return text_of(self.resolve(text, path)).split(separator)

    def _select(self, argument: Any, path: str, line: int) -> Any:
        index, items = self._pair(argument, path, line, "Fn::Select")
        resolved = self.resolve(items, path)
        position = text_of(self.resolve(index, path))
        if not isinstance(resolved, list) or not position.isdecimal():
            self._fail(path, line, "Fn::Select takes a whole number and a list")
        if int(position) >= len(resolved):
            self._fail(path, line, f"Fn::Select: no item {position}")
        return resolved[int(position)]

    def _if(self, argument: Any, path: str, line: int) -> Any:
        if not isinstance(argument, list) or len(argument) != 3:
            self._fail(path, line, "Fn::If takes a condition and two values")
        name, then, otherwise = argument
        return self.resolve(then if self.condition(name) else otherwise, path)

    def _get_att(self, argument: Any, path: str, line: int) -> str:
        logical_id, attribute = self._pair(argument, path, line, "Fn::GetAtt")
        resource = self._resources.get(str(logical_id))
        if resource is None:
            self._fail(path, line, f"Fn::GetAtt: no resource {logical_id!r}")
        if resource.get("Type") == _FUNCTION and attribute == "Arn":
            return function_arn(self._physical_id(logical_id))
        message = f"Fn::GetAtt {logical_id}.{attribute} cannot be known locally"
        raise self._error(path, line, message)

    def _find_in_map(self, argument: Any, path: str, line: int) -> Any:
        if not isinstance(argument, list) or len(argument) != 3:
            self._fail(path, line, "Fn::FindInMap takes a map and two keys")
        found: Any = self._document.get("Mappings") or {}
        for key in self.resolve(argument, path):
            if not isinstance(found, dict) or not isinstance(key, str) or key not in found:
                self._fail(path, line, f"Fn::FindInMap: no key {key!r}")
            found = found[key]
        return found

    def _base64(self, argument: Any, path: str, line: int) -> str:
        return base64.b64encode(text_of(self.resolve(argument, path)).encode()).decode()

    def _equals(self, argument: Any, path: str, line: int) -> bool:
        left, right = self._pair(argument, path, line, "Fn::Equals")
        return text_of(self.resolve(left, path)) == text_of(self.resolve(right, path))

    def _and(self, argument: Any, path: str, line: int) -> bool:
        return all(self._truths(argument, path, line))

    def _or(self, argument: Any, path: str, line: int) -> bool:
        return any(self._truths(argument, path, line))

    def _not(self, argument: Any, path: str, line: int) -> bool:
        truths = self._truths(argument, path, line)
        if len(truths) != 1:
            self._fail(path, line, "Fn::Not takes a list of one condition")
        return not truths[0]

    def _truths(self, argument: Any, path: str, line: int) -> list[bool]:
        if not isinstance(argument, list):
            self._fail(path, line, "this function takes a list of conditions")
        return [self._truth(item, path) for item in argument]

    def _truth(self, value: Any, path: str) -> bool:
        if isinstance(value, dict) and set(value) == {"Condition"}:
            return self.condition(value["Condition"])
        resolved = self.resolve(value, path)
        if not isinstance(resolved, bool):
            self._fail(path, getattr(value, "line", 0), "a condition is true or false")
        return resolved

    def _pair(self, argument: Any, path: str, line: int, name: str) -> tuple[Any, Any]:
        if not isinstance(argument, list) or len(argument) != 2:
            self._fail(path, line, f"{name} takes a list of two")
        return argument[0], argument[1]

    def _fail(self, path: str, line: int, message: str, hint: str = "") -> NoReturn:
        raise self._error(path, line, message, hint)

    def _error(self, path: str, line: int, message: str, hint: str = "") -> TemplateError:
        where = f"{self._file_name}:{line}" if line else self._file_name
        return TemplateError(message, where=where, path=path, hint=hint)


def text_of(value: Any) -> str:
    """A scalar as CloudFormation's text: it writes truth values in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)
