"""Routes and APIs of a template: HTTP APIs, REST APIs, CORS, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local_stack.model import Api, Cors, Route
from tests.support.templates import FUNCTION, Project

if TYPE_CHECKING:
    from pathlib import Path

    from local_stack.model import Template


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def _with_event(event: str, more: str = "", *, before: str = "") -> str:
    return f"{before}{FUNCTION}      Events:\n        E: {event}\n{more}"


def _event(project: Project, event: str, more: str = "") -> Template:
    return project.load(_with_event(event, more))


# --- routes ----------------------------------------------------------------------------------

API = "  Api: {Type: AWS::Serverless::HttpApi}\n"


@pytest.mark.parametrize(
    ("properties", "route"),
    [
        ("{Path: /a, Method: get}", Route("GET", "/a")),
        ("{Path: '/a/{b}', Method: POST}", Route("POST", "/a/{b}")),
        ("{Path: '/{proxy+}', Method: any}", Route("ANY", "/{proxy+}")),
        ("{Path: /a, Method: x-amazon-apigateway-any-method}", Route("ANY", "/a")),
        ("{Path: $default}", Route("ANY", "$default")),
        ("{}", Route("ANY", "$default")),
        ("", Route("ANY", "$default")),
        ("{Path: /a, Method: GET, PayloadFormatVersion: '2.0'}", Route("GET", "/a")),
        ("{Path: /a, Method: GET, PayloadFormatVersion: 2.0}", Route("GET", "/a")),
        (
            "{Path: /a, Method: GET, PayloadFormatVersion: '1.0'}",
            Route("GET", "/a", payload_format="1.0"),
        ),
        ("{ApiId: !Ref Api, Path: /a, Method: GET}", Route("GET", "/a", api="Api")),
        ("{ApiId: Api, Path: /a, Method: GET}", Route("GET", "/a", api="Api")),
        ("{ApiId: !Ref ServerlessHttpApi, Path: /a, Method: GET}", Route("GET", "/a")),
        ("{Path: /a, Method: GET, TimeoutInMillis: 50}", Route("GET", "/a", timeout_s=0.05)),
        ("{Path: /a, Method: GET, TimeoutInMillis: 30000}", Route("GET", "/a")),
        ("{Path: /a, Method: GET, RouteSettings: {ThrottlingBurstLimit: 2}}", Route("GET", "/a")),
    ],
)
def test_a_route_of_an_http_api_is_read(project: Project, properties: str, route: Route) -> None:
    template = _event(project, f"{{Type: HttpApi, Properties: {properties}}}", API)

    assert template.functions["Hello"].routes == (route,)
    assert list(template.apis) == [route.api]


def test_a_route_has_the_key_that_http_api_gives_it() -> None:
    assert Route("GET", "/a/{b}").key == "GET /a/{b}"
    assert Route("ANY", "$default").key == "$default"


def test_an_event_of_a_rest_api_makes_the_implicit_one_with_its_stage(project: Project) -> None:
    template = _event(project, "{Type: Api, Properties: {Path: /hello, Method: get}}")

    assert template.functions["Hello"].routes == (
        Route("GET", "/hello", "1.0", api="ServerlessRestApi", timeout_s=29.0),
    )
    assert template.apis == {"ServerlessRestApi": Api("ServerlessRestApi", "rest", "Prod")}


def test_routes_of_one_path_in_two_apis_are_two_routes(project: Project) -> None:
    template = project.load(
        FUNCTION
        + "      Events:\n"
        + "        A: {Type: HttpApi, Properties: {Path: /a, Method: GET}}\n"
        + "        B: {Type: Api, Properties: {Path: /a, Method: GET}}\n"
    )

    assert [route.api for route in template.functions["Hello"].routes] == [
        "ServerlessHttpApi",
        "ServerlessRestApi",
    ]


def test_one_route_twice_in_a_function_is_refused(project: Project) -> None:
    refusal = project.refusal(
        FUNCTION
        + "      Events:\n"
        + "        A: {Type: HttpApi, Properties: {Path: /a, Method: GET}}\n"
        + "        B: {Type: HttpApi, Properties: {Path: /a, Method: get}}\n"
    )

    assert "route 'GET /a' is Hello's already" in refusal


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("{Type: SQS}", "event type 'SQS' does not run here (supported are HttpApi, Api, Schedule"),
        ("{Type: Sqs}", "event type 'Sqs' is none of SAM's"),
        ("{}", "event type None is none of SAM's"),
        ("text", "is a mapping"),
        ("{Type: HttpApi, Properties: text}", "Properties: is a mapping"),
        ("{Type: HttpApi, Properties: {Path: a}}", "path 'a' starts with a slash"),
        ("{Type: HttpApi, Properties: {Path: /a}}", "method '' is none of API Gateway's"),
        ("{Type: HttpApi, Properties: {Path: /a, Method: FETCH}}", "method 'FETCH' is none"),
        ("{Type: Api, Properties: {Method: GET}}", "path '' starts with a slash"),
        ("{Type: Api, Properties: {Path: /a}}", "method '' is none of API Gateway's"),
        ("{Type: Api, Properties: {Path: /a, Method: GET, ApiId: x}}", "E.Properties.ApiId: this"),
        (
            "{Type: HttpApi, Properties: {Path: /a, Method: GET, Auth: {Authorizer: x}}}",
            "Auth.Authorizer: 'x' is no authorizer of ServerlessHttpApi",
        ),
        (
            "{Type: HttpApi, Properties: {Path: /a, Method: GET, Auth: {Authorizer: AWS_IAM}}}",
            "signatures of AWS are not checked here",
        ),
        (
            "{Type: Api, Properties: {Path: /a, Method: GET, Auth: {ApiKeyRequired: true}}}",
            "API keys are not checked here",
        ),
        (
            "{Type: Api, Properties: {Path: /a, Method: GET, RequestModel: {ValidateBody: true}}}",
            "bodies are not validated here",
        ),
        (
            "{Type: HttpApi, Properties: {Path: /a, Method: GET, PayloadFormatVersion: '3.0'}}",
            "'3.0' is none of 1.0, 2.0",
        ),
        (
            "{Type: HttpApi, Properties: {Path: /a, Method: GET, TimeoutInMillis: 30001}}",
            "30001 is not a whole number from 50 to 30000",
        ),
        (
            "{Type: Api, Properties: {Path: /a, Method: GET, TimeoutInMillis: 29001}}",
            "29001 is not a whole number from 50 to 29000",
        ),
        (
            "{Type: HttpApi, Properties: {Path: /a, Method: GET, TimeoutInMillis: 49}}",
            "49 is not a whole number from 50 to 30000",
        ),
        (
            "{Type: HttpApi, Properties: {ApiId: !ImportValue x, Path: /a, Method: GET}}",
            "Fn::ImportValue cannot be known locally",
        ),
        (
            "{Type: HttpApi, Properties: {ApiId: other, Path: /a, Method: GET}}",
            "'other' is no API of this template",
        ),
        (
            "{Type: Api, Properties: {RestApiId: !Ref Api, Path: /a, Method: GET}}",
            "api is not the kind of API that this event is for",
        ),
    ],
)
def test_a_route_that_cannot_be_honoured_is_refused(
    project: Project, event: str, message: str
) -> None:
    refusal = project.refusal(_with_event(event, API))

    assert message in refusal
    assert refusal.startswith("template.yaml:9: Resources.Hello.Properties.Events.E")


# --- APIs ------------------------------------------------------------------------------------

ROUTE = "{Type: HttpApi, Properties: {ApiId: !Ref Api, Path: /a, Method: GET}}"
REST_ROUTE = "{Type: Api, Properties: {RestApiId: !Ref Api, Path: /a, Method: GET}}"


def _http_api(project: Project, properties: str, *, before: str = "") -> Api:
    more = f"  Api: {{Type: AWS::Serverless::HttpApi, Properties: {properties}}}\n"
    return project.load(_with_event(ROUTE, more, before=before)).apis["Api"]


def _rest_api(project: Project, properties: str, *, before: str = "") -> Api:
    more = f"  Api: {{Type: AWS::Serverless::Api, Properties: {properties}}}\n"
    return project.load(_with_event(REST_ROUTE, more, before=before)).apis["Api"]


def test_an_http_api_is_read_whole(project: Project) -> None:
    api = _http_api(
        project,
        "{StageName: prod, StageVariables: {a: !Sub 'x-${AWS::Region}', b: 1}, Name: n,"
        " CorsConfiguration: {AllowOrigins: ['https://a', 'https://b'], AllowMethods: [GET],"
        " AllowHeaders: [x-a], ExposeHeaders: [x-b], MaxAge: 60, AllowCredentials: true}}",
    )

    assert api == Api(
        "Api",
        "http",
        "prod",
        stage_variables={"a": "x-us-east-1", "b": "1"},
        cors=Cors(("https://a", "https://b"), ("GET",), ("x-a",), ("x-b",), 60, True),
    )


def test_a_rest_api_is_read_whole(project: Project) -> None:
    api = _rest_api(
        project,
        "{StageName: dev, Variables: {a: b}, BinaryMediaTypes: [image~1png, 'a/b'],"
        " EndpointConfiguration: REGIONAL, TracingEnabled: true,"
        " Cors: {AllowOrigin: \"'https://a'\", AllowMethods: \"'GET,POST'\","
        " AllowHeaders: \"'x-a, x-b'\", MaxAge: \"'600'\", AllowCredentials: true}}",
    )

    assert api == Api(
        "Api",
        "rest",
        "dev",
        stage_variables={"a": "b"},
        cors=Cors(("https://a",), ("GET", "POST"), ("x-a", "x-b"), (), 600, True),
        binary_media_types=("image/png", "a/b"),
    )


def test_cors_of_true_allows_any_origin_and_nothing_else(project: Project) -> None:
    assert _http_api(project, "{CorsConfiguration: true}").cors == Cors(allow_origins=("*",))
    assert _http_api(project, "{CorsConfiguration: false}").cors is None


def test_cors_of_a_rest_api_may_be_one_quoted_text(project: Project) -> None:
    assert _rest_api(project, "{StageName: p, Cors: \"'*'\"}").cors == Cors(allow_origins=("*",))


def test_globals_hold_for_declared_and_for_implicit_apis(project: Project) -> None:
    before = (
        "Globals:\n  HttpApi: {CorsConfiguration: {AllowOrigins: [a]}, StageVariables: {x: '1'}}\n"
        "  Api: {BinaryMediaTypes: ['*~1*']}\n"
    )
    declared = _http_api(
        project, "{StageVariables: {y: '2'}, CorsConfiguration: {AllowOrigins: [b]}}", before=before
    )
    implicit = project.load(
        _with_event("{Type: Api, Properties: {Path: /, Method: GET}}", before=before)
    ).apis["ServerlessRestApi"]

    assert declared.stage_variables == {"x": "1", "y": "2"}
    assert declared.cors == Cors(allow_origins=("a", "b"))
    assert implicit == Api("ServerlessRestApi", "rest", "Prod", binary_media_types=("*/*",))


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ("{DefinitionBody: {}}", "DefinitionBody: an OpenAPI document is not read here"),
        ("{DefinitionUri: api.yaml}", "DefinitionUri: an OpenAPI document is not read here"),
        ("{Nmae: x}", "Nmae: this runtime cannot honour it"),
        ("{CorsConfiguration: {AllowOrigin: x}}", "CorsConfiguration.AllowOrigin: known are"),
        ("{CorsConfiguration: {AllowOrigins: x}}", "AllowOrigins: is a list of texts"),
        ("{CorsConfiguration: {MaxAge: 86401}}", "MaxAge: 86401 is not a whole number from 0"),
        (
            "{CorsConfiguration: {AllowOrigins: ['*'], AllowCredentials: true}}",
            "cannot be true when every origin is allowed",
        ),
        ("{Auth: {DefaultAuthorizer: a}}", "DefaultAuthorizer: 'a' is no authorizer of this API"),
        ("{Auth: {DefaultAuthorizer: AWS_IAM}}", "signatures of AWS are not checked"),
        ("{StageVariables: [a]}", "StageVariables: is a mapping"),
    ],
)
def test_an_http_api_that_would_do_more_on_aws_is_refused(
    project: Project, properties: str, message: str
) -> None:
    more = f"  Api:\n    Type: AWS::Serverless::HttpApi\n    Properties: {properties}\n"

    refusal = project.refusal(_with_event(ROUTE, more))

    assert message in refusal
    assert refusal.startswith("template.yaml:12: Resources.Api.Properties.")


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ("{}", "StageName: is needed"),
        ("{StageName: p, GatewayResponses: {}}", "GatewayResponses: this runtime cannot honour it"),
        ("{StageName: p, Cors: '*'}", "Cors: '*' is quoted once more"),
        ("{StageName: p, Cors: {AllowOrigins: x}}", "Cors.AllowOrigins: known are"),
        ("{StageName: p, Auth: {ApiKeyRequired: true}}", "ApiKeyRequired: API keys and resource"),
        (
            "{StageName: p, Auth: {Authorizers: {A: {UserPoolArn: x}}}}",
            "A.UserPoolArn: Cognito user pools do not run here",
        ),
    ],
)
def test_a_rest_api_that_would_do_more_on_aws_is_refused(
    project: Project, properties: str, message: str
) -> None:
    more = f"  Api:\n    Type: AWS::Serverless::Api\n    Properties: {properties}\n"

    refusal = project.refusal(_with_event(REST_ROUTE, more))

    assert message in refusal
    assert refusal.startswith("template.yaml:12: Resources.Api.Properties.")
