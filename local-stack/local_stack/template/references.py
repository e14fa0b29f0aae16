"""What `Ref` and `Fn::GetAtt` of a resource are on one machine, where they can be known at all.

A function, a layer and an API of the template are known. Of what is not run here (a table, a
bucket) only the name can be known, and only when the template gives one: CloudFormation makes up
the others at deployment. Return values: the CloudFormation resource reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local_stack.model import ACCOUNT_ID, REGION, function_arn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FUNCTION = "AWS::Serverless::Function"
LAYER = "AWS::Serverless::LayerVersion"
HTTP_API = "AWS::Serverless::HttpApi"
REST_API = "AWS::Serverless::Api"
IMPLICIT_HTTP_API = "ServerlessHttpApi"  # as SAM calls the APIs that events make without naming one
IMPLICIT_REST_API = "ServerlessRestApi"
IMPLICIT_APIS = (IMPLICIT_HTTP_API, IMPLICIT_REST_API)
IMPLICIT_REST_STAGE = "Prod"

_TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{{name}}"
_TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:{{name}}"
# Type: the property with its name, what Ref is, and what attributes are.
_NAMED: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "AWS::DynamoDB::Table": ("TableName", "{name}", {"Arn": _TABLE}),
    "AWS::Serverless::SimpleTable": ("TableName", "{name}", {"Arn": _TABLE}),
    "AWS::S3::Bucket": (
        "BucketName",
        "{name}",
        {"Arn": "arn:aws:s3:::{name}", "DomainName": "{name}.s3.amazonaws.com"},
    ),
    "AWS::SQS::Queue": (
        "QueueName",
        f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT_ID}/{{name}}",
        {
            "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{{name}}",
            "QueueName": "{name}",
            "QueueUrl": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT_ID}/{{name}}",
        },
    ),
    "AWS::SNS::Topic": ("TopicName", _TOPIC, {"TopicArn": _TOPIC, "TopicName": "{name}"}),
    "AWS::SSM::Parameter": ("Name", "{name}", {}),
    "AWS::Logs::LogGroup": (
        "LogGroupName",
        "{name}",
        {"Arn": f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:{{name}}:*"},
    ),
    "AWS::Kinesis::Stream": (
        "Name",
        "{name}",
        {"Arn": f"arn:aws:kinesis:{REGION}:{ACCOUNT_ID}:stream/{{name}}"},
    ),
    "AWS::Events::EventBus": (
        "Name",
        "{name}",
        {"Arn": f"arn:aws:events:{REGION}:{ACCOUNT_ID}:event-bus/{{name}}", "Name": "{name}"},
    ),
    "AWS::IAM::Role": (
        "RoleName",
        "{name}",
        {"Arn": f"arn:aws:iam::{ACCOUNT_ID}:role/{{name}}"},
    ),
}


def layer_arn(name: str) -> str:
    """The ARN of version 1 of a layer."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:layer:{name}:1"


def api_id(logical_id: str) -> str:
    """What `Ref` of an API is, and `apiId` of its events: part of a host name, so in lower case."""
    return logical_id.lower()


def naming_property(kind: str) -> str | None:
    """The property in which a template may name a resource of this type."""
    return _NAMED[kind][0] if kind in _NAMED else None


class References:
    """Answers None for what cannot be known; the resolver says so with file and line."""

    def __init__(
        self, resources: Mapping[str, Any], resolve: Callable[[Any, str], Any], absent: object
    ) -> None:
        self._resources = resources
        self._resolve = resolve
        self._absent = absent  # what resolves to `AWS::NoValue`

    def is_resource(self, logical_id: str) -> bool:
        """Whether the template has it, or SAM makes it."""
        base = logical_id.partition(".")[0]
        return base in self._resources or base in IMPLICIT_APIS or self._url_owner(base) is not None

    def ref(self, name: str) -> str | None:
        """What `!Ref name` is: a logical id, or one of SAM's `Function.Alias`, `Api.Stage`."""
        logical_id, _, generated = name.partition(".")
        kind = self._kind(logical_id)
        if generated:
            return self._generated(logical_id, kind, generated)
        if kind == FUNCTION:
            return self._name(logical_id, "FunctionName") or logical_id
        if kind == LAYER:
            return layer_arn(self._name(logical_id, "LayerName") or logical_id)
        if kind in (HTTP_API, REST_API):
            return api_id(logical_id)
        naming, pattern, _ = _NAMED.get(kind, ("", "", {}))
        physical = self._name(logical_id, naming)
        return pattern.format(name=physical) if physical else None

    def get_att(self, logical_id: str, attribute: str) -> str | None:
        """What `!GetAtt logical_id.attribute` is."""
        kind, physical = self._kind(logical_id), self.ref(logical_id)
        if kind == FUNCTION:
            return function_arn(str(physical)) if attribute == "Arn" else None
        if kind == LAYER:
            return physical if attribute in ("Arn", "LayerVersionArn") else None
        if kind == HTTP_API:
            endpoint = f"https://{physical}.execute-api.{REGION}.amazonaws.com"
            return {"ApiId": str(physical), "ApiEndpoint": endpoint}.get(attribute)
        if kind == REST_API:
            return physical if attribute == "RestApiId" else None
        return self._named_attribute(logical_id, kind, attribute)

    def _named_attribute(self, logical_id: str, kind: str, attribute: str) -> str | None:
        if owner := self._url_owner(logical_id):
            host = f"{str(self.ref(owner)).lower()}.lambda-url.{REGION}.on.aws"
            return f"https://{host}/" if attribute == "FunctionUrl" else None
        if kind not in _NAMED or attribute not in _NAMED[kind][2]:
            return None
        physical = self._name(logical_id, _NAMED[kind][0])
        return _NAMED[kind][2][attribute].format(name=physical) if physical else None

    def _generated(self, logical_id: str, kind: str, generated: str) -> str | None:
        """SAM's referable properties, such as `Hello.Alias` (SAM's internals/generated_resources)."""
        if kind == FUNCTION and generated in ("Alias", "Version"):
            qualifier = (
                "1" if generated == "Version" else self._name(logical_id, "AutoPublishAlias")
            )
            return f"{self.get_att(logical_id, 'Arn')}:{qualifier}" if qualifier else None
        if generated == "Stage" and kind in (HTTP_API, REST_API):
            stage = IMPLICIT_REST_STAGE if logical_id == IMPLICIT_REST_API else "$default"
            return self._name(logical_id, "StageName") or stage
        return None

    def _kind(self, logical_id: str) -> str:
        if logical_id not in self._resources and logical_id in IMPLICIT_APIS:
            return HTTP_API if logical_id == IMPLICIT_HTTP_API else REST_API
        return str((self._resources.get(logical_id) or {}).get("Type", ""))

    def _url_owner(self, logical_id: str) -> str | None:
        """The function whose URL SAM calls `<function>Url`."""
        owner = logical_id.removesuffix("Url")
        is_made = owner != logical_id and logical_id not in self._resources
        return owner if is_made and self._kind(owner) == FUNCTION else None

    def _name(self, logical_id: str, naming: str) -> str | None:
        """The name that the template gives, resolved."""
        properties = (self._resources.get(logical_id) or {}).get("Properties")
        given = properties.get(naming) if isinstance(properties, dict) else None
        if given is None:
            return None
        path = f"Resources.{logical_id}.Properties.{naming}"
        resolved = self._resolve(given, path)
        return None if resolved is self._absent else str(resolved)
