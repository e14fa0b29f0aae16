"""aws-sam-translator, which AWS runs at deployment, reads our templates as this runtime does.

`make template` makes the environment that has it; without it these tests are skipped.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local_stack.model import JwtAuthorizer
from local_stack.settings import load_settings
from local_stack.template.loader import load_template
from local_stack.template.project import load_project
from local_stack.template.samconfig import find_samconfig, read_samconfig

if TYPE_CHECKING:
    from local_stack.model import Api, Function, LambdaAuthorizer, Template

REPOSITORY = Path(__file__).parents[2]
INTERPRETER = REPOSITORY / ".venv-sam" / "bin" / "python"
EVERYTHING = REPOSITORY / "tests" / "sam" / "everything.yaml"
PROJECTS = (
    ".",
    "tests/projects/starter_hello",
    "tests/projects/starter_powertools",
    "tests/projects/starter_kafka",
)
ANY = "x-amazon-apigateway-any-method"
_FUNCTION_OF = re.compile(r"functions/\$\{(\w+?)(?:Alias\w*|\.Arn)?\}/invocations")

pytestmark = pytest.mark.skipif(
    not INTERPRETER.exists(), reason="aws-sam-translator is not there: make template"
)


@dataclass(frozen=True)
class Read:
    """One template as we read it, and as the translator does."""

    ours: Template
    theirs: dict[str, Any]
    parameters: dict[str, str]

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """Properties of the translated resources of a type, by logical id."""
        return {
            logical_id: resource.get("Properties", {})
            for logical_id, resource in self.theirs["Resources"].items()
            if resource["Type"] == kind
        }

    def plain(self, value: Any) -> Any:
        """`Ref` of a parameter or function, `Fn::GetAtt` of a function's ARN; nothing else."""
        if isinstance(value, list):
            return [self.plain(item) for item in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Ref"}:
            names = {f.logical_id: f.name for f in self.ours.functions.values()}
            default = self.theirs.get("Parameters", {}).get(value["Ref"], {}).get("Default")
            return self.parameters.get(value["Ref"], default) or names.get(value["Ref"])
        if set(value) == {"Fn::GetAtt"}:
            arns = {f.logical_id: f.arn for f in self.ours.functions.values()}
            return arns[value["Fn::GetAtt"][0]]
        return {key: self.plain(item) for key, item in value.items()}


@cache
def _reads() -> dict[str, Read]:
    """Every template, translated by one process."""
    ours: dict[str, tuple[Template, dict[str, str]]] = {}
    for name in PROJECTS:
        settings = load_settings(REPOSITORY / name)
        found = find_samconfig(settings.project_dir)
        given = {**(read_samconfig(found) if found else {}), **settings.resolved_parameters()}
        ours[name] = load_project(settings), given
    ours["everything"] = load_template(EVERYTHING, {}), {}
    wanted = [
        {"text": template.path.read_text(encoding="utf-8"), "parameters": given}
        for template, given in ours.values()
    ]
    done = subprocess.run(
        [INTERPRETER, REPOSITORY / "tests" / "sam" / "translate.py"],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    return {
        name: Read(template, translated, given)
        for (name, (template, given)), translated in zip(ours.items(), theirs, strict=True)
    }


@pytest.fixture(scope="module", params=[*PROJECTS, "everything"])
def read(request: pytest.FixtureRequest) -> Read:
    return _reads()[request.param]


def test_functions_have_the_same_properties(read: Read) -> None:
    theirs = read.resources("AWS::Lambda::Function")
    urls = read.resources("AWS::Lambda::Url")
    aliases = read.resources("AWS::Lambda::Alias")
    ours = {function.logical_id: function for function in read.ours.functions.values()}

    assert ours.keys() == theirs.keys()
    for logical_id, function in ours.items():
        given = theirs[logical_id]
        tags = {t["Key"]: read.plain(t["Value"]) for t in given["Tags"]}
        tags.pop("lambda:createdBy")
        assert (function.handler, function.runtime) == (given["Handler"], given["Runtime"])
        assert function.timeout_s == given.get("Timeout", 3)
        assert function.memory_mb == given.get("MemorySize", 128)
        assert function.ephemeral_storage_mb == given.get("EphemeralStorage", {}).get("Size", 512)
        reserved = read.plain(given.get("ReservedConcurrentExecutions"))
        assert str(function.reserved_concurrency) == str(reserved)
        assert function.variables.keys() <= given.get("Environment", {}).get("Variables", {}).keys()
        assert function.tags == tags
        url = urls.get(f"{logical_id}Url")
        assert (function.url and function.url.auth_type) == (url and url["AuthType"])
        own = [a for name, a in aliases.items() if name.startswith(f"{logical_id}Alias")]
        assert [function.alias] == ([a["Name"] for a in own] or [None])
        provisioned = own[0].get("ProvisionedConcurrencyConfig", {}) if own else {}
        count = read.plain(provisioned.get("ProvisionedConcurrentExecutions", 0))
        assert str(function.provisioned_concurrency) == str(count)


def test_variables_are_the_same_where_they_are_plain(read: Read) -> None:
    theirs = read.resources("AWS::Lambda::Function")
    for function in read.ours.functions.values():
        given = theirs[function.logical_id].get("Environment", {}).get("Variables", {})
        for name, value in function.variables.items():
            if isinstance(given[name], dict) and set(given[name]) != {"Ref"}:
                continue  # a condition or a map: the translator leaves it to CloudFormation
            assert value == str(read.plain(given[name])), name


def test_asynchronous_events_are_retried_alike(read: Read) -> None:
    theirs = read.resources("AWS::Lambda::EventInvokeConfig")
    for function in read.ours.functions.values():
        given = theirs.get(f"{function.logical_id}EventInvokeConfig", {})
        config = function.async_config
        assert config.retries_max == given.get("MaximumRetryAttempts", 2)
        assert config.event_age_s_max == given.get("MaximumEventAgeInSeconds", 21_600)
        for name, destination in (
            ("OnSuccess", config.on_success),
            ("OnFailure", config.on_failure),
        ):
            wanted = given.get("DestinationConfig", {}).get(name, {}).get("Destination")
            assert (destination and destination.arn) == read.plain(wanted)


def _apis(read: Read) -> dict[str, dict[str, Any]]:
    found = {
        **read.resources("AWS::ApiGatewayV2::Api"),
        **read.resources("AWS::ApiGateway::RestApi"),
    }
    return {name: given for name, given in found.items() if given["Body"].get("paths")}


def _theirs(body: dict[str, Any], kind: str) -> dict[str, tuple[Any, ...]]:
    """Routes of an OpenAPI document, but for the OPTIONS that SAM adds."""
    routes = {}
    for path, methods in body["paths"].items():
        for method, given in methods.items():
            integration = given.get("x-amazon-apigateway-integration", {})
            if integration.get("type") != "aws_proxy":
                continue
            match = _FUNCTION_OF.search(json.dumps(integration["uri"]))
            assert match is not None
            [security] = given.get("security") or [{}]
            [(authorizer, scopes)] = security.items() or [(None, [])]
            key = f"{'ANY' if method == ANY else method.upper()} {path}"
            routes["$default" if path == "$default" else key] = (
                match[1],
                None if authorizer == "NONE" else authorizer,
                scopes,
                integration.get("payloadFormatVersion", "1.0"),
                integration.get("timeoutInMillis", 30_000 if kind == "http" else 29_000),
            )
    return routes


def test_routes_are_the_same_with_their_authorizers_formats_and_timeouts(read: Read) -> None:
    theirs = _apis(read)

    assert read.ours.apis.keys() == theirs.keys()
    for name, api in read.ours.apis.items():
        ours = {
            route.key: (
                function.logical_id,
                route.authorizer,
                list(route.scopes),
                route.payload_format,
                route.timeout_s * 1000,
            )
            for function in read.ours.functions.values()
            for route in function.routes
            if route.api == name
        }
        assert ours == _theirs(theirs[name]["Body"], api.kind)


def test_stages_are_the_same(read: Read) -> None:
    found = [
        *read.resources("AWS::ApiGatewayV2::Stage").values(),
        *read.resources("AWS::ApiGateway::Stage").values(),
    ]
    stages = {(s.get("ApiId") or s["RestApiId"])["Ref"]: s for s in found}
    for name, api in read.ours.apis.items():
        variables = stages[name].get("StageVariables") or stages[name].get("Variables") or {}
        assert (api.stage, api.stage_variables) == (stages[name]["StageName"], variables)


def test_cors_and_binary_types_are_the_same(read: Read) -> None:
    for name, api in read.ours.apis.items():
        body = _apis(read)[name]["Body"]
        if api.kind == "rest":
            binary = body.get("x-amazon-apigateway-binary-media-types", [])
            assert list(api.binary_media_types) == binary
            _check_rest_cors(api, body)
            continue
        cors = body.get("x-amazon-apigateway-cors")
        assert (api.cors is None) == (cors is None)
        if api.cors is not None and cors is not None:
            assert list(api.cors.allow_origins) == cors.get("allowOrigins", [])
            assert list(api.cors.allow_methods) == cors.get("allowMethods", [])
            assert list(api.cors.allow_headers) == cors.get("allowHeaders", [])
            assert api.cors.max_age_s == cors.get("maxAge")


def _check_rest_cors(api: Api, body: dict[str, Any]) -> None:
    for methods in body["paths"].values():
        options = methods.get("options", {}).get("x-amazon-apigateway-integration", {})
        answers = options.get("responses", {}).get("default", {}).get("responseParameters", {})
        given = {key.rpartition("Allow-")[2]: value for key, value in answers.items()}
        if api.cors is None:
            assert given == {}
            continue
        assert given["Origin"] == f"'{','.join(api.cors.allow_origins)}'"
        assert given.get("Headers", "''") == f"'{','.join(api.cors.allow_headers)}'"


def test_authorizers_are_the_same(read: Read) -> None:
    for name, api in read.ours.apis.items():
        body = _apis(read)[name]["Body"]
        schemes = body.get("components", {}).get("securitySchemes", {})
        schemes = schemes or body.get("securityDefinitions", {})
        assert api.authorizers.keys() == schemes.keys()
        for authorizer in api.authorizers.values():
            scheme = schemes[authorizer.name]
            given = scheme["x-amazon-apigateway-authorizer"]
            if isinstance(authorizer, JwtAuthorizer):
                jwt = {"issuer": authorizer.issuer, "audience": list(authorizer.audience)}
                assert (given["type"], given["jwtConfiguration"]) == ("jwt", jwt)
                assert authorizer.identity_source == given["identitySource"]
            else:
                _check_lambda_authorizer(read, api, authorizer, scheme)


def _check_lambda_authorizer(
    read: Read, api: Api, authorizer: LambdaAuthorizer, scheme: dict[str, Any]
) -> None:
    given = scheme["x-amazon-apigateway-authorizer"]
    asked: Function = read.ours.functions[authorizer.function]
    [_, names] = given["authorizerUri"]["Fn::Sub"]
    assert read.plain(names["__FunctionArn__"]) == asked.arn
    assert authorizer.kind == given["type"].upper()
    assert authorizer.ttl_s == given.get(
        "authorizerResultTtlInSeconds", 0 if api.kind == "http" else 300
    )
    assert authorizer.validation_pattern == given.get("identityValidationExpression")
    if authorizer.kind == "TOKEN":
        assert authorizer.identity_sources == (f"method.request.header.{scheme['name']}",)
        return
    sources = given["identitySource"]
    assert list(authorizer.identity_sources) == (
        sources if isinstance(sources, list) else sources.split(", ")
    )
    if api.kind == "http":
        assert authorizer.payload_format == given["authorizerPayloadFormatVersion"]
        assert authorizer.simple_responses == given.get("enableSimpleResponses", False)
