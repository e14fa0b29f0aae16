"""Functions of a template: globals, layers, variables, limits, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from local_stack.model import Function
from local_stack.template.functions import RESERVED_VARIABLES, VARIABLES_BYTES_MAX
from tests.support.templates import Project

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_function_has_lambdas_defaults(project: Project) -> None:
    assert project.function() == Function(
        logical_id="Hello",
        name="Hello",
        handler="app.handler",
        runtime="python3.11",
        code_dir=project.folder / "code",
        layer_paths=(),
        variables={},
        timeout_s=3.0,
        memory_mb=128,
        reserved_concurrency=None,
        provisioned_concurrency=0,
        description="",
        routes=(),
    )


def test_a_function_is_read_whole(project: Project) -> None:
    function = project.function(
        """
        FunctionName: my-function_1
        Description: !Sub "in ${AWS::Region}"
        Timeout: 900
        MemorySize: "10240"
        ReservedConcurrentExecutions: 0
        AutoPublishAlias: live
        ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 2}
        Environment: {Variables: {TEXT: abc, NUMBER: 5, TRUE_ONE: true, EMPTY: ""}}
        Tags: {a: b}
        """
    )

    assert function.name == "my-function_1"
    assert function.description == "in us-east-1"
    assert (function.timeout_s, function.memory_mb) == (900.0, 10240)
    assert (function.reserved_concurrency, function.provisioned_concurrency) == (0, 2)
    expected = {"TEXT": "abc", "NUMBER": "5", "TRUE_ONE": "true", "EMPTY": ""}
    assert function.variables == expected
    assert function.arn == "arn:aws:lambda:us-east-1:000000000000:function:my-function_1"


# --- globals ---------------------------------------------------------------------------------

GLOBALS = """\
Globals:
  Function:
    Timeout: 30
    MemorySize: 512
    Layers: [!Ref First]
    Environment:
      Variables: {STAGE: test, LEVEL: INFO}
"""
LAYERS = """
  First:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: first/}
  Second:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: second/}
"""


def _with_layers(project: Project, properties: str = "") -> Function:
    for name in ("first", "second"):
        (project.folder / name).mkdir(exist_ok=True)
    text = f"{GLOBALS}Resources:{LAYERS}"
    text += "  Hello:\n    Type: AWS::Serverless::Function\n    Properties:\n"
    text += "      {Runtime: python3.11, Handler: app.handler, CodeUri: code/" + properties + "}\n"
    return project.load(text).functions["Hello"]


def test_globals_fill_in_what_a_function_does_not_say(project: Project) -> None:
    function = _with_layers(project)

    assert (function.timeout_s, function.memory_mb) == (30.0, 512)
    assert function.variables == {"STAGE": "test", "LEVEL": "INFO"}
    assert function.layer_paths == (project.folder / "first",)


def test_scalars_of_the_function_win_maps_merge_and_lists_add(project: Project) -> None:
    function = _with_layers(
        project,
        ", Timeout: 5, Layers: [!Ref Second], Environment: {Variables: {LEVEL: DEBUG, MORE: x}}",
    )

    assert (function.timeout_s, function.memory_mb) == (5.0, 512)
    assert function.variables == {"STAGE": "test", "LEVEL": "DEBUG", "MORE": "x"}
    # Lambda merges them into /opt one over the other: what the last one has is found first.
    assert function.layer_paths == (project.folder / "second", project.folder / "first")


# --- layers ----------------------------------------------------------------------------------


def _layer(project: Project) -> Path:
    text = "Resources:\n  Library:\n    Type: AWS::Serverless::LayerVersion\n"
    text += "    Properties: {ContentUri: library/}\n"
    text += "  Hello:\n    Type: AWS::Serverless::Function\n    Properties:\n"
    text += "      Runtime: python3.11\n      Handler: app.handler\n      CodeUri: code/\n"
    text += "      Layers: [!Ref Library]\n"
    [path] = project.load(text).functions["Hello"].layer_paths
    return path


def test_a_built_layer_is_its_python_folder(project: Project) -> None:
    (project.folder / "library" / "python").mkdir(parents=True)

    assert _layer(project) == project.folder / "library" / "python"


def test_an_unbuilt_layer_that_is_a_package_is_imported_by_its_name(project: Project) -> None:
    (project.folder / "library").mkdir()
    (project.folder / "library" / "__init__.py").touch()

    assert _layer(project) == project.folder


def test_an_unbuilt_layer_of_modules_is_the_folder_itself(project: Project) -> None:
    (project.folder / "library").mkdir()

    assert _layer(project) == project.folder / "library"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nowhere/", "Resources.Library.Properties.ContentUri: no folder nowhere/"),
        ("[a]", "Resources.Library.Properties.ContentUri: is a local folder or zip file"),
        ("{Bucket: b, Key: k}", "Resources.Library.Properties.ContentUri: names code that is not"),
    ],
)
def test_a_layer_is_a_local_folder(project: Project, content: str, message: str) -> None:
    refusal = project.refusal(
        "Resources:\n  Library:\n    Type: AWS::Serverless::LayerVersion\n"
        f"    Properties: {{ContentUri: {content}}}\n"
    )

    assert refusal.startswith(f"template.yaml:4: {message}")


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ("FunctionName: 'a b'", "FunctionName: 'a b' is not a function name"),
        (f"FunctionName: {'a' * 65}", "is not a function name"),
        ("Timeout: 0", "Timeout: 0 is not a whole number from 1 to 900"),
        ("Timeout: 901", "Timeout: 901 is not a whole number from 1 to 900"),
        ("Timeout: 2.5", "Timeout: 2.5 is not a whole number"),
        ("Timeout: true", "Timeout: True is not a whole number"),
        ("MemorySize: 127", "MemorySize: 127 is not a whole number from 128 to 10240"),
        ("MemorySize: 10241", "MemorySize: 10241 is not"),
        ("MemorySize: lots", "MemorySize: 'lots' is not"),
        ("ReservedConcurrentExecutions: -1", "ReservedConcurrentExecutions: -1 is not"),
        ("ReservedConcurrentExecutions: 10001", "ReservedConcurrentExecutions: 10001 is not"),
        (
            "{AutoPublishAlias: live, ProvisionedConcurrencyConfig:"
            " {ProvisionedConcurrentExecutions: 10001}}",
            "ProvisionedConcurrentExecutions: 10001 is not",
        ),
        (
            "ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 1}",
            "ProvisionedConcurrencyConfig: AutoPublishAlias is needed with it",
        ),
        ("ProvisionedConcurrencyConfig: 3", "ProvisionedConcurrencyConfig: is a mapping"),
        ("Environment: [a]", "Environment: is a mapping"),
        ("Environment: {Variables: [a]}", "Environment.Variables: is a mapping"),
        ("Environment: {Variables: {A: x}}", "Environment.Variables.A: a name starts with"),
        ("Environment: {Variables: {1AB: x}}", "Environment.Variables.1AB: a name starts with"),
        ("Environment: {Variables: {A-B: x}}", "Environment.Variables.A-B: a name starts with"),
        ("Environment: {Variables: {AB: }}", "Environment.Variables.AB: is a text"),
        ("Layers: [arn:aws:lambda:eu-west-1:1:layer:x:1]", "is not a layer of this template"),
        ("Layers: [!Ref Hello]", "is not a layer of this template (use !Ref)"),
        ("Layers: text", "Layers: is a list"),
        ("Events: text", "Events: is a mapping"),
        ("EphemeralStorage: {Size: 511}", "EphemeralStorage.Size: 511 is not a whole number from"),
        ("EphemeralStorage: {Size: 10241}", "Size: 10241 is not a whole number from 512 to 10240"),
        ("ImageUri: x", "ImageUri: images do not run here"),
        ("PackageType: Image", "PackageType: images do not run here"),
        ("Architectures: [arm64, x86_64]", "Architectures: is a list of one"),
        ("Architectures: [sparc]", "Architectures: 'sparc' is none of x86_64, arm64"),
        ("FileSystemConfigs: []", "FileSystemConfigs: this runtime cannot honour it"),
        ("DeadLetterQueue: {Type: SQS}", "DeadLetterQueue: this runtime cannot honour it"),
        ("Timeuot: 5", "Timeuot: this runtime cannot honour it"),
    ],
)
def test_a_function_that_cannot_be_honoured_is_refused(
    project: Project, properties: str, message: str
) -> None:
    if properties.startswith("{"):  # several: one a line
        properties = "\n".join(
            f"{key}: {value}" for key, value in yaml.safe_load(properties).items()
        )
    line = 8 + properties.count("\n")

    refusal = project.function_refusal(properties)

    assert message in refusal
    assert refusal.startswith(f"template.yaml:{line}: Resources.Hello.Properties.")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("Runtime", "nodejs22.x", "'nodejs22.x' does not run here (python3.10 to python3.14 do)"),
        ("Runtime", "python3.9", "'python3.9' does not run here"),
        ("Runtime", "python3.15", "'python3.15' does not run here"),
        ("Handler", "handler", "names a module and a function, such as app.handler"),
        ("Handler", "[a]", "names a module and a function"),
        ("CodeUri", "nowhere/", "no folder nowhere/"),
        ("CodeUri", "s3://bucket/key", "names code that is not on this machine"),
        ("CodeUri", "{Bucket: b, Key: k}", "names code that is not on this machine"),
        ("CodeUri", "[a]", "is a local folder or zip file"),
    ],
)
def test_what_a_function_needs_is_checked(
    project: Project, name: str, value: str, message: str
) -> None:
    needed = {"Runtime": "python3.11", "Handler": "app.handler", "CodeUri": "code/", name: value}
    lines = "".join(f"      {key}: {item}\n" for key, item in needed.items())

    refusal = project.refusal(
        f"Resources:\n  Hello:\n    Type: AWS::Serverless::Function\n    Properties:\n{lines}"
    )

    line = 5 + list(needed).index(name)
    assert f"template.yaml:{line}: Resources.Hello.Properties.{name}: {message}" in refusal


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_every_python_of_lambda_is_taken(project: Project, version: str) -> None:
    template = project.load(
        f"Globals: {{Function: {{Runtime: python{version}}}}}\n"
        "Resources: {Hello: {Type: AWS::Serverless::Function,"
        " Properties: {Handler: a.b, CodeUri: code/}}}\n"
    )

    assert template.functions["Hello"].runtime == f"python{version}"


@pytest.mark.parametrize("name", sorted(RESERVED_VARIABLES))
def test_a_reserved_variable_cannot_be_set(project: Project, name: str) -> None:
    refusal = project.function_refusal(f"Environment: {{Variables: {{{name}: x}}}}")

    assert f"Environment.Variables.{name}: Lambda sets this variable itself" in refusal


def test_variables_of_4_kb_are_taken_and_one_byte_more_is_refused(project: Project) -> None:
    room = VARIABLES_BYTES_MAX - len("NAME")

    assert project.variable("x" * (room - 1))  # VALUE is one letter longer
    refusal = project.function_refusal(f"Environment: {{Variables: {{NAME: {'x' * (room + 1)}}}}}")

    assert "4097 bytes of variables; Lambda takes 4096" in refusal


def test_two_functions_of_one_name_are_refused(project: Project) -> None:
    common = "Runtime: python3.11, Handler: a.b, CodeUri: code/, FunctionName: same"
    refusal = project.refusal(
        "Resources:\n"
        f"  One: {{Type: AWS::Serverless::Function, Properties: {{{common}}}}}\n"
        f"  Two: {{Type: AWS::Serverless::Function, Properties: {{{common}}}}}\n"
    )

    assert refusal == "template.yaml:3: Resources.Two: two functions named same"


def test_two_functions_on_one_route_are_refused(project: Project) -> None:
    common = "Runtime: python3.11, Handler: a.b, CodeUri: code/"
    route = "Events: {Get: {Type: HttpApi, Properties: {Path: /a, Method: GET}}}"
    refusal = project.refusal(
        "Resources:\n"
        f"  One: {{Type: AWS::Serverless::Function, Properties: {{{common}, {route}}}}}\n"
        f"  Two: {{Type: AWS::Serverless::Function, Properties: {{{common}, {route}}}}}\n"
    )

    assert refusal == "template.yaml:3: Resources.Two: route 'GET /a' is One's already"
