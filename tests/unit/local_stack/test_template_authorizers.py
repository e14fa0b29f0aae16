"""Authorizers of HTTP APIs and REST APIs, and the routes that they guard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local_stack.model import JwtAuthorizer, LambdaAuthorizer
from local_stack.template.loader import load_template
from tests.support.templates import FUNCTION, Project

if TYPE_CHECKING:
    from pathlib import Path

    from local_stack.model import Template


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def _with_event(event: str, more: str) -> str:
    return f"{FUNCTION}      Events:\n        E: {event}\n{more}"


ROUTE = "{Type: HttpApi, Properties: {ApiId: !Ref Api, Path: /a, Method: GET}}"
GUARD = """\
  Guard:
    Type: AWS::Serverless::Function
    Properties: {Runtime: python3.11, Handler: a.b, CodeUri: code/, FunctionName: the-guard}
"""
JWT = """\
JwtConfiguration: {issuer: "https://issuer", audience: [one, two]},
 IdentitySource: $request.header.Authorization, AuthorizationScopes: [read]"""


def _authorized(project: Project, auth: str, event_auth: str = "", kind: str = "Http") -> Template:
    api, event, ref = (
        ("AWS::Serverless::HttpApi", "HttpApi", "ApiId")
        if kind == "Http"
        else ("AWS::Serverless::Api", "Api", "RestApiId")
    )
    more = f"{GUARD}  Api: {{Type: {api}, Properties: {{StageName: p, Auth: {auth}}}}}\n"
    own = f", Auth: {event_auth}" if event_auth else ""
    route = f"{{Type: {event}, Properties: {{{ref}: !Ref Api, Path: /a, Method: GET{own}}}}}"
    return project.load(_with_event(route, more))


def test_a_jwt_authorizer_is_read(project: Project) -> None:
    template = _authorized(project, f"{{DefaultAuthorizer: J, Authorizers: {{J: {{{JWT}}}}}}}")

    assert template.apis["Api"].authorizers == {
        "J": JwtAuthorizer("J", "https://issuer", ("one", "two"), scopes=("read",))
    }
    [route] = template.functions["Hello"].routes
    assert (route.authorizer, route.scopes) == ("J", ("read",))


@pytest.mark.parametrize("key", ["J", "https://issuer"])
def test_keys_of_a_jwt_authorizer_are_named_beside_the_template(project: Project, key: str) -> None:
    _authorized(project, f"{{DefaultAuthorizer: J, Authorizers: {{J: {{{JWT}}}}}}}")

    template = load_template(project.path, {}, jwks={key: "keys.json"})

    authorizer = template.apis["Api"].authorizers["J"]
    assert isinstance(authorizer, JwtAuthorizer)
    assert authorizer.jwks == "keys.json"


def test_a_route_chooses_its_authorizer_and_scopes_or_none(project: Project) -> None:
    auth = f"{{DefaultAuthorizer: J, Authorizers: {{J: {{{JWT}}}, K: {{{JWT}}}}}}}"

    own = _authorized(project, auth, "{Authorizer: K, AuthorizationScopes: [write]}")
    none = _authorized(project, auth, "{Authorizer: NONE}")

    [route] = own.functions["Hello"].routes
    assert (route.authorizer, route.scopes) == ("K", ("write",))
    assert none.functions["Hello"].routes[0].authorizer is None


def test_a_lambda_authorizer_of_an_http_api_is_read(project: Project) -> None:
    template = _authorized(
        project,
        "{DefaultAuthorizer: L, EnableIamAuthorizer: true, Authorizers: {L: {"
        "FunctionArn: !GetAtt Guard.Arn, AuthorizerPayloadFormatVersion: 2.0,"
        " EnableSimpleResponses: true, FunctionInvokeRole: r, Identity: {Headers: [X-A],"
        " QueryStrings: [q], StageVariables: [s], Context: [c], ReauthorizeEvery: 60}}}}",
    )

    assert template.apis["Api"].authorizers["L"] == LambdaAuthorizer(
        "L",
        "the-guard",
        "2.0",
        simple_responses=True,
        identity_sources=(
            "$request.header.X-A",
            "$request.querystring.q",
            "$stageVariables.s",
            "$context.c",
        ),
        ttl_s=60,
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "{FunctionArn: !GetAtt Guard.Arn}",
            LambdaAuthorizer(
                "L",
                "the-guard",
                "1.0",
                identity_sources=("method.request.header.Authorization",),
                ttl_s=300,
                kind="TOKEN",
            ),
        ),
        (
            "{FunctionArn: !GetAtt Guard.Arn, Identity: {Header: X-Token,"
            " ValidationExpression: '^t.*', ReauthorizeEvery: 0}}",
            LambdaAuthorizer(
                "L",
                "the-guard",
                "1.0",
                identity_sources=("method.request.header.X-Token",),
                kind="TOKEN",
                validation_pattern="^t.*",
            ),
        ),
        (
            "{FunctionArn: !GetAtt Guard.Arn, FunctionPayloadType: REQUEST,"
            " Identity: {Headers: [A], Context: [c]}}",
            LambdaAuthorizer(
                "L",
                "the-guard",
                "1.0",
                identity_sources=("method.request.header.A", "context.c"),
                ttl_s=300,
            ),
        ),
    ],
)
def test_a_lambda_authorizer_of_a_rest_api_is_read(
    project: Project, given: str, expected: LambdaAuthorizer
) -> None:
    auth = f"{{DefaultAuthorizer: L, Authorizers: {{L: {given}}}}}"
    template = _authorized(project, auth, kind="Rest")

    assert template.apis["Api"].authorizers["L"] == expected
    assert template.functions["Hello"].routes[0].authorizer == "L"


@pytest.mark.parametrize(
    ("authorizer", "message"),
    [
        ("{}", "AuthorizerPayloadFormatVersion: is needed"),
        ("{AuthorizerPayloadFormatVersion: '2.0'}", "FunctionArn: is needed"),
        (
            "{AuthorizerPayloadFormatVersion: '2.0', FunctionArn: 'arn:aws:lambda:x:1:function:y'}",
            "is no function that runs here",
        ),
        (
            "{AuthorizerPayloadFormatVersion: '1.0', EnableSimpleResponses: true}",
            "EnableSimpleResponses: needs AuthorizerPayloadFormatVersion 2.0",
        ),
        ("{JwtConfiguration: {audience: [a]}}", "issuer: is needed"),
        ("{JwtConfiguration: {issuer: i}}", "IdentitySource: is needed"),
        (
            "{AuthorizerPayloadFormatVersion: '2.0', FunctionArn: !GetAtt Guard.Arn,"
            " Identity: {ReauthorizeEvery: 3601}}",
            "3601 is not a whole number from 0 to 3600",
        ),
    ],
)
def test_an_authorizer_that_is_not_whole_is_refused(
    project: Project, authorizer: str, message: str
) -> None:
    more = f"{GUARD}  Api:\n    Type: AWS::Serverless::HttpApi\n    Properties:\n"
    more += f"      Auth:\n        Authorizers:\n          A: {authorizer}\n"

    refusal = project.refusal(_with_event(ROUTE, more))

    assert message in refusal
    assert refusal.startswith("template.yaml:18: Resources.Api.Properties.Auth.Authorizers.A.")
