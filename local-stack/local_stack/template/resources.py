"""What the template declares beside functions: refused when it would run code, ignored when not.

A table, a bucket, a role or an alarm is infrastructure: nothing of it runs here, and it is ignored
quietly (`local-stack doctor` shows it). What would call a function, or be one, is never ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_stack.template.references import FUNCTION, HTTP_API, LAYER, REST_API

if TYPE_CHECKING:
    from local_stack.template.source import Source

_SERVERLESS = "AWS::Serverless::"
MAPPING = "AWS::Lambda::EventSourceMapping"
_READ = frozenset([FUNCTION, LAYER, HTTP_API, REST_API, MAPPING])
_IGNORED_SERVERLESS = frozenset(
    ["AWS::Serverless::Connector", "AWS::Serverless::SimpleTable"]  # permissions, a table
)
# What to write instead, where there is something.
_INSTEAD = {
    "AWS::Lambda::Function": "declare it as AWS::Serverless::Function",
    "AWS::Lambda::LayerVersion": "declare it as AWS::Serverless::LayerVersion",
    "AWS::Lambda::Alias": "AutoPublishAlias of the function is understood",
    "AWS::Lambda::Version": "AutoPublishAlias of the function is understood",
    "AWS::Lambda::Url": "FunctionUrlConfig of the function is understood",
    "AWS::Lambda::EventInvokeConfig": "EventInvokeConfig of the function is understood",
    "AWS::Events::Rule": "a Schedule event of the function is understood",
    "AWS::Scheduler::Schedule": "a ScheduleV2 event of the function is understood",
    "AWS::ApiGateway::RestApi": "declare it as AWS::Serverless::Api",
    "AWS::ApiGatewayV2::Api": "declare it as AWS::Serverless::HttpApi",
}
_RUNS_CODE = frozenset(
    [
        *_INSTEAD,
        "AWS::AppSync::GraphQLApi",
        "AWS::ApiGateway::Authorizer",
        "AWS::ApiGateway::Method",
        "AWS::ApiGatewayV2::Authorizer",
        "AWS::ApiGatewayV2::Integration",
        "AWS::ApiGatewayV2::Route",
        "AWS::CloudFormation::Stack",
        "AWS::Pipes::Pipe",
        "AWS::StepFunctions::StateMachine",
    ]
)


# Transforms of CloudFormation's own; any other is a macro, code that rewrites the template.
_TRANSFORMS = frozenset(["AWS::LanguageExtensions", "AWS::Serverless-2016-10-31"])


def check_transforms(source: Source) -> None:
    """A macro is refused, or left out: only AWS can run it."""
    given = source.document.get("Transform") or []
    for name in given if isinstance(given, list) else [given]:
        if str(name) not in _TRANSFORMS:
            with source.leaving_out():
                source.unsupported(source.document, "Transform", f"{name} is not run here")


def check_resources(source: Source) -> tuple[str, ...]:
    """Refuse, or leave out, resources that would run code; returns what is ignored.

    Each of these is `logical id (type)`.
    """
    ignored = []
    for logical_id, resource in source.all_resources():
        kind, path = str(resource.get("Type")), f"Resources.{logical_id}"
        if kind in _READ:
            continue
        is_serverless = kind.startswith(_SERVERLESS) and kind not in _IGNORED_SERVERLESS
        if not is_serverless and kind not in _RUNS_CODE:
            ignored.append(f"{logical_id} ({kind})")
            continue
        with source.leaving_out(logical_id):
            instead = _INSTEAD.get(kind)
            message = f"{kind} does not run here" + (f": {instead}" if instead else "")
            source.unsupported(resource, path, message)
    return tuple(ignored)
