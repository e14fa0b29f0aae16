"""The vocabulary of the runtime: what a template says, as frozen values.

Nothing here reads a file, the clock or the environment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
VERSION = "$LATEST"


def function_arn(name: str) -> str:
    """The unqualified ARN of function `name`."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}"


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the HTTP API: `method` is upper case or `ANY`, `path` as in the template."""

    method: str
    path: str
    payload_format: Literal["1.0", "2.0"] = "2.0"

    @property
    def key(self) -> str:
        """The route key of HTTP API, such as `GET /api/bets/{userId}`, or `$default`."""
        return self.path if self.path == "$default" else f"{self.method} {self.path}"


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
    reserved_concurrency: int | None = None
    provisioned_concurrency: int = 0
    description: str = ""
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


@dataclass(frozen=True, slots=True)
class KafkaSource:
    """A Kafka event source mapping (ranges: lambda-semantics of AWS, CreateEventSourceMapping)."""

    name: str
    function: str
    topic: str
    bootstrap_servers: tuple[str, ...]
    group_id: str
    starting_position: Literal["TRIM_HORIZON", "LATEST"] = "TRIM_HORIZON"
    batch_size: int = 100
    window_s: float = 0.5  # Kafka's default when the template does not set it
    report_batch_item_failures: bool = False
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Template:
    """A whole template, resolved."""

    path: Path
    functions: Mapping[str, Function]  # by name
    schedules: tuple[Schedule, ...] = ()
    kafka_sources: tuple[KafkaSource, ...] = ()
    stage: str = "$default"
