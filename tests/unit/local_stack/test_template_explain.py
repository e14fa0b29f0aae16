"""`local-stack doctor` explains a template: what runs, what is ignored, what does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local_stack.template.explain import Line, explain, remarks, summary
from tests.support.templates import Project

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      StageName: dev
      Auth:
        DefaultAuthorizer: J
        Authorizers:
          J: {JwtConfiguration: {issuer: i, audience: [a]}, IdentitySource: $request.header.A}
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.11
      Handler: app.handler
      CodeUri: code/
      Timeout: 5
      AutoPublishAlias: live
      ReservedConcurrentExecutions: 4
      ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 2}
      FunctionUrlConfig: {AuthType: NONE}
      Environment: {Variables: {TABLE: !Ref Table, LEVEL: INFO}}
      Events:
        Get: {Type: HttpApi, Properties: {ApiId: !Ref Api, Path: /a, Method: GET}}
        Tick: {Type: Schedule, Properties: {Schedule: rate(1 minute), Enabled: false}}
        Read:
          Type: SelfManagedKafka
          Properties: {KafkaBootstrapServers: ["a:1"], Topics: [t], ConsumerGroupId: g}
        Mail: {Type: SNS, Properties: {Topic: x}}
  Table: {Type: AWS::DynamoDB::Table}
  Bucket: {Type: AWS::S3::Bucket}
  Backup: {Type: AWS::S3::Bucket}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_template_is_explained_line_by_line(project: Project) -> None:
    template = project.skipping(TEXT)

    lines = [line for line in explain(template) if line.kind != "Warning"]

    variable = "Resources.Hello.Properties.Environment.Variables.TABLE"
    assert lines == [
        Line(
            "Function",
            "Hello: app.handler in code, python3.11, 5 s, 128 MB, at most 4 at once, 2 kept warm,"
            " variables 1",
        ),
        Line("Route", "GET /a → Hello (Api, stage dev, authorizer J (JWT))"),
        Line("URL", "Host hello.lambda-url.localhost → Hello, NONE"),
        Line("Schedule", "rate(1 minute) → Hello (HelloTick, disabled)"),
        Line("Kafka source", "t → Hello (HelloRead, group g)"),
        Line("Ignored", "AWS::DynamoDB::Table: Table"),
        Line("Ignored", "AWS::S3::Bucket: Bucket, Backup"),
        Line(
            "Unsupported",
            "template.yaml:28: Resources.Hello.Properties.Events.Mail: event type 'SNS' does not"
            " run here",
            runs=False,
        ),
        Line(
            "Unresolved",
            f"template.yaml:21: {variable}: Ref Table: only AWS knows the name of this"
            " AWS::DynamoDB::Table (--env-vars can give it a value)",
            runs=False,
        ),
    ]


def test_who_starts_it_is_told_what_does_not_run_and_no_more(project: Project) -> None:
    template = project.skipping(TEXT)

    told = [text for text in remarks(template) if text not in template.warnings]

    assert [text.partition(": ")[0] for text in told] == ["template.yaml:28", "template.yaml:21"]


def test_a_template_is_summed_up_in_one_line(project: Project) -> None:
    assert summary(project.skipping(TEXT)) == (
        "template.yaml: 1 function, 1 route, 1 function URL, 1 schedule, 1 Kafka source"
    )
    assert summary(project.load("Resources: {}\n")) == (
        "template.yaml: 0 functions, 0 schedules, 0 Kafka sources"
    )
