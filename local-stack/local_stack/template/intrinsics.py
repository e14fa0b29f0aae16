"""Resolves CloudFormation intrinsics strictly: what cannot be known is an error, never "".

Sources: the CloudFormation intrinsic function reference; the pseudo parameters have the values
that the Invoke API and the ARNs of this runtime use.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from local_stack.errors import TemplateError
from local_stack.model import ACCOUNT_ID, REGION
from local_stack.template.parameters import NO_VALUE, SSM_VALUE, read_parameters, text_of
from local_stack.template.references import References, naming_property
from local_stack.template.source import SKIP_HINT, LineDict, NotHonoured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PSEUDO: dict[str, Any] = {
    "AWS::AccountId": ACCOUNT_ID,
    "AWS::NotificationARNs": [],
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "local-stack",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/local-stack/0",
}
LANGUAGE_EXTENSIONS = "AWS::LanguageExtensions"
_SUB = re.compile(r"\$\{(!?)([^}]*)\}")
_CIDR_BLOCKS_MAX = 256  # Fn::Cidr, "count"


class Resolver:
    """Resolves values of one template document under given parameter overrides."""

    def __init__(
        self,
        document: Mapping[str, Any],
        overrides: Mapping[str, str],
        file_name: str,
        samconfig: Mapping[str, str] | None = None,
    ) -> None:
        self._document = document
        self._file_name = file_name
        self._declared: Mapping[str, Any] = document.get("Parameters") or {}
        self._parameters = read_parameters(self._declared, overrides, samconfig or {}, file_name)
        self._references = References(document["Resources"], self.resolve, NO_VALUE)
        self._resolving: list[str] = []  # references that are being worked out, for cycles
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
            "Fn::GetAZs": self._get_azs,
            "Fn::Cidr": self._cidr,
            "Fn::Equals": self._equals,
            "Fn::And": self._and,
            "Fn::Or": self._or,
            "Fn::Not": self._not,
            "Condition": lambda value, path, line: self.condition(value),
        }
        if self._has_language_extensions():
            self._handlers |= {"Fn::Length": self._length, "Fn::ToJsonString": self._to_json}

    def resolve(self, value: Any, path: str) -> Any:
        """`value` with all intrinsics replaced; keys resolved to `AWS::NoValue` are dropped."""
        if isinstance(value, list):
            items = (self.resolve(item, f"{path}[{i}]") for i, item in enumerate(value))
            return [item for item in items if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            line = getattr(value, "line", 0)
            if name in self._handlers and name != "Condition":
                return self._handlers[name](argument, path, line)
            if name.startswith("Fn::"):
                self._unknown(path, line, f"{name} cannot be known locally")
        # A LineDict stays one, and keeps its lines for messages of whoever reads it.
        result = LineDict(line=getattr(value, "line", 0))
        result.key_lines = getattr(value, "key_lines", {})
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
            try:
                self._conditions[name] = self._truth(conditions[name], path)
            finally:
                self._deciding.pop()
        return self._conditions[name]

    def _has_language_extensions(self) -> bool:
        transform = self._document.get("Transform")
        return LANGUAGE_EXTENSIONS in (transform if isinstance(transform, list) else [transform])

    # --- what a name stands for --------------------------------------------------------------

    def _ref(self, name: Any, path: str, line: int) -> Any:
        if not isinstance(name, str):
            self._fail(path, line, "Ref takes a name")
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self._parameters:
            return self._parameter(name, path, line)
        if not self._references.is_resource(name):
            self._fail(path, line, f"Ref {name!r} names neither a parameter nor a resource")
        value = self._guarded(name, path, line, lambda: self._references.ref(name))
        return self._unresolved(name, path, line) if value is None else value

    def _parameter(self, name: str, path: str, line: int) -> Any:
        value = self._parameters[name]
        if value is NO_VALUE:
            kind = str(self._declared[name].get("Type", ""))
            elsewhere = (
                " here: AWS keeps it in Systems Manager" if kind.startswith(SSM_VALUE) else ""
            )
            hint = "set it in [tool.local-stack.parameters] or give it a Default"
            self._unknown(path, line, f"parameter {name} has no value{elsewhere}", hint)
        return value

    def _unresolved(self, name: str, path: str, line: int) -> NoReturn:
        base = name.partition(".")[0]
        kind = str((self._document["Resources"].get(base) or {}).get("Type"))
        naming = naming_property(kind)
        hint = f"name it in the template ({naming}), " if naming and naming != name else ""
        if ".Environment.Variables." in path:
            hint += "give the variable a value with --env-vars, "
        message = f"Ref {name}: only AWS knows the name of this {kind}"
        self._unknown(path, line, message, f"{hint}or {SKIP_HINT}")

    def _get_att(self, argument: Any, path: str, line: int) -> str:
        if isinstance(argument, str):
            argument = argument.split(".", 1)
        logical_id, attribute = self._pair(argument, path, line, "Fn::GetAtt")
        attribute = text_of(self.resolve(attribute, path))
        if not self._references.is_resource(str(logical_id)):
            self._fail(path, line, f"Fn::GetAtt: no resource {logical_id!r}")
        value = self._guarded(
            logical_id, path, line, lambda: self._references.get_att(logical_id, attribute)
        )
        if value is None:
            message = f"Fn::GetAtt {logical_id}.{attribute} cannot be known locally"
            self._unknown(path, line, message)
        return value

    def _guarded(
        self, name: str, path: str, line: int, find: Callable[[], str | None]
    ) -> str | None:
        """A name may be made of other names, but not of itself."""
        if name in self._resolving:
            self._fail(path, line, f"{name} refers to itself")
        self._resolving.append(name)
        try:
            return find()
        finally:
            self._resolving.pop()

    # --- texts and lists ---------------------------------------------------------------------

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
            base, _, generated = name.partition(".")
            is_generated = generated in ("Alias", "Version", "Stage")
            if generated and name not in PSEUDO and not is_generated:
                return self._get_att([base, generated], path, line)
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

    def _find_in_map(self, argument: Any, path: str, line: int) -> Any:
        """With the language extensions a fourth item gives a default."""
        default: Any = NO_VALUE
        if isinstance(argument, list) and len(argument) == 4 and self._has_language_extensions():
            *argument, last = argument
            if not isinstance(last, dict) or set(last) != {"DefaultValue"}:
                self._fail(path, line, "Fn::FindInMap: the fourth item is a DefaultValue")
            default = last["DefaultValue"]
        if not isinstance(argument, list) or len(argument) != 3:
            self._fail(path, line, "Fn::FindInMap takes a map and two keys")
        found: Any = self._document.get("Mappings") or {}
        for key in self.resolve(argument, path):
            if not isinstance(found, dict) or not isinstance(key, str) or key not in found:
                if default is not NO_VALUE:
                    return self.resolve(default, path)
                self._fail(path, line, f"Fn::FindInMap: no key {key!r}")
            found = found[key]
        return found

    def _base64(self, argument: Any, path: str, line: int) -> str:
        return base64.b64encode(text_of(self.resolve(argument, path)).encode()).decode()

    def _get_azs(self, argument: Any, path: str, line: int) -> list[str]:
        region = text_of(self.resolve(argument, path)) or REGION
        return [region + zone for zone in "abc"]

    def _cidr(self, argument: Any, path: str, line: int) -> list[str]:
        resolved = self.resolve(argument, path)
        if not isinstance(resolved, list) or not 2 <= len(resolved) <= 3:
            self._fail(path, line, "Fn::Cidr takes a block, a count, and bits")
        block, count, bits = (*(text_of(item) for item in resolved), "8")[:3]
        try:
            network = ipaddress.ip_network(block)
            blocks = network.subnets(new_prefix=network.max_prefixlen - int(bits))
            if not 1 <= int(count) <= _CIDR_BLOCKS_MAX:
                self._fail(path, line, f"Fn::Cidr gives 1 to {_CIDR_BLOCKS_MAX} blocks")
            found = [str(subnet) for _, subnet in zip(range(int(count)), blocks, strict=False)]
        except ValueError as error:
            self._fail(path, line, f"Fn::Cidr: {error}")
        if len(found) < int(count):
            self._fail(path, line, f"Fn::Cidr: {block} has no {count} blocks of {bits} bits")
        return found

    def _length(self, argument: Any, path: str, line: int) -> int:
        resolved = self.resolve(argument, path)
        if not isinstance(resolved, list):
            self._fail(path, line, "Fn::Length counts a list")
        return len(resolved)

    def _to_json(self, argument: Any, path: str, line: int) -> str:
        return json.dumps(self.resolve(argument, path), separators=(",", ":"))

    # --- conditions --------------------------------------------------------------------------

    def _if(self, argument: Any, path: str, line: int) -> Any:
        if not isinstance(argument, list) or len(argument) != 3:
            self._fail(path, line, "Fn::If takes a condition and two values")
        name, then, otherwise = argument
        return self.resolve(then if self.condition(name) else otherwise, path)

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

    # --- messages ----------------------------------------------------------------------------

    def _pair(self, argument: Any, path: str, line: int, name: str) -> tuple[Any, Any]:
        if not isinstance(argument, list) or len(argument) != 2:
            self._fail(path, line, f"{name} takes a list of two")
        return argument[0], argument[1]

    def _fail(self, path: str, line: int, message: str, hint: str = "") -> NoReturn:
        raise TemplateError(message, where=self._where(line), path=path, hint=hint)

    def _unknown(self, path: str, line: int, message: str, hint: str = SKIP_HINT) -> NoReturn:
        raise NotHonoured(message, where=self._where(line), path=path, hint=hint)

    def _where(self, line: int) -> str:
        return f"{self._file_name}:{line}" if line else self._file_name
