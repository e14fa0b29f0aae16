"""Reading the file itself: YAML with lines, and what is no template."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_stack.errors import TemplateError
from local_stack.model import Destination
from local_stack.template.loader import load_template, read_yaml
from tests.support.templates import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_every_mapping_knows_its_line(project: Project) -> None:
    project.load("Resources:\n  A:\n    Type: Other\n    Properties: {B: !Ref A}\n")

    document = read_yaml(project.folder / "template.yaml")

    resource = document["Resources"]["A"]
    assert (document.line, document["Resources"].line, resource.line) == (1, 2, 3)
    assert resource["Properties"]["B"].line == 4


def test_a_key_is_the_text_that_was_written(project: Project) -> None:
    text = "Mappings:\n  M: {on: {0123: a}}\nResources: {}\n"
    project.load(text)

    document = read_yaml(project.folder / "template.yaml")

    assert document["Mappings"] == {"M": {"on": {"0123": "a"}}}


def test_a_date_stays_the_text_it_was(project: Project) -> None:
    project.load("AWSTemplateFormatVersion: 2010-09-09\nResources: {}\n")

    document = read_yaml(project.folder / "template.yaml")

    assert document["AWSTemplateFormatVersion"] == "2010-09-09"


def test_anchors_and_merged_keys_are_understood(project: Project) -> None:
    template = project.load(
        """
        Common: &common {Runtime: python3.11, Handler: app.handler, CodeUri: code/}
        Resources:
          Hello:
            Type: AWS::Serverless::Function
            Properties:
              <<: *common
              Timeout: 7
        """
    )

    assert template.functions["Hello"].timeout_s == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "template.yaml:1: a template has a mapping of Resources"),
        ("[]", "template.yaml:1: a template has a mapping of Resources"),
        ("Resources: []", "template.yaml:1: a template has a mapping of Resources"),
        ("Resources:\n  A: {Type: T}\n  A: {Type: T}\n", "template.yaml:3: duplicate key 'A'"),
        ("Resources:\n  A: [\n", "template.yaml:3: "),
        ("Resources: {}\nB: @\n", "template.yaml:2: "),
        ("Resources:\n  ? [a]\n  : b\n", "template.yaml:2: a key is a text"),
        ("Resources:\n  A: text\n", "template.yaml:2: Resources.A: not a mapping"),
        ("Resources:\n  A:\n", "template.yaml:2: Resources.A: not a mapping"),
        (
            "Resources:\n  Fn::ForEach::Loop: [A, [b], {}]\n",
            "template.yaml:2: Resources.Fn::ForEach::Loop: Fn::ForEach::Loop is not expanded here",
        ),
        (
            "Transform: [AWS::Serverless-2016-10-31, Mine]\nResources: {}\n",
            "template.yaml:1: Transform: Mine is not run here",
        ),
        ("Parameters: text\nResources: {}\n", "template.yaml:1: Parameters: not a mapping"),
        ("Globals: {Function: []}\nResources: {}\n", "Globals.Function: not a mapping"),
        ("Resources: &a\n  B: *b\n", "template.yaml:2: "),
    ],
)
def test_what_is_no_template_is_refused_with_its_line(
    project: Project, text: str, message: str
) -> None:
    assert message in project.refusal(text)


def test_a_template_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"cannot read the template: No such file.*--template"):
        load_template(tmp_path / "template.yaml", {})


def test_a_template_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_bytes(b"Resources: {A: {Type: \xff}}\n")

    with pytest.raises(TemplateError, match="not UTF-8"):
        load_template(path, {})


def test_json_is_yaml_too(project: Project) -> None:
    template = project.load(
        '{"Resources": {"Hello": {"Type": "AWS::Serverless::Function", "Properties":'
        ' {"Runtime": "python3.12", "Handler": "app.handler", "CodeUri": "code/"}}}}'
    )

    assert template.functions["Hello"].runtime == "python3.12"


def test_resources_of_other_types_are_none_of_our_business(project: Project) -> None:
    template = project.load("Resources: {Bucket: {Type: AWS::S3::Bucket}}\n")

    assert (template.functions, template.schedules, template.kafka_sources) == ({}, (), ())


# --- whatever stands in a template, the answer is a template or a message ------------------------

WHOLE = """
Parameters:
  Servers: {Type: String, Default: "a:1,b:2", AllowedValues: ["a:1,b:2", c]}
  Count: {Type: Number, Default: 2, MinValue: 1}
Mappings: {Sizes: {small: {memory: 128}}}
Conditions: {IsSmall: {"Fn::Equals": [{Ref: Count}, 2]}}
Globals:
  Function: {Runtime: python3.11, Timeout: 5, Environment: {Variables: {STAGE: test}}}
  HttpApi: {StageName: $default}
Resources:
  Api: {Type: AWS::Serverless::HttpApi, Properties: {StageName: $default}}
  Layer: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: code/}}
  Guarded:
    Type: AWS::Serverless::HttpApi
    IgnoreGlobals: [StageVariables]
    Properties:
      StageName: prod
      StageVariables: {a: b}
      CorsConfiguration: {AllowOrigins: ["*"], MaxAge: 5}
      Auth:
        DefaultAuthorizer: Token
        Authorizers:
          Token:
            JwtConfiguration: {issuer: "https://a", audience: [b]}
            IdentitySource: $request.header.Authorization
            AuthorizationScopes: [c]
          Asked:
            FunctionArn: {"Fn::GetAtt": [Hello, Arn]}
            AuthorizerPayloadFormatVersion: "2.0"
            Identity: {Headers: [x-a], ReauthorizeEvery: 5}
  Rest:
    Type: AWS::Serverless::Api
    Properties:
      StageName: dev
      Variables: {a: b}
      BinaryMediaTypes: [image~1png]
      Cors: {AllowOrigin: "'*'", MaxAge: "'5'"}
      Auth: {Authorizers: {Asked: {FunctionArn: {"Fn::GetAtt": [Hello, Arn]}}}}
  Hello:
    Type: AWS::Serverless::Function
    Condition: IsSmall
    Properties:
      FunctionName: {"Fn::Sub": "hello-${Count}"}
      Handler: app.handler
      CodeUri: code/
      Layers: [{Ref: Layer}]
      MemorySize: {"Fn::FindInMap": [Sizes, small, memory]}
      ReservedConcurrentExecutions: {Ref: Count}
      AutoPublishAlias: live
      ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 1}
      Environment: {Variables: {NAME: {"Fn::Join": ["-", [a, {Ref: Count}]]}}}
      Architectures: [x86_64]
      EphemeralStorage: {Size: 1024}
      FunctionUrlConfig: {AuthType: NONE, Cors: {AllowOrigins: ["*"]}}
      LoggingConfig: {LogFormat: JSON, ApplicationLogLevel: INFO, LogGroup: group}
      Tags: {a: b}
      EventInvokeConfig:
        MaximumRetryAttempts: 1
        MaximumEventAgeInSeconds: 60
        DestinationConfig:
          OnSuccess: {Type: Lambda, Destination: {"Fn::GetAtt": [Hello, Arn]}}
          OnFailure: {Destination: kafka://failed}
      Events:
        Get: {Type: HttpApi, Properties: {ApiId: {Ref: Api}, Path: "/a/{b}", Method: get}}
        Other:
          Type: HttpApi
          Properties:
            ApiId: {Ref: Guarded}
            Path: /b
            Method: post
            TimeoutInMillis: 500
            Auth: {Authorizer: Asked, AuthorizationScopes: []}
        Old: {Type: Api, Properties: {RestApiId: {Ref: Rest}, Path: /c, Method: get}}
        Tick: {Type: Schedule, Properties: {Schedule: rate(1 minute), Input: "{}"}}
        Read:
          Type: SelfManagedKafka
          Properties: {KafkaBootstrapServers: ["a:1"], Topics: [t], ConsumerGroupId: g}
  Source:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: {Ref: Hello}
      SelfManagedEventSource:
        Endpoints: {KafkaBootstrapServers: {"Fn::Split": [",", {Ref: Servers}]}}
      SelfManagedKafkaEventSourceConfig: {ConsumerGroupId: group}
      Topics: [{"Fn::Select": [0, [topic, other]]}]
      FunctionResponseTypes: [ReportBatchItemFailures]
"""

WRONG: st.SearchStrategy[object] = st.sampled_from(
    [
        None,
        True,
        -1,
        1.5,
        "",
        "text",
        [],
        ["a", {"Ref": "Count"}],
        {},
        {"a": "b"},
        {"Ref": "Nothing"},
        {"Ref": "AWS::NoValue"},
        {"Fn::Sub": "${Servers}"},
        {"Fn::Select": [0]},
        [[]],
        [{}],
    ]
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from _places(item, (*path, key))


PLACES = list(_places(yaml.safe_load(WHOLE)))


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


def test_the_whole_template_is_read(shared_project: Project) -> None:
    template = shared_project.load(WHOLE)

    function = template.functions["hello-2"]
    assert function.variables == {"STAGE": "test", "NAME": "a-2"}
    assert (function.memory_mb, function.timeout_s, function.reserved_concurrency) == (128, 5, 2)
    assert function.provisioned_concurrency == 1
    assert [route.key for route in function.routes] == ["GET /a/{b}", "POST /b", "GET /c"]
    assert sorted(template.apis) == ["Api", "Guarded", "Rest"]
    assert function.async_config.on_failure == Destination("kafka", "failed")
    assert [source.topic for source in template.kafka_sources] == ["t", "topic"]
    assert len(template.schedules) == 1


@given(place=st.sampled_from(PLACES), wrong=WRONG, skip=st.booleans())
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_wrong_value_anywhere_is_taken_or_refused(
    shared_project: Project, place: tuple[Any, ...], wrong: object, skip: bool
) -> None:
    document = copy.deepcopy(yaml.safe_load(WHOLE))
    parent = document
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = wrong

    said = "template.yaml was taken"
    try:
        shared_project.write(json.dumps(document))  # JSON is YAML, and quicker to write
        load_template(shared_project.path, {}, skip_unsupported=skip)
    except TemplateError as refusal:
        said = str(refusal)
    assert said.startswith("template.yaml")


def test_the_platform_template_is_read() -> None:
    parameters = {
        "DatabaseUrl": "postgresql://a",
        "KafkaBootstrapServers": "a:1,b:2",
        "ClickHouseUrl": "http://b",
    }

    template = load_template(REPOSITORY / "template.yaml", parameters)

    assert "PlaceBet" in template.functions
    assert template.kafka_sources[0].bootstrap_servers == ("a:1", "b:2")
