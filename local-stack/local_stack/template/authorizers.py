"""Reads the authorizers of HTTP APIs and REST APIs.

SAM specification: HttpApiAuth, OAuth2Authorizer, LambdaAuthorizer; ApiAuth, LambdaTokenAuthorizer,
LambdaRequestAuthorizer. What asks Cognito or checks AWS signatures does not run here: left out,
its routes are open to everybody, and the message says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from local_stack.model import JwtAuthorizer, LambdaAuthorizer

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from local_stack.template.place import Place

IAM = "AWS_IAM"
NONE = "NONE"
OPEN_HINT = "--skip-unsupported leaves it out, and opens its routes to everybody"
REST_TTL_S = 300  # API Gateway, CreateAuthorizer: authorizerResultTtlInSeconds
TTL_S_MAX = 3600
_REQUEST = "$request."
_HTTP_PREFIXES = (
    ("Headers", "$request.header."),
    ("QueryStrings", "$request.querystring."),
    ("StageVariables", "$stageVariables."),
    ("Context", "$context."),
)
_REST_PREFIXES = (
    ("Headers", "method.request.header."),
    ("QueryStrings", "method.request.querystring."),
    ("StageVariables", "stageVariables."),
    ("Context", "context."),
)
Authorizer = JwtAuthorizer | LambdaAuthorizer


@dataclass(frozen=True, slots=True)
class Authorizers:
    """The authorizers of one API; `left_out` are declared, and do not run here."""

    kept: Mapping[str, Authorizer] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What authorizers are read against: the functions that run, and where keys of JWTs are."""

    functions: Collection[str]
    jwks: Mapping[str, str] = field(default_factory=dict)  # by authorizer: a file or a URL


def read_authorizers(
    place: Place, raw: Any, kind: Literal["http", "rest"], known: Known
) -> Authorizers:
    """`Auth` of an API, unresolved."""
    auth = place.mapping("Auth", raw)
    if not auth:
        return Authorizers()
    inner = place.inside("Auth", auth)
    if kind == "rest":
        _refuse_rest_extras(inner, auth)
    declared = inner.mapping("Authorizers", auth.get("Authorizers"))
    where = inner.inside("Authorizers", declared)
    kept: dict[str, Authorizer] = {}
    for name, authorizer in declared.items():
        with place.source.leaving_out():
            given = where.mapping(name, authorizer)
            at = where.inside(name, given)
            read = _http_authorizer if kind == "http" else _rest_authorizer
            kept[name] = read(at, name, given, known)
    given_default = inner.value("DefaultAuthorizer", auth)
    default = None if given_default is None else inner.text("DefaultAuthorizer", given_default)
    left_out = frozenset({*declared} - {*kept})
    if default is not None and default not in declared and default != IAM:
        inner.fail("DefaultAuthorizer", f"{default!r} is no authorizer of this API")
    if default == IAM and IAM not in declared:
        left_out |= {IAM}
        with place.source.leaving_out():
            inner.unsupported("DefaultAuthorizer", "signatures of AWS are not checked", OPEN_HINT)
    return Authorizers(kept, left_out, None if default in left_out else default)


def _refuse_rest_extras(place: Place, auth: Mapping[str, Any]) -> None:
    for name in ("ApiKeyRequired", "ResourcePolicy", "UsagePlan"):
        if auth.get(name) not in (None, False):
            with place.source.leaving_out():
                place.unsupported(name, "API keys and resource policies are not checked here")


def _http_authorizer(place: Place, name: str, given: Mapping[str, Any], known: Known) -> Authorizer:
    if given.get("JwtConfiguration") is not None:
        return _jwt(place, name, given, known)
    identity = _resolved_identity(place, given)
    version = place.value("AuthorizerPayloadFormatVersion", given)
    formats = ("1.0", "2.0")
    if version is None:
        place.fail("AuthorizerPayloadFormatVersion", "is needed: 1.0 or 2.0")
    payload_format = place.one_of("AuthorizerPayloadFormatVersion", version, formats)
    simple = place.boolean("EnableSimpleResponses", place.value("EnableSimpleResponses", given))
    if simple and payload_format == "1.0":
        place.fail("EnableSimpleResponses", "needs AuthorizerPayloadFormatVersion 2.0")
    return LambdaAuthorizer(
        name=name,
        function=_function(place, given, known),
        payload_format=cast("Literal['1.0', '2.0']", payload_format),
        simple_responses=simple,
        identity_sources=_sources(place, identity, _HTTP_PREFIXES),
        ttl_s=_ttl(place, identity, 0),
    )


def _jwt(place: Place, name: str, given: Mapping[str, Any], known: Known) -> JwtAuthorizer:
    configuration = place.mapping("JwtConfiguration", place.value("JwtConfiguration", given))
    inner = place.inside("JwtConfiguration", configuration)
    values = {key.lower(): value for key, value in configuration.items()}  # as SAM takes them
    issuer = inner.text("issuer", values.get("issuer"))
    audience = values.get("audience")
    if not issuer:
        inner.fail("issuer", "is needed")
    source = place.text("IdentitySource", place.value("IdentitySource", given))
    if not source.startswith(_REQUEST):
        place.fail("IdentitySource", "is needed, such as $request.header.Authorization")
    scopes = place.value("AuthorizationScopes", given)
    return JwtAuthorizer(
        name=name,
        issuer=issuer,
        audience=inner.texts("audience", [audience] if isinstance(audience, str) else audience),
        identity_source=source,
        scopes=place.texts("AuthorizationScopes", scopes),
        jwks=known.jwks.get(name) or known.jwks.get(issuer),
    )


def _rest_authorizer(place: Place, name: str, given: Mapping[str, Any], known: Known) -> Authorizer:
    if "UserPoolArn" in given:
        place.unsupported("UserPoolArn", "Cognito user pools do not run here", OPEN_HINT)
    identity = _resolved_identity(place, given)
    payload_type = place.value("FunctionPayloadType", given) or "TOKEN"
    kind = place.one_of("FunctionPayloadType", payload_type, ("TOKEN", "REQUEST"))
    function, ttl_s = _function(place, given, known), _ttl(place, identity, REST_TTL_S)
    if kind == "TOKEN":
        header = place.text("Identity.Header", identity.get("Header"), "Authorization")
        sources: tuple[str, ...] = (f"method.request.header.{header}",)
    else:
        sources = _sources(place, identity, _REST_PREFIXES)
        if not sources and ttl_s > 0:
            place.fail("Identity", "one of Headers, QueryStrings, StageVariables or Context")
    pattern = identity.get("ValidationExpression") if kind == "TOKEN" else None
    return LambdaAuthorizer(
        name=name,
        function=function,
        payload_format="1.0",
        identity_sources=sources,
        ttl_s=ttl_s,
        kind=cast("Literal['REQUEST', 'TOKEN']", kind),
        validation_pattern=None if pattern is None else place.text("Identity", pattern),
    )


def _resolved_identity(place: Place, given: Mapping[str, Any]) -> Mapping[str, Any]:
    return place.mapping("Identity", place.value("Identity", given))


def _sources(
    place: Place, identity: Mapping[str, Any], prefixes: tuple[tuple[str, str], ...]
) -> tuple[str, ...]:
    return tuple(
        prefix + value
        for name, prefix in prefixes
        for value in place.texts(f"Identity.{name}", identity.get(name))
    )


def _ttl(place: Place, identity: Mapping[str, Any], default: int) -> int:
    given = identity.get("ReauthorizeEvery")
    return default if given is None else place.integer("Identity", given, 0, TTL_S_MAX)


def _function(place: Place, given: Mapping[str, Any], known: Known) -> str:
    arn = place.text("FunctionArn", place.value("FunctionArn", given))
    name = arn.partition(":function:")[2].partition(":")[0]
    if not arn:
        place.fail("FunctionArn", "is needed: a JWT or a Lambda authorizer")
    if name not in known.functions:
        place.unsupported("FunctionArn", f"{arn} is no function that runs here", OPEN_HINT)
    return name
