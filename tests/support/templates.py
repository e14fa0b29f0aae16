"""Templates written by a test, loaded as the runtime loads them."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from local_stack.errors import TemplateError
from local_stack.template.loader import load_template

if TYPE_CHECKING:
    from pathlib import Path

    from local_stack.model import Function, Template

FUNCTION = """\
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.11
      Handler: app.handler
      CodeUri: code/
"""


class Project:
    """A folder with a template and one folder of code."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "code").mkdir()

    @property
    def path(self) -> Path:
        """The template."""
        return self.folder / "template.yaml"

    def write(self, text: str) -> None:
        """Write `text` as template.yaml."""
        self.path.write_text(dedent(text))

    def load(self, text: str, **parameters: str) -> Template:
        """Write `text` as template.yaml and load it with these parameter overrides."""
        self.write(text)
        return load_template(self.path, parameters)

    def skipping(self, text: str, **more: Any) -> Template:
        """The same with `skip_unsupported`, and `more` arguments."""
        self.write(text)
        return load_template(self.path, {}, skip_unsupported=True, **more)

    def function(self, properties: str = "", *, before: str = "", **parameters: str) -> Function:
        """The function `Hello`, with more `properties`, and `before` in front of Resources."""
        text = dedent(before) + FUNCTION + _indented(properties, 6)
        [function] = self.load(text, **parameters).functions.values()
        return function

    def function_of(self, properties: str, *, after: str) -> Function:
        """The function `Hello` with more resources after it."""
        return self.load(_with(properties) + after).functions["Hello"]

    def variable(self, value: str, *, before: str = "", **parameters: str) -> str:
        """What an environment variable becomes whose value is this YAML."""
        properties = f"Environment:\n  Variables:\n    VALUE: {value}\n"
        return self.function(properties, before=before, **parameters).variables["VALUE"]

    def refusal(self, text: str, **parameters: str) -> str:
        """The message with which a template is refused."""
        with pytest.raises(TemplateError) as caught:
            self.load(text, **parameters)
        return str(caught.value)

    def function_refusal(self, properties: str, *, before: str = "", after: str = "") -> str:
        """The message with which a function of these properties is refused."""
        return self.refusal(dedent(before) + _with(properties) + after)


def _with(properties: str) -> str:
    return FUNCTION + _indented(properties, 6)


def _indented(text: str, columns: int) -> str:
    lines = dedent(text).splitlines()
    return "".join(f"{' ' * columns}{line}\n" if line else "\n" for line in lines)
