"""What this runtime does not do is named with file and line, and left out if the person says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from local_stack.errors import SettingsError, TemplateError
from local_stack.model import Unsupported
from local_stack.template.environment import read_env_vars
from local_stack.template.loader import load_template
from tests.support.templates import FUNCTION, Project

if TYPE_CHECKING:
    from pathlib import Path

PROPERTIES = "Properties: {Runtime: python3.11, Handler: a.b, CodeUri: code/"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_what_runs_still_runs_and_what_does_not_is_listed_with_its_line(project: Project) -> None:
    text = f"""\
{FUNCTION}      DeadLetterQueue: {{Type: SQS, TargetArn: x}}
      Events:
        Get: {{Type: HttpApi, Properties: {{Path: /a, Method: GET}}}}
        Queue: {{Type: SQS, Properties: {{Queue: x}}}}
  Node:
    Type: AWS::Serverless::Function
    Properties: {{Runtime: nodejs22.x, Handler: a.b, CodeUri: code/}}
  Image:
    Type: AWS::Serverless::Function
    Properties: {{PackageType: Image, ImageUri: x}}
  Machine: {{Type: AWS::Serverless::StateMachine, Properties: {{}}}}
"""
    template = project.skipping(text)

    assert list(template.functions) == ["Hello"]
    assert [route.key for route in template.functions["Hello"].routes] == ["GET /a"]
    assert {(item.where, item.path) for item in template.skipped} == {
        ("template.yaml:8", "Resources.Hello.Properties.DeadLetterQueue"),
        ("template.yaml:11", "Resources.Hello.Properties.Events.Queue"),
        ("template.yaml:14", "Resources.Node.Properties.Runtime"),
        ("template.yaml:17", "Resources.Image.Properties.ImageUri"),
        ("template.yaml:18", "Resources.Machine"),
    }
    assert (
        "event type 'SQS' does not run here"
        in {item.path.rpartition(".")[2]: item.message for item in template.skipped}["Queue"]
    )


def test_what_is_wrong_on_aws_too_is_refused_all_the_same(project: Project) -> None:
    with pytest.raises(TemplateError, match="Timeout: 0 is not a whole number"):
        project.skipping(f"{FUNCTION}      Timeout: 0\n")


def test_a_template_without_fault_skips_nothing(project: Project) -> None:
    template = project.skipping(FUNCTION)

    assert template.skipped == ()
    assert template == project.load(FUNCTION)


def test_what_belongs_to_a_function_that_is_left_out_is_left_out_too(project: Project) -> None:
    template = project.skipping(
        """\
        Resources:
          Node:
            Type: AWS::Serverless::Function
            Properties:
              Runtime: nodejs22.x
              Events:
                Tick: {Type: Schedule, Properties: {Schedule: rate(1 minute)}}
                Get: {Type: HttpApi, Properties: {Path: /a, Method: GET}}
          Source:
            Type: AWS::Lambda::EventSourceMapping
            Properties:
              FunctionName: !Ref Node
              SelfManagedEventSource: {Endpoints: {KafkaBootstrapServers: ["a:1"]}}
              Topics: [orders]
              StartingPosition: LATEST
        """
    )

    assert (template.functions, template.schedules, template.kafka_sources) == ({}, (), ())
    assert [item.path.split(".")[1] for item in template.skipped] == ["Node", "Source"]


def test_an_authorizer_that_is_left_out_opens_its_routes_and_the_message_says_so(
    project: Project,
) -> None:
    text = f"""\
{FUNCTION}      Events:
        Get: {{Type: Api, Properties: {{RestApiId: !Ref Api, Path: /a, Method: GET}}}}
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: p
      Auth: {{DefaultAuthorizer: Pool, Authorizers: {{Pool: {{UserPoolArn: arn}}}}}}
"""
    template = project.skipping(text)

    assert template.functions["Hello"].routes[0].authorizer is None
    assert [item.path for item in template.skipped] == [
        "Resources.Api.Properties.Auth.Authorizers.Pool.UserPoolArn"
    ]
    assert "opens its routes to everybody" in project.refusal(text)


def test_a_layer_from_elsewhere_is_left_out_and_the_function_runs(project: Project) -> None:
    arn = "arn:aws:lambda:eu-west-1:017000801446:layer:AWSLambdaPowertoolsPythonV3:7"
    template = project.skipping(f"{FUNCTION}      Layers: ['{arn}']\n")

    assert template.functions["Hello"].layer_paths == ()
    [skipped] = template.skipped
    assert arn in skipped.message
    assert skipped.where == "template.yaml:8"


def test_a_layer_that_is_left_out_leaves_its_functions(project: Project) -> None:
    template = project.skipping(
        f"""\
{FUNCTION}      Layers: [!Ref Library]
  Library:
    Type: AWS::Serverless::LayerVersion
    Properties: {{LayerName: library, ContentUri: s3://bucket/key}}
"""
    )

    assert template.functions["Hello"].layer_paths == ()
    assert [item.path for item in template.skipped] == [
        "Resources.Library.Properties.ContentUri",
        "Resources.Hello.Properties.Layers",
    ]


# --- resources -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("AWS::Serverless::StateMachine", "AWS::Serverless::StateMachine does not run here"),
        ("AWS::Serverless::Application", "AWS::Serverless::Application does not run here"),
        ("AWS::Serverless::WebSocketApi", "AWS::Serverless::WebSocketApi does not run here"),
        ("AWS::Lambda::Function", "does not run here: declare it as AWS::Serverless::Function"),
        ("AWS::Lambda::Url", "FunctionUrlConfig of the function is understood"),
        ("AWS::ApiGatewayV2::Route", "AWS::ApiGatewayV2::Route does not run here"),
        ("AWS::StepFunctions::StateMachine", "does not run here"),
        ("AWS::Events::Rule", "a Schedule event of the function is understood"),
    ],
)
def test_a_resource_that_would_run_code_is_refused(
    project: Project, kind: str, message: str
) -> None:
    refusal = project.refusal(f"Resources:\n  Thing:\n    Type: {kind}\n")

    assert message in refusal
    assert refusal.startswith("template.yaml:3: Resources.Thing: ")


def test_infrastructure_is_ignored_and_can_be_shown(project: Project) -> None:
    template = project.load(
        """\
        Conditions: {Never: !Equals [a, b]}
        Resources:
          Table: {Type: AWS::DynamoDB::Table}
          Simple: {Type: AWS::Serverless::SimpleTable}
          Gone: {Type: AWS::StepFunctions::StateMachine, Condition: Never}
          Connection: {Type: AWS::Serverless::Connector}
        """
    )

    assert template.ignored == (
        "Table (AWS::DynamoDB::Table)",
        "Simple (AWS::Serverless::SimpleTable)",
        "Connection (AWS::Serverless::Connector)",
    )


# --- variables that only AWS knows -----------------------------------------------------------

TABLE = "  Table: {Type: AWS::DynamoDB::Table}\n"
WITH_TABLE = f"""\
{FUNCTION}      Environment:
        Variables:
          TABLE: !Ref Table
          LEVEL: INFO
{TABLE}"""


def test_a_name_that_only_aws_knows_is_refused_with_what_to_do(project: Project) -> None:
    assert project.refusal(WITH_TABLE) == (
        "template.yaml:10: Resources.Hello.Properties.Environment.Variables.TABLE: "
        "Ref Table: only AWS knows the name of this AWS::DynamoDB::Table "
        "(name it in the template (TableName), give the variable a value with --env-vars, "
        "or --skip-unsupported leaves it out)"
    )


def test_a_variable_that_cannot_be_known_is_left_out_if_the_person_says_so(
    project: Project,
) -> None:
    template = project.skipping(WITH_TABLE)

    assert template.functions["Hello"].variables == {"LEVEL": "INFO"}
    assert template.skipped == (
        Unsupported(
            "template.yaml:10",
            "Resources.Hello.Properties.Environment.Variables.TABLE",
            "Ref Table: only AWS knows the name of this AWS::DynamoDB::Table",
        ),
    )


def _variables(project: Project, text: str, env_vars: dict[str, dict[str, str]]) -> dict[str, str]:
    project.write(text)
    template = load_template(project.path, {}, env_vars=env_vars)
    return dict(template.functions["Hello"].variables)


@pytest.mark.parametrize(
    ("env_vars", "table"),
    [
        ({"Hello": {"TABLE": "t"}}, "t"),
        ({"Parameters": {"TABLE": "t"}}, "t"),
        ({"Parameters": {"TABLE": "all"}, "Hello": {"TABLE": "own"}}, "own"),
    ],
)
def test_env_vars_give_a_variable_the_value_that_cannot_be_known(
    project: Project, env_vars: dict[str, dict[str, str]], table: str
) -> None:
    assert _variables(project, WITH_TABLE, env_vars) == {"TABLE": table, "LEVEL": "INFO"}


def test_env_vars_may_name_a_function_by_its_name(project: Project) -> None:
    text = WITH_TABLE.replace("CodeUri: code/", "CodeUri: code/\n      FunctionName: named")
    project.write(text)

    template = load_template(project.path, {}, env_vars={"named": {"TABLE": "t"}})

    assert template.functions["named"].variables["TABLE"] == "t"


def test_env_vars_set_only_variables_that_the_template_names(project: Project) -> None:
    given = {"Hello": {"TABLE": "t", "OTHER": "x"}, "Nobody": {"LEVEL": "x"}}

    assert _variables(project, WITH_TABLE, given) == {"TABLE": "t", "LEVEL": "INFO"}


def test_an_env_vars_file_is_read_as_sam_cli_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "env.json"
    path.write_text('{"F": {"A": "a", "B": 1, "C": true, "D": null, "E": [1]}, "Parameters": {}}')

    assert read_env_vars(path) == {
        "F": {"A": "a", "B": "1", "C": "true", "D": "", "E": ""},
        "Parameters": {},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ("[]", "it is a JSON object of objects"),
        ('{"F": "x"}', "it is a JSON object of objects"),
        (json.dumps({"F": {"A": "x" * 1024 * 1024}}), "more than 1048576 bytes"),
    ],
)
def test_an_env_vars_file_that_is_none_is_refused_by_name(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "env.json"
    path.write_text(text)

    with pytest.raises(SettingsError) as caught:
        read_env_vars(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_env_vars_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"env\.json: No such file"):
        read_env_vars(tmp_path / "env.json")
