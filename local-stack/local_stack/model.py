"""The vocabulary of the runtime: what a template says, as frozen values.

Nothing here reads a file, the clock or the environment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
VERSION = "$LATEST"


def function_arn(name: str) -> str:
    """The unqualified ARN of function `name`."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}"


@dataclass(frozen=True, slots=True)
class Cors:
    """CORS of an HTTP API or a function URL: the gateway answers, and ignores the function's own."""

    allow_origins: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_s: int | None = None
    allow_credentials: bool = False


@dataclass(frozen=True, slots=True)
class JwtAuthorizer:
    """A JWT authorizer of HTTP API; `jwks` is a file or a URL, None: found through the issuer."""

    name: str
    issuer: str
    audience: tuple[str, ...]
    identity_source: str = "$request.header.Authorization"
    scopes: tuple[str, ...] = ()
    jwks: str | None = None


@dataclass(frozen=True, slots=True)
class LambdaAuthorizer:
    """A Lambda authorizer: `function` is asked, and its answer kept for `ttl_s`."""

    name: str
    function: str
    payload_format: Literal["1.0", "2.0"] = "2.0"
    simple_responses: bool = False
    identity_sources: tuple[str, ...] = ()  # $request.header.X, $context.Y, method.request.header.X
    ttl_s: int = 0
    kind: Literal["REQUEST", "TOKEN"] = "REQUEST"  # TOKEN: REST APIs only
    validation_pattern: str | None = None  # REST: a token that does not match is 401


@dataclass(frozen=True, slots=True)
class Api:
    """One API: an HTTP API (`kind` http) or a REST API (rest), with what holds for all its routes."""

    id: str  # the logical id; `ServerlessHttpApi` and `ServerlessRestApi` are SAM's implicit ones
    kind: Literal["http", "rest"] = "http"
    stage: str = "$default"
    stage_variables: Mapping[str, str] = field(default_factory=dict)
    cors: Cors | None = None
    authorizers: Mapping[str, JwtAuthorizer | LambdaAuthorizer] = field(default_factory=dict)
    binary_media_types: tuple[str, ...] = ()  # REST APIs only


@dataclass(frozen=True, slots=True)
class Route:
    """One route of an API: `method` is upper case or `ANY`, `path` as in the template."""

    method: str
    path: str
    payload_format: Literal["1.0", "2.0"] = "2.0"
    api: str = "ServerlessHttpApi"  # id of the `Api` it belongs to
    authorizer: str | None = None  # name of an authorizer of that API
    scopes: tuple[str, ...] = ()  # any one of them is enough (JWT)
    timeout_s: float = 30.0  # integration timeout, 0.05 to 30

    @property
    def key(self) -> str:
        """The route key of HTTP API, such as `GET /api/bets/{userId}`, or `$default`."""
        return self.path if self.path == "$default" else f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class FunctionUrl:
    """A function URL: HTTP straight to one function, payload format 2.0."""

    auth_type: Literal["NONE", "AWS_IAM"] = "NONE"
    cors: Cors | None = None


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the record of a settled asynchronous event, or of a failed batch, goes."""

    kind: Literal["function", "kafka"]
    target: str  # a function's name, or a topic

    @property
    def arn(self) -> str:
        """As the template names it: the function's ARN, or `kafka://topic`."""
        return function_arn(self.target) if self.kind == "function" else f"kafka://{self.target}"


@dataclass(frozen=True, slots=True)
class AsyncConfig:
    """How asynchronous events of a function are retried and where they end (EventInvokeConfig)."""

    retries_max: int = 2  # 0 to 2
    event_age_s_max: int = 21_600  # 60 to 21,600
    on_success: Destination | None = None
    on_failure: Destination | None = None


@dataclass(frozen=True, slots=True)
class Logging:
    """`LoggingConfig` of a function."""

    format: Literal["Text", "JSON"] = "Text"
    application_level: str | None = None  # JSON only: TRACE … FATAL
    system_level: str | None = None  # JSON only: DEBUG, INFO, WARN
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """One Lambda function, with everything that running it needs."""

    logical_id: str
    name: str
    handler: str
    runtime: str
    code_dir: Path
    layer_paths: tuple[Path, ...] = ()  # what goes on sys.path for its layers, in order
    variables: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 3.0
    memory_mb: int = 128
    ephemeral_storage_mb: int = 512
    reserved_concurrency: int | None = None
    provisioned_concurrency: int = 0
    description: str = ""
    architecture: str = "x86_64"
    alias: str | None = None  # AutoPublishAlias: this name and version 1 are qualifiers too
    async_config: AsyncConfig = field(default_factory=AsyncConfig)
    logging: Logging = field(default_factory=Logging)
    url: FunctionUrl | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()

    @property
    def arn(self) -> str:
        """The function's unqualified ARN."""
        return function_arn(self.name)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule that starts a function; `input_json` replaces the event when given."""

    name: str
    function: str
    expression: str
    enabled: bool = True
    input_json: str | None = None
    kind: Literal["rule", "scheduler"] = "rule"  # Schedule (EventBridge rule) or ScheduleV2
    timezone: str = "UTC"  # ScheduleV2 only
    group: str = "default"  # ScheduleV2 only
    starts: datetime | None = None  # ScheduleV2 StartDate, EndDate
    ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """How a mapping signs in to its brokers (`SourceAccessConfigurations`)."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str = ""
    password: str = field(default="", repr=False)  # never logged
    tls: bool = False
    ca_file: Path | None = None
    certificate_file: Path | None = None  # mutual TLS
    key_file: Path | None = None
    key_password: str = field(default="", repr=False)


AccessKind = Literal[
    "BASIC_AUTH",
    "SASL_SCRAM_256_AUTH",
    "SASL_SCRAM_512_AUTH",
    "CLIENT_CERTIFICATE_TLS_AUTH",
    "SERVER_ROOT_CA_CERTIFICATE",
]


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """One of a mapping's `SourceAccessConfigurations`; the secret behind `uri` is in the settings."""

    kind: AccessKind
    uri: str


@dataclass(frozen=True, slots=True)
class KafkaSource:
    """A Kafka event source mapping (ranges: lambda-semantics of AWS, CreateEventSourceMapping)."""

    name: str
    function: str
    topic: str
    bootstrap_servers: tuple[str, ...]  # MSK: empty; the settings say which brokers stand for it
    group_id: str
    kind: Literal["self-managed", "msk"] = "self-managed"
    source_arn: str | None = None  # MSK: the cluster's ARN, as the event names it
    starting_position: Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"] = "TRIM_HORIZON"
    starting_timestamp_s: float | None = None  # AT_TIMESTAMP: seconds since 1970
    batch_size: int = 100
    window_s: float = 0.5  # Kafka's default when the template does not set it
    report_batch_item_failures: bool = False
    retries_max: int = -1  # -1: without end (10 when there is a destination for failures)
    record_age_s_max: int = -1
    bisect_on_error: bool = False
    on_failure: Destination | None = None
    filters: tuple[str, ...] = ()  # FilterCriteria: patterns as JSON texts; any one is enough
    pollers_min: int = 1
    pollers_max: int = 200
    access: tuple[SourceAccess, ...] = ()
    security: KafkaSecurity | None = None  # what `access` stands for, once secrets are read
    session_s: float = 6.0  # a member that is silent for so long loses its partitions
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Something of the template that was left out because the person said `--skip-unsupported`."""

    where: str  # file:line
    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Template:
    """A whole template, resolved."""

    path: Path
    functions: Mapping[str, Function]  # by name
    apis: Mapping[str, Api] = field(default_factory=dict)  # by id; those that have routes
    schedules: tuple[Schedule, ...] = ()
    kafka_sources: tuple[KafkaSource, ...] = ()
    skipped: tuple[Unsupported, ...] = ()
    warnings: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()  # infrastructure that nothing here runs: `logical id (type)`
    stage: str = "$default"
