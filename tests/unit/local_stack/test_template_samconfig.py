"""samconfig.toml: parameter overrides in SAM CLI's forms, below those of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.errors import SettingsError
from local_stack.settings import load_settings
from local_stack.template.project import load_project
from local_stack.template.samconfig import find_samconfig, parsed_overrides, read_samconfig

if TYPE_CHECKING:
    from local_stack.model import Template

TEMPLATE = """\
Parameters:
  A: {Type: String, Default: from-template}
  B: {Type: String, Default: from-template}
  C: {Type: String, Default: from-template}
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.11
      Handler: app.handler
      InlineCode: ""
      Environment: {Variables: {AA: !Ref A, BB: !Ref B, CC: !Ref C}}
"""


def _write(folder: Path, overrides: str, command: str = "deploy") -> Path:
    path = folder / "samconfig.toml"
    path.write_text(f"version = 0.1\n[default.{command}.parameters]\n{overrides}\n")
    return path


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ('parameter_overrides = "A=1 B=2"', {"A": "1", "B": "2"}),
        ("parameter_overrides = 'A=\"good day\" B=2'", {"A": "good day", "B": "2"}),
        ("parameter_overrides = \"A='good day'\"", {"A": "good day"}),
        ("parameter_overrides = 'A=good\\ day'", {"A": "good day"}),
        ('parameter_overrides = \'A="say \\"hi\\""\'', {"A": 'say "hi"'}),
        ('parameter_overrides = "A= B=2"', {"A": "", "B": "2"}),
        ('parameter_overrides = "A=x=y"', {"A": "x=y"}),
        ('parameter_overrides = ["A=1", "B=2 C=3"]', {"A": "1", "B": "2", "C": "3"}),
        (
            'parameter_overrides = "ParameterKey=A,ParameterValue=1 ParameterKey=B,ParameterValue=2"',
            {"A": "1", "B": "2"},
        ),
        ('parameter_overrides = {A = 1, B = ["x", "y"]}', {"A": "1", "B": "x,y"}),
        ('parameter_overrides = ""', {}),
        ('stack_name = "x"', {}),
    ],
)
def test_overrides_are_read_in_every_form(
    tmp_path: Path, overrides: str, expected: dict[str, str]
) -> None:
    assert read_samconfig(_write(tmp_path, overrides)) == expected


def test_a_command_of_its_own_wins_over_global(tmp_path: Path) -> None:
    path = tmp_path / "samconfig.toml"
    path.write_text(
        '[default.deploy.parameters]\nparameter_overrides = "A=deploy B=deploy"\n'
        '[default.global.parameters]\nparameter_overrides = "A=global C=global"\n'
        '[default.local_start_api.parameters]\nparameter_overrides = "B=local"\n'
        '[prod.deploy.parameters]\nparameter_overrides = "A=prod"\n'
    )

    assert read_samconfig(path) == {"A": "deploy", "B": "local", "C": "global"}


def test_yaml_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "samconfig.yaml"
    path.write_text("default: {deploy: {parameters: {parameter_overrides: [A=1, {B: 2}]}}}\n")

    assert find_samconfig(tmp_path) == path
    assert read_samconfig(path) == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[default", "samconfig.toml: "),
        ('[default.deploy.parameters]\nparameter_overrides = "A"\n', "'A': Key=value is"),
        ("# " + "x" * 1024 * 1024, "more than 1048576 bytes"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "samconfig.toml"
    path.write_text(text)

    with pytest.raises(SettingsError) as caught:
        read_samconfig(path)
    assert message in str(caught.value)


def _project(folder: Path, table: str = "") -> Template:
    (folder / "template.yaml").write_text(TEMPLATE)
    (folder / "pyproject.toml").write_text(f"[tool.local-stack]\n{table}\n")
    return load_project(load_settings(folder))


def test_settings_win_over_samconfig_and_samconfig_over_defaults(tmp_path: Path) -> None:
    _write(tmp_path, 'parameter_overrides = "A=from-samconfig B=from-samconfig"')

    template = _project(tmp_path, 'parameters = {A = "from-settings"}')

    assert template.functions["Hello"].variables == {
        "AA": "from-settings",
        "BB": "from-samconfig",
        "CC": "from-template",
    }


def test_a_parameter_of_samconfig_that_the_template_has_not_is_ignored(tmp_path: Path) -> None:
    _write(tmp_path, 'parameter_overrides = "A=1 Other=2"')

    assert _project(tmp_path).functions["Hello"].variables["AA"] == "1"


def test_the_settings_may_name_another_file(tmp_path: Path) -> None:
    _write(tmp_path, 'parameter_overrides = "A=1"').rename(tmp_path / "other.toml")

    template = _project(tmp_path, f'samconfig = "{tmp_path}/other.toml"')

    assert template.functions["Hello"].variables["AA"] == "1"


def test_a_built_template_uses_the_file_of_its_project(tmp_path: Path) -> None:
    _write(tmp_path, 'parameter_overrides = "A=1"')
    build = tmp_path / ".aws-sam" / "build"
    build.mkdir(parents=True)
    (build / "template.yaml").write_text(TEMPLATE)

    template = load_project(load_settings(tmp_path, {"template": ".aws-sam/build/template.yaml"}))

    assert template.functions["Hello"].variables["AA"] == "1"


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9]{1,9}", fullmatch=True),
        st.text(st.characters(exclude_categories=["C"]), max_size=9),
        min_size=1,
    )
)
def test_what_is_written_quoted_is_read_as_it_was(values: dict[str, str]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = " ".join(f"{name}={quoted(value)}" for name, value in values.items())

    assert parsed_overrides(Path("samconfig.toml"), text) == values
