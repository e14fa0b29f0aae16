"""Kafka mappings of a template: what is read, and what is refused with file and line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local_stack.model import Destination, KafkaSource, SourceAccess
from local_stack.template.loader import load_template
from tests.support.templates import FUNCTION, Project

if TYPE_CHECKING:
    from pathlib import Path

    from local_stack.model import Template

CLUSTER = "arn:aws:kafka:us-east-1:123456789012:cluster/my-cluster/abc-1"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:broker"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def _mapping(properties: str = "", *, without: str = "") -> str:
    needed = {
        "FunctionName": "!Ref Hello",
        "SelfManagedEventSource": "{Endpoints: {KafkaBootstrapServers: ['a:1', 'b:2']}}",
        "Topics": "[orders]",
        "StartingPosition": "TRIM_HORIZON",
    }
    text = f"{FUNCTION}  Source:\n    Type: AWS::Lambda::EventSourceMapping\n    Properties:\n"
    given = dict(line.split(": ", 1) for line in properties.splitlines())
    merged = {k: v for k, v in (given | needed | given).items() if k != without}
    return text + "".join(f"      {k}: {v}\n" for k, v in merged.items())


FIRST_LINE = 11  # of the properties that a test gives, in what `_mapping` writes


def _read(project: Project, properties: str = "", *, without: str = "") -> KafkaSource:
    [source] = project.load(_mapping(properties, without=without)).kafka_sources
    return source


def _event(project: Project, event: str) -> Template:
    return project.load(f"{FUNCTION}      Events:\n        E: {event}\n")


# --- resources -------------------------------------------------------------------------------


def test_a_plain_mapping_is_read_with_lambdas_defaults(project: Project) -> None:
    assert _read(project) == KafkaSource(
        name="Source",
        function="Hello",
        topic="orders",
        bootstrap_servers=("a:1", "b:2"),
        group_id="Hello-orders",
        starting_position="TRIM_HORIZON",
        batch_size=100,
        window_s=0.5,
        report_batch_item_failures=False,
        retries_max=-1,
        record_age_s_max=-1,
        bisect_on_error=False,
        pollers_min=1,
        pollers_max=200,
        enabled=True,
    )


def test_a_plain_mapping_is_read_whole(project: Project) -> None:
    source = _read(
        project,
        "FunctionName: !GetAtt Hello.Arn\n"
        "SelfManagedKafkaEventSourceConfig: {ConsumerGroupId: readers, ConsumptionMode: Stream}\n"
        "StartingPosition: AT_TIMESTAMP\n"
        "StartingPositionTimestamp: 1767225600\n"
        "BatchSize: 10000\n"
        "MaximumBatchingWindowInSeconds: 300\n"
        "FunctionResponseTypes: [ReportBatchItemFailures]\n"
        "MaximumRetryAttempts: 10000\n"
        "MaximumRecordAgeInSeconds: 604800\n"
        "BisectBatchOnFunctionError: true\n"
        "DestinationConfig: {OnFailure: {Destination: 'kafka://dead.letters'}}\n"
        'FilterCriteria: {Filters: [{Pattern: \'{"value": {"a": [1]}}\'}]}\n'
        "ProvisionedPollerConfig: {MinimumPollers: 2, MaximumPollers: 5, PollerGroupName: x}\n"
        f"SourceAccessConfigurations: [{{Type: BASIC_AUTH, URI: '{SECRET}'}}, {{Type: VPC_SUBNET,"
        " URI: 'subnet:1'}]\n"
        "Tags: {a: b}\n"
        "KmsKeyArn: x\n"
        "Enabled: false",
    )

    assert source == KafkaSource(
        name="Source",
        function="Hello",
        topic="orders",
        bootstrap_servers=("a:1", "b:2"),
        group_id="readers",
        starting_position="AT_TIMESTAMP",
        starting_timestamp_s=1_767_225_600.0,
        batch_size=10_000,
        window_s=300.0,
        report_batch_item_failures=True,
        retries_max=10_000,
        record_age_s_max=604_800,
        bisect_on_error=True,
        on_failure=Destination("kafka", "dead.letters"),
        filters=('{"value": {"a": [1]}}',),
        pollers_min=2,
        pollers_max=5,
        access=(SourceAccess("BASIC_AUTH", SECRET),),
        enabled=False,
    )


@pytest.mark.parametrize(
    ("properties", "field", "value"),
    [
        ("MaximumBatchingWindowInSeconds: 0", "window_s", 0.0),
        ("MaximumBatchingWindowInSeconds: '7'", "window_s", 7.0),
        ("StartingPosition: LATEST", "starting_position", "LATEST"),
        ("MaximumRetryAttempts: -1", "retries_max", -1),
        ("MaximumRetryAttempts: 0", "retries_max", 0),
        ("MaximumRecordAgeInSeconds: -1", "record_age_s_max", -1),
        ("MaximumRecordAgeInSeconds: 60", "record_age_s_max", 60),
        ("BisectBatchOnFunctionError: 'False'", "bisect_on_error", False),
        ("DestinationConfig: {}", "on_failure", None),
        ("FilterCriteria: {}", "filters", ()),
        ("FilterCriteria: {Filters: []}", "filters", ()),
        ("ProvisionedPollerConfig: {MinimumPollers: 200}", "pollers_min", 200),
        ("FunctionName: Hello:live", "function", "Hello"),
        ("FunctionName: !Sub '${Hello.Arn}:live'", "function", "Hello"),
        ("Enabled: 'TRUE'", "enabled", True),
        (
            "StartingPosition: AT_TIMESTAMP\nStartingPositionTimestamp: 2026-01-01T00:00:00Z",
            "starting_timestamp_s",
            1_767_225_600.0,
        ),
        (
            f"SelfManagedKafkaEventSourceConfig: {{ConsumerGroupId: {'g' * 200}}}",
            "group_id",
            "g" * 200,
        ),
    ],
)
def test_a_setting_is_read(project: Project, properties: str, field: str, value: Any) -> None:
    assert getattr(_read(project, properties), field) == value


def test_an_msk_cluster_is_named_by_its_arn(project: Project) -> None:
    source = _read(
        project,
        f"EventSourceArn: {CLUSTER}\n"
        "AmazonManagedKafkaEventSourceConfig: {ConsumerGroupId: readers}",
        without="SelfManagedEventSource",
    )

    assert (source.kind, source.source_arn) == ("msk", CLUSTER)
    assert (source.bootstrap_servers, source.group_id) == ((), "readers")


# --- SAM events ------------------------------------------------------------------------------


def test_a_sam_event_is_a_mapping_too(project: Project) -> None:
    template = _event(
        project,
        "{Type: SelfManagedKafka, Properties: {KafkaBootstrapServers: ['a:1'], Topics: [t],"
        " BatchSize: 7, ConsumerGroupId: g, StartingPosition: LATEST, Enabled: true}}",
    )

    assert template.kafka_sources == (
        KafkaSource(
            "HelloE", "Hello", "t", ("a:1",), "g", starting_position="LATEST", batch_size=7
        ),
    )


def test_an_msk_event_is_a_mapping_too(project: Project) -> None:
    template = _event(
        project,
        f"{{Type: MSK, Properties: {{Stream: '{CLUSTER}', Topics: [t], StartingPosition: LATEST,"
        " MaximumBatchingWindowInSeconds: 0, BisectBatchOnFunctionError: true,"
        " DestinationConfig: {OnFailure: {Destination: 'kafka://dead'}}}}",
    )

    assert template.kafka_sources == (
        KafkaSource(
            "HelloE",
            "Hello",
            "t",
            (),
            "Hello-t",
            kind="msk",
            source_arn=CLUSTER,
            starting_position="LATEST",
            window_s=0.0,
            bisect_on_error=True,
            on_failure=Destination("kafka", "dead"),
        ),
    )


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("{Type: MSK, Properties: {Topics: [t]}}", "E.Stream: is the ARN of an MSK cluster"),
        (
            "{Type: MSK, Properties: {Topics: [t], Stream: 'arn:aws:kinesis:x'}}",
            "E.Stream: is the ARN of an MSK cluster",
        ),
        ("{Type: SelfManagedKafka, Properties: {Topics: [t]}}", "KafkaBootstrapServers is a list"),
        (
            "{Type: SelfManagedKafka, Properties: {Topics: [t], SchemaRegistryConfig: {a: b}}}",
            "E.SchemaRegistryConfig: schema registries do not run here",
        ),
        (
            "{Type: SelfManagedKafka, Properties: {Topics: [t], Queues: [q]}}",
            "E.Queues: this runtime cannot honour it",
        ),
    ],
)
def test_a_sam_event_that_cannot_be_honoured_is_refused(
    project: Project, event: str, message: str
) -> None:
    refusal = project.refusal(f"{FUNCTION}      Events:\n        E: {event}\n")

    assert message in refusal
    assert refusal.startswith("template.yaml:9: Resources.Hello.Events.E")


# --- refused ---------------------------------------------------------------------------------


def _filters(*patterns: Any) -> str:
    filters = [{"Pattern": p if isinstance(p, str) else json.dumps(p)} for p in patterns]
    return f"FilterCriteria: {json.dumps({'Filters': filters})}"


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ("FunctionName: Nobody", "FunctionName: 'Nobody' is no function of this template"),
        ("Topics: [a, b]", "Topics: a Kafka mapping has exactly one topic"),
        ("Topics: []", "Topics: a Kafka mapping has exactly one topic"),
        ("Topics: text", "Topics: a Kafka mapping has exactly one topic"),
        ("BatchSize: 0", "BatchSize: is from 1 to 10000"),
        ("BatchSize: 10001", "BatchSize: is from 1 to 10000"),
        ("BatchSize: many", "BatchSize: 'many' is not a whole number"),
        ("MaximumBatchingWindowInSeconds: 301", "is from 0 to 300"),
        ("MaximumBatchingWindowInSeconds: -1", "is from 0 to 300"),
        ("MaximumBatchingWindowInSeconds: 0.5", "0.5 is not a whole number"),
        ("StartingPosition: EARLIEST", "'EARLIEST' is none of TRIM_HORIZON, LATEST, AT_TIMESTAMP"),
        ("StartingPosition: AT_TIMESTAMP", "AT_TIMESTAMP needs StartingPositionTimestamp"),
        ("FunctionResponseTypes: [Other]", "only ReportBatchItemFailures is known"),
        ("MaximumRetryAttempts: -2", "MaximumRetryAttempts: is from -1 to 10000"),
        ("MaximumRetryAttempts: 10001", "MaximumRetryAttempts: is from -1 to 10000"),
        ("MaximumRecordAgeInSeconds: 59", "is -1 or from 60 to 604800"),
        ("MaximumRecordAgeInSeconds: 604801", "is from -1 to 604800"),
        ("BisectBatchOnFunctionError: maybe", "'maybe' is none of true, false"),
        (
            "DestinationConfig: {OnFailure: {Destination: 'arn:aws:lambda:x:1:function:Hello'}}",
            "a Kafka mapping has no function as its destination",
        ),
        (
            "DestinationConfig: {OnFailure: {Destination: 'arn:aws:sqs:us-east-1:1:dead'}}",
            "only kafka://topic runs here",
        ),
        (
            "DestinationConfig: {OnFailure: {Destination: 'kafka://orders'}}",
            "is the source topic itself",
        ),
        (
            "DestinationConfig: {OnFailure: {Destination: 'kafka://a b'}}",
            "'a b' is no name of a topic",
        ),
        (_filters("{"), "the pattern is no JSON"),
        (_filters({"value": [{"wildcard": "x"}]}), "'wildcard' is no operator"),
        (_filters({"headers": ["x"]}), "a Kafka record has no 'headers' to filter by"),
        (_filters(*[{"value": ["x"]}] * 11), "is a list of 10 filters at most"),
        ("FilterCriteria: {Filters: [{Pattern: {a: 1}}]}", "a Pattern is a JSON text"),
        ("ProvisionedPollerConfig: {MinimumPollers: 0}", "MinimumPollers: is from 1 to 200"),
        ("ProvisionedPollerConfig: {MinimumPollers: 201}", "MinimumPollers: is from 1 to 200"),
        (
            "ProvisionedPollerConfig: {MinimumPollers: 3, MaximumPollers: 2}",
            "MinimumPollers: is more than MaximumPollers",
        ),
        ("SourceAccessConfigurations: [{Type: IAM_AUTH, URI: x}]", "'IAM_AUTH' does not run here"),
        ("SourceAccessConfigurations: [{Type: BASIC_AUTH}]", "BASIC_AUTH has no URI"),
        (
            "SourceAccessConfigurations: [{Type: BASIC_AUTH, URI: a}, {Type: SASL_SCRAM_512_AUTH,"
            " URI: b}]",
            "only one of BASIC_AUTH, SASL_SCRAM_256_AUTH, SASL_SCRAM_512_AUTH",
        ),
        (
            "SelfManagedKafkaEventSourceConfig: {ConsumptionMode: Queue}",
            "ConsumptionMode: Queue mode (Kafka share groups) does not run here",
        ),
        (
            "SelfManagedKafkaEventSourceConfig: {SchemaRegistryConfig: {a: b}}",
            "SchemaRegistryConfig: schema registries do not run here",
        ),
        ("EventSourceArn: arn:aws:sqs:x", "only Kafka mappings run here"),
        ("TumblingWindowInSeconds: 3", "TumblingWindowInSeconds: this runtime cannot honour it"),
    ],
)
def test_a_mapping_that_cannot_be_honoured_is_refused_with_its_line(
    project: Project, properties: str, message: str
) -> None:
    refusal = project.refusal(_mapping(properties))

    assert message in refusal
    assert refusal.startswith(f"template.yaml:{FIRST_LINE}: Resources.Source.Properties")


@pytest.mark.parametrize("endpoints", ["{}", "text", "{Endpoints: {KafkaBootstrapServers: []}}"])
def test_a_self_managed_mapping_names_its_brokers(project: Project, endpoints: str) -> None:
    refusal = project.refusal(_mapping(f"SelfManagedEventSource: {endpoints}"))

    assert "KafkaBootstrapServers is a list of host:port" in refusal


def test_a_group_name_has_200_characters(project: Project) -> None:
    text = _mapping(f"SelfManagedKafkaEventSourceConfig: {{ConsumerGroupId: {'g' * 201}}}")

    assert "ConsumerGroupId: has 200 characters at most" in project.refusal(text)


def test_what_does_not_run_here_can_be_left_out(project: Project) -> None:
    text = _mapping("SelfManagedKafkaEventSourceConfig: {ConsumptionMode: Queue}")
    path = project.folder / "template.yaml"
    path.write_text(text)

    template = load_template(path, {}, skip_unsupported=True)

    assert template.kafka_sources == ()
    assert list(template.functions) == ["Hello"]
    assert "Queue mode" in template.skipped[0].message


def test_what_aws_takes_in_provisioned_mode_only_is_told(project: Project) -> None:
    limits = "MaximumRetryAttempts: 3\nBisectBatchOnFunctionError: true"
    provisioned = limits + "\nProvisionedPollerConfig: {MinimumPollers: 1}"

    told = project.load(_mapping(limits)).warnings

    assert [text for text in told if "MaximumRetryAttempts: AWS takes it in provisioned" in text]
    assert [text for text in told if "BisectBatchOnFunctionError: AWS takes it" in text]
    assert not [t for t in project.load(_mapping(provisioned)).warnings if "provisioned" in t]
