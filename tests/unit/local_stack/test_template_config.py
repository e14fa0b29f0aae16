"""What a function says beside its code: events, URL, logging, architecture, Globals, warnings."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING

import pytest

from local_stack.model import AsyncConfig, Cors, Destination, FunctionUrl, Logging
from tests.support.templates import FUNCTION, Project

if TYPE_CHECKING:
    from pathlib import Path

HERE = f"python{sys.version_info.major}.{sys.version_info.minor}"
OTHER = "python3.10" if HERE != "python3.10" else "python3.11"
ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
OTHER_FUNCTION = """\
  Other:
    Type: AWS::Serverless::Function
    Properties: {Runtime: python3.11, Handler: a.b, CodeUri: code/, FunctionName: other-name}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_the_rest_of_a_function_is_read_whole(project: Project) -> None:
    function = project.function_of(
        """\
        Architectures: [x86_64]
        AutoPublishAlias: live
        EphemeralStorage: {Size: 10240}
        Tags: {team: a, number: 5}
        LoggingConfig:
          LogFormat: JSON
          ApplicationLogLevel: DEBUG
          SystemLogLevel: WARN
          LogGroup: /my/group
        FunctionUrlConfig:
          AuthType: AWS_IAM
          InvokeMode: BUFFERED
          Cors: {AllowOrigins: ["*"], AllowCredentials: true, MaxAge: 7}
        EventInvokeConfig:
          MaximumRetryAttempts: 0
          MaximumEventAgeInSeconds: 60
          DestinationConfig:
            OnSuccess: {Type: Lambda, Destination: !GetAtt Other.Arn}
            OnFailure: {Destination: "kafka://failed-events"}
        SnapStart: {ApplyOn: None}
        """,
        after=OTHER_FUNCTION,
    )

    assert (function.architecture, function.alias) == ("x86_64", "live")
    assert function.ephemeral_storage_mb == 10_240
    assert function.tags == {"team": "a", "number": "5"}
    assert function.logging == Logging("JSON", "DEBUG", "WARN", "/my/group")
    assert function.url == FunctionUrl("AWS_IAM", Cors(("*",), max_age_s=7, allow_credentials=True))
    assert function.async_config == AsyncConfig(
        0, 60, Destination("function", "other-name"), Destination("kafka", "failed-events")
    )


def test_a_group_that_only_aws_can_name_changes_nothing(project: Project) -> None:
    function = project.function_of(
        "LoggingConfig: {LogFormat: JSON, LogGroup: !Ref Group}",
        after="  Group: {Type: AWS::Logs::LogGroup}\n",
    )

    assert function.logging == Logging("JSON")


@pytest.mark.parametrize("kind", ["SQS", "SNS", "EventBridge", "S3Bucket"])
def test_a_destination_of_another_kind_is_refused_when_the_template_is_read(
    project: Project, kind: str
) -> None:
    refusal = project.function_refusal(
        f"""\
        EventInvokeConfig:
          DestinationConfig:
            OnFailure:
              Type: {kind}
              Destination: arn:aws:x
        """
    )

    assert refusal == (
        "template.yaml:11: Resources.Hello.Properties.EventInvokeConfig.DestinationConfig."
        f"OnFailure.Type: {kind} is no destination here; Lambda and kafka:// are "
        "(--skip-unsupported leaves it out)"
    )


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        (
            "EventInvokeConfig: {MaximumRetryAttempts: 3}",
            "MaximumRetryAttempts: 3 is not a whole number from 0 to 2",
        ),
        ("EventInvokeConfig: {MaximumEventAgeInSeconds: 59}", "from 60 to 21600"),
        ("EventInvokeConfig: {MaximumEventAgeInSeconds: 21601}", "from 60 to 21600"),
        (
            "EventInvokeConfig: {DestinationConfig: {OnFailure: {Destination: 'arn:aws:sqs:x'}}}",
            "arn:aws:sqs:x is neither a function nor kafka://topic",
        ),
        (
            "EventInvokeConfig: {DestinationConfig: {OnFailure: {Type: Lambda,"
            " Destination: 'arn:aws:lambda:us-east-1:1:function:nobody'}}}",
            "OnFailure: nobody is no function that runs here",
        ),
        (
            "EventInvokeConfig: {DestinationConfig: {OnFailure: {Type: Lambda}}}",
            "Destination: is a function's ARN or kafka://topic",
        ),
        ("EventInvokeConfig: {Retries: 1}", "Retries: this runtime cannot honour it"),
        ("FunctionUrlConfig: {}", "AuthType: None is none of NONE, AWS_IAM"),
        (
            "FunctionUrlConfig: {AuthType: NONE, InvokeMode: RESPONSE_STREAM}",
            "responses are not streamed here, but BUFFERED",
        ),
        ("LoggingConfig: {LogFormat: XML}", "'XML' is none of Text, JSON"),
        ("LoggingConfig: {ApplicationLogLevel: INFO}", "log levels need LogFormat: JSON"),
        (
            "LoggingConfig: {LogFormat: JSON, SystemLogLevel: ERROR}",
            "'ERROR' is none of DEBUG, INFO, WARN",
        ),
        ("LoggingConfig: {Format: JSON}", "LoggingConfig.Format: known are"),
        ("Tags: {a: [b]}", "Tags.a: is a text"),
        ("SnapStart: {ApplyOn: PublishedVersions}\nDurableConfig: {}", "DurableConfig: this"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    project: Project, properties: str, message: str
) -> None:
    refusal = project.function_refusal(properties)

    assert message in refusal
    assert refusal.startswith(("template.yaml:8: Resources.", "template.yaml:9: Resources."))


# --- Globals ---------------------------------------------------------------------------------

GLOBALS = """\
Globals:
  Function:
    Timeout: 30
    Architectures: [arm64]
    Tags: {a: "1", b: "1"}
    Environment: {Variables: {STAGE: test}}
    ReservedConcurrentExecutions: 5
"""


def test_an_intrinsic_is_a_value_as_a_whole_and_does_not_merge(project: Project) -> None:
    before = GLOBALS + "Conditions: {Is: !Equals [a, a]}\n"

    function = project.function("Tags: !If [Is, {c: '2'}, {d: '2'}]", before=before)

    assert function.tags == {"c": "2"}


def test_architectures_replace_and_other_lists_add(project: Project) -> None:
    function = project.function("Architectures: [x86_64]\nTags: {b: '2'}", before=GLOBALS)

    assert function.architecture == "x86_64"
    assert function.tags == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("ignored", "expected"), [("'*'", (3.0, None)), ("[Timeout]", (3.0, 5)), ("[]", (30.0, 5))]
)
def test_a_function_may_ignore_globals(
    project: Project, ignored: str, expected: tuple[float, int | None]
) -> None:
    text = GLOBALS + FUNCTION.replace("Properties:", f"IgnoreGlobals: {ignored}\n    Properties:")

    function = project.load(text).functions["Hello"]

    assert (function.timeout_s, function.reserved_concurrency) == expected


def test_a_mistake_in_globals_is_shown_where_it_is(project: Project) -> None:
    refusal = project.refusal("Globals:\n  Function:\n    Timeout: 0\n" + FUNCTION)

    assert refusal.startswith("template.yaml:3: Resources.Hello.Properties.Timeout: 0 is not")
    refusal = project.refusal("Globals:\n  Functions: {Timeout: 1}\n" + FUNCTION)
    assert refusal.startswith("template.yaml:2: Globals.Functions: known are Api, ")


# --- warnings --------------------------------------------------------------------------------


def test_functions_of_another_python_run_with_one_warning_for_all(project: Project) -> None:
    text = "Resources:\n" + "".join(
        f"  F{i}:\n    Type: AWS::Serverless::Function\n"
        f"    Properties: {{Runtime: {OTHER}, Handler: a.b, CodeUri: code/}}\n"
        for i in range(5)
    )

    template = project.load(text)

    assert template.warnings == (f"{OTHER} of F0, F1, F2 and 2 more: they run on {HERE} here",)


def test_functions_of_this_python_run_without_a_warning(project: Project) -> None:
    architecture = ARCHITECTURES[platform.machine()]
    text = FUNCTION.replace("python3.11", HERE) + f"      Architectures: [{architecture}]\n"

    assert project.load(text).warnings == ()


def test_functions_of_another_processor_run_with_one_warning(project: Project) -> None:
    here = ARCHITECTURES[platform.machine()]
    other = {"x86_64": "arm64", "arm64": "x86_64"}[here]
    text = FUNCTION.replace("python3.11", HERE) + f"      Architectures: [{other}]\n"

    assert project.load(text).warnings == (
        f"{other} of Hello: they run on {here} here; binaries they bring must fit",
    )
