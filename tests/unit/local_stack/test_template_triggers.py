"""What makes functions run: routes, schedules, Kafka mappings; everything else is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local_stack.model import KafkaSource, Route, Schedule
from tests.support.templates import FUNCTION, Project

if TYPE_CHECKING:
    from pathlib import Path

    from local_stack.model import Template


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def _event(project: Project, event: str) -> Template:
    return project.load(f"{FUNCTION}      Events:\n        E: {event}\n")


def _event_refusal(project: Project, event: str) -> str:
    return project.refusal(f"{FUNCTION}      Events:\n        E: {event}\n")


# --- routes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "route"),
    [
        ("{Path: /a, Method: get}", Route("GET", "/a")),
        ("{Path: '/a/{b}', Method: POST}", Route("POST", "/a/{b}")),
        ("{Path: '/{proxy+}', Method: any}", Route("ANY", "/{proxy+}")),
        ("{Path: /a}", Route("ANY", "/a")),
        ("{Path: $default}", Route("ANY", "$default")),
        ("{}", Route("ANY", "$default")),
        ("", Route("ANY", "$default")),
        ("{Path: /a, Method: GET, PayloadFormatVersion: '2.0'}", Route("GET", "/a")),
        ("{Path: /a, Method: GET, PayloadFormatVersion: 2.0}", Route("GET", "/a")),
        ("{ApiId: !Ref Api, Path: /a, Method: GET}", Route("GET", "/a")),
    ],
)
def test_a_route_is_read(project: Project, properties: str, route: Route) -> None:
    template = _event(project, f"{{Type: HttpApi, Properties: {properties}}}")

    assert template.functions["Hello"].routes == (route,)


def test_a_route_has_the_key_that_http_api_gives_it() -> None:
    assert Route("GET", "/a/{b}").key == "GET /a/{b}"
    assert Route("ANY", "$default").key == "$default"


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("{Type: Api, Properties: {Path: /a, Method: GET}}", "event type 'Api' does not run here"),
        ("{Type: SQS}", "event type 'SQS' does not run here (supported are HttpApi, Schedule"),
        ("{}", "event type None does not run here"),
        ("text", "is a mapping"),
        ("{Type: HttpApi, Properties: text}", "Properties: is a mapping"),
        ("{Type: HttpApi, Properties: {Path: a}}", "path 'a' starts with a slash"),
        ("{Type: HttpApi, Properties: {Path: /a, Method: FETCH}}", "method 'FETCH' is none"),
        (
            "{Type: HttpApi, Properties: {Path: /a, Auth: {Authorizer: x}}}",
            "E.Auth: this runtime cannot honour it",
        ),
        (
            "{Type: HttpApi, Properties: {Path: /a, PayloadFormatVersion: '1.0'}}",
            "only payload format 2.0 runs here",
        ),
    ],
)
def test_a_route_that_cannot_be_honoured_is_refused(
    project: Project, event: str, message: str
) -> None:
    refusal = _event_refusal(project, event)

    assert message in refusal
    assert refusal.startswith("template.yaml:")
    assert "Resources.Hello.Properties.Events.E" in refusal


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Resources: {Api: {Type: AWS::Serverless::HttpApi, Properties: {Auth: {}}}}",
            "Resources.Api.Properties.Auth: this runtime cannot honour it",
        ),
        (
            "Resources: {Api: {Type: AWS::Serverless::HttpApi,"
            " Properties: {CorsConfiguration: true}}}",
            "CorsConfiguration: this runtime cannot honour it",
        ),
        (
            "Resources: {Api: {Type: AWS::Serverless::HttpApi, Properties: {StageName: prod}}}",
            "'prod': only $default runs here",
        ),
        (
            "{Globals: {HttpApi: {Auth: {}}}, Resources: {}}",
            "Globals.HttpApi.Auth: this runtime cannot honour it",
        ),
    ],
)
def test_an_api_that_would_do_more_on_aws_is_refused(
    project: Project, text: str, message: str
) -> None:
    assert message in project.refusal(text)


# --- schedules -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "schedule"),
    [
        (
            "{Schedule: rate(1 minute)}",
            Schedule("HelloE", "Hello", "rate(1 minute)"),
        ),
        (
            "{Schedule: rate(2 days), Name: nightly, Input: '{\"a\": 1}', Description: x}",
            Schedule("nightly", "Hello", "rate(2 days)", input_json='{"a": 1}'),
        ),
        (
            "{Schedule: rate(1 minute), Enabled: false}",
            Schedule("HelloE", "Hello", "rate(1 minute)", enabled=False),
        ),
        (
            "{Schedule: rate(1 minute), State: DISABLED}",
            Schedule("HelloE", "Hello", "rate(1 minute)", enabled=False),
        ),
        (
            "{Schedule: rate(1 minute), State: ENABLED}",
            Schedule("HelloE", "Hello", "rate(1 minute)"),
        ),
    ],
)
def test_a_schedule_is_read(project: Project, properties: str, schedule: Schedule) -> None:
    template = _event(project, f"{{Type: Schedule, Properties: {properties}}}")

    assert template.schedules == (schedule,)
    assert template.functions["Hello"].routes == ()


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ("{Schedule: rate(1 minute), Input: '{'}", "E.Input: is a JSON text"),
        ("{Schedule: rate(1 minute), Input: {a: 1}}", "E.Input: is a JSON text"),
        (
            "{Schedule: rate(1 minute), RetryPolicy: {MaximumRetryAttempts: 2}}",
            "E.RetryPolicy: this runtime cannot honour it",
        ),
    ],
)
def test_a_schedule_that_cannot_be_honoured_is_refused(
    project: Project, properties: str, message: str
) -> None:
    refusal = _event_refusal(project, f"{{Type: Schedule, Properties: {properties}}}")

    assert message in refusal
    assert refusal.startswith("template.yaml:9: ")


# --- Kafka -----------------------------------------------------------------------------------


def _mapping(properties: str) -> str:
    needed = {
        "FunctionName": "!Ref Hello",
        "SelfManagedEventSource": "{Endpoints: {KafkaBootstrapServers: ['a:1', 'b:2']}}",
        "Topics": "[orders]",
        "StartingPosition": "TRIM_HORIZON",
    }
    text = f"{FUNCTION}  Source:\n    Type: AWS::Lambda::EventSourceMapping\n    Properties:\n"
    given = dict(line.split(": ", 1) for line in properties.splitlines())
    return text + "".join(f"      {k}: {v}\n" for k, v in (needed | given).items())


def test_a_plain_mapping_is_read_with_lambdas_defaults(project: Project) -> None:
    [source] = project.load(_mapping("")).kafka_sources

    assert source == KafkaSource(
        name="Source",
        function="Hello",
        topic="orders",
        bootstrap_servers=("a:1", "b:2"),
        group_id="Hello-orders",
        starting_position="TRIM_HORIZON",
        batch_size=100,
        window_s=0.5,
        report_batch_item_failures=False,
        enabled=True,
    )


def test_a_plain_mapping_is_read_whole(project: Project) -> None:
    [source] = project.load(
        _mapping(
            "FunctionName: !GetAtt Hello.Arn\n"
            "SelfManagedKafkaEventSourceConfig: {ConsumerGroupId: readers}\n"
            "StartingPosition: LATEST\n"
            "BatchSize: 10000\n"
            "MaximumBatchingWindowInSeconds: 300\n"
            "FunctionResponseTypes: [ReportBatchItemFailures]\n"
            "Enabled: false"
        )
    ).kafka_sources

    assert source.function == "Hello"
    assert (source.group_id, source.starting_position) == ("readers", "LATEST")
    assert (source.batch_size, source.window_s) == (10_000, 300.0)
    assert source.report_batch_item_failures
    assert not source.enabled


def test_a_window_of_zero_is_not_the_default(project: Project) -> None:
    [source] = project.load(_mapping("MaximumBatchingWindowInSeconds: 0")).kafka_sources

    assert source.window_s == 0.0


def test_a_sam_event_is_a_mapping_too(project: Project) -> None:
    template = _event(
        project,
        "{Type: SelfManagedKafka, Properties: {KafkaBootstrapServers: ['a:1'], Topics: [t],"
        " BatchSize: 7, ConsumerGroupId: g, StartingPosition: LATEST, Enabled: true}}",
    )

    assert template.kafka_sources == (
        KafkaSource("HelloE", "Hello", "t", ("a:1",), "g", "LATEST", batch_size=7),
    )


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ("FunctionName: Nobody", "'Nobody' is no function of this template"),
        ("Topics: [a, b]", "Topics: a Kafka mapping has exactly one topic"),
        ("Topics: []", "exactly one topic"),
        ("Topics: text", "exactly one topic"),
        ("SelfManagedEventSource: {}", "KafkaBootstrapServers is a list of host:port"),
        ("SelfManagedEventSource: text", "KafkaBootstrapServers is a list of host:port"),
        ("BatchSize: 0", "BatchSize: is from 1 to 10000"),
        ("BatchSize: 10001", "BatchSize: is from 1 to 10000"),
        ("BatchSize: many", "BatchSize: 'many' is not a whole number"),
        ("MaximumBatchingWindowInSeconds: 301", "is at most 300"),
        ("MaximumBatchingWindowInSeconds: 0.5", "0.5 is not a whole number"),
        ("StartingPosition: AT_TIMESTAMP", "'AT_TIMESTAMP' is neither TRIM_HORIZON nor LATEST"),
        ("FunctionResponseTypes: [Other]", "only ReportBatchItemFailures is known"),
        ("DestinationConfig: {}", "DestinationConfig: this runtime cannot honour it"),
        ("BisectBatchOnFunctionError: true", "cannot honour it"),
        ("EventSourceArn: arn:aws:sqs:x", "EventSourceArn: this runtime cannot honour it"),
        ("SourceAccessConfigurations: [{Type: SASL}]", "not supported here yet"),
        (
            f"SelfManagedKafkaEventSourceConfig: {{ConsumerGroupId: {'g' * 201}}}",
            "ConsumerGroupId has 200 characters at most",
        ),
    ],
)
def test_a_mapping_that_cannot_be_honoured_is_refused(
    project: Project, properties: str, message: str
) -> None:
    refusal = project.refusal(_mapping(properties))

    assert message in refusal
    assert refusal.startswith("template.yaml:9: Resources.Source.Properties")


def test_a_group_name_of_200_characters_is_taken(project: Project) -> None:
    name = "g" * 200
    text = _mapping(f"SelfManagedKafkaEventSourceConfig: {{ConsumerGroupId: {name}}}")

    assert project.load(text).kafka_sources[0].group_id == name


def test_a_sam_kafka_event_that_cannot_be_honoured_is_refused(project: Project) -> None:
    refusal = _event_refusal(
        project, "{Type: SelfManagedKafka, Properties: {Topics: [t], FilterCriteria: {}}}"
    )

    assert "Events.E.FilterCriteria: this runtime cannot honour it" in refusal
