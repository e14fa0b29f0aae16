"""Settings: the only module of the layer that reads the environment.

Names are those of template.yaml's Parameters in upper snake case. Each accessor reads what it
needs once, on first use, so a function pays only for the backends it talks to, and a missing
variable is named by the first call that needs it.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

Model = TypeVar("Model", bound=BaseModel)


class SettingsError(RuntimeError):
    """A setting is missing or has a value that makes no sense; the message names it."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PostgresSettings(_Settings):
    """How to reach PostgreSQL."""

    database_url: SecretStr = Field(alias="DATABASE_URL", min_length=1)
    idle_timeout_s: float = Field(alias="DB_IDLE_TIMEOUT_SECONDS", gt=0)
    connect_timeout_s: float = Field(alias="DB_CONNECT_TIMEOUT_SECONDS", gt=0)


class KafkaSettings(_Settings):
    """How to reach Kafka: a comma-separated list of host:port."""

    bootstrap_servers: str = Field(alias="KAFKA_BOOTSTRAP_SERVERS", min_length=1)


class ClickHouseSettings(_Settings):
    """How to reach ClickHouse's HTTP interface."""

    clickhouse_url: SecretStr = Field(alias="CLICKHOUSE_URL", min_length=1)


class RelaySettings(_Settings):
    """How long one run of the relay keeps looking for new rows; 0 stops when drained."""

    run_s: float = Field(alias="RELAY_RUN_SECONDS", ge=0)


class ReconcileSettings(_Settings):
    """How long a bet may be on its way before it counts as missing, and how far a run looks back."""

    settle_s: float = Field(alias="RECONCILE_SETTLE_SECONDS", ge=0)
    window_s: float = Field(alias="RECONCILE_WINDOW_SECONDS", gt=0)


class MetricsSettings(_Settings):
    """What GET /metrics tells of the runtime and of the pool; the URL is empty on AWS."""

    runtime_metrics_url: str = Field(alias="RUNTIME_METRICS_URL")
    min_connections: int = Field(alias="DB_MIN_CONNECTIONS", ge=1)
    max_connections: int = Field(alias="DB_MAX_CONNECTIONS", ge=1)


class FunctionSettings(_Settings):
    """Who we are. Lambda always sets the name; without it we run outside of a function."""

    name: str = Field("outside-lambda", alias="AWS_LAMBDA_FUNCTION_NAME")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", alias="LOG_LEVEL")
    metrics_namespace: str = Field("Betting", alias="POWERTOOLS_METRICS_NAMESPACE")


@cache
def postgres_settings() -> PostgresSettings:
    """Raises `SettingsError` when a variable is missing."""
    return _read(PostgresSettings)


@cache
def kafka_settings() -> KafkaSettings:
    """Raises `SettingsError` when a variable is missing."""
    return _read(KafkaSettings)


@cache
def clickhouse_settings() -> ClickHouseSettings:
    """Raises `SettingsError` when a variable is missing."""
    return _read(ClickHouseSettings)


@cache
def relay_settings() -> RelaySettings:
    """Raises `SettingsError` when a variable is missing."""
    return _read(RelaySettings)


@cache
def reconcile_settings() -> ReconcileSettings:
    """Raises `SettingsError` when a variable is missing."""
    return _read(ReconcileSettings)


@cache
def metrics_settings() -> MetricsSettings:
    """Raises `SettingsError` when a variable is missing."""
    return _read(MetricsSettings)


@cache
def function_settings() -> FunctionSettings:
    """Who this function is; every part has a value outside of Lambda too."""
    return _read(FunctionSettings)


def forget_settings() -> None:
    """Read the environment again on next use; for tests."""
    for accessor in (
        postgres_settings,
        kafka_settings,
        clickhouse_settings,
        relay_settings,
        reconcile_settings,
        metrics_settings,
        function_settings,
    ):
        accessor.cache_clear()


def _read(model: type[Model]) -> Model:
    names = [str(field.alias) for field in model.model_fields.values()]
    values = {name: os.environ[name] for name in names if name in os.environ}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # Never the value: it may be a secret.
        faults = [
            f"{fault['loc'][0]} is not set"
            if fault["type"] == "missing"
            else f"{fault['loc'][0]}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise SettingsError("; ".join(faults)) from None
