"""A place in the template, with the checks that its readers share; messages name file and line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from local_stack.template.parameters import NO_VALUE, text_of
from local_stack.template.source import SKIP_HINT, LineDict, Source

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Place:
    """`values` (resolved properties) at `path`, as they stand in the file at `at`."""

    source: Source
    at: LineDict
    path: str

    def fail(self, what: str, message: str, hint: str = "") -> NoReturn:
        """Raise `TemplateError`: it is wrong on AWS too."""
        self.source.fail(self._keyed(what), self._path(what), message, hint)

    def unsupported(self, what: str, message: str, hint: str = SKIP_HINT) -> NoReturn:
        """Raise `NotHonoured`: AWS does it, and this runtime does not."""
        self.source.unsupported(self._keyed(what), self._path(what), message, hint)

    def inside(self, what: str, value: Mapping[str, Any]) -> Place:
        """The place of a mapping that is the value of the key `what`."""
        at = value if isinstance(value, LineDict) and value.line else self._keyed(what)
        return Place(self.source, at, self._path(what))

    def only(self, values: Mapping[str, Any], known: frozenset[str]) -> None:
        """Every key is among `known`; others are left out of `values` or refused."""
        for key in [key for key in values if key not in known]:
            with self.source.leaving_out():
                self.unsupported(key, "this runtime cannot honour it")

    def value(self, name: str, values: Mapping[str, Any]) -> Any:
        """What the key `name` of unresolved `values` is, resolved; None: it is absent."""
        resolved = self.source.resolve(values.get(name), self._path(name))
        return None if resolved is NO_VALUE else resolved

    def mapping(self, what: str, value: Any) -> LineDict:
        """A mapping; an absent one is empty."""
        if value is not None and not isinstance(value, LineDict):
            self.fail(what, "is a mapping")
        return value if value is not None else LineDict(line=self.at.line)

    def text(self, what: str, value: Any, default: str = "") -> str:
        """A scalar as a text."""
        if isinstance(value, dict | list):
            self.fail(what, "is a text")
        return default if value is None else text_of(value)

    def texts(self, what: str, value: Any) -> tuple[str, ...]:
        """A list of texts; an absent one is empty."""
        if value is None:
            return ()
        if not isinstance(value, list) or any(isinstance(item, dict | list) for item in value):
            self.fail(what, "is a list of texts")
        return tuple(text_of(item) for item in value)

    def one_of(self, what: str, value: Any, choices: tuple[str, ...]) -> str:
        """One of these texts."""
        text = self.text(what, value)
        if text not in choices:
            self.fail(what, f"{value!r} is none of {', '.join(choices)}")
        return text

    def boolean(self, what: str, value: Any, *, default: bool = False) -> bool:
        """True or false, also as the texts of them."""
        if value is None:
            return default
        return self.one_of(what, value, ("true", "false")) == "true"

    def integer(self, what: str, value: Any, low: int, high: int) -> int:
        """A whole number within these bounds, also as a text."""
        text = str(value)
        if not text.isdecimal() or not text.isascii() or not low <= int(text) <= high:
            self.fail(what, f"{value!r} is not a whole number from {low} to {high}")
        return int(text)

    def _path(self, what: str) -> str:
        return f"{self.path}.{what}" if what else self.path

    def _keyed(self, what: str) -> LineDict:
        """Where the first part of `what` is, if it is a key of this mapping."""
        line = self.at.key_lines.get(what.partition(".")[0])
        return LineDict(line=line) if line else self.at
