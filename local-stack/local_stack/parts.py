"""Which processes a stack has, how each is run, and how to tell that it is ready.

A store is embedded only when `[tool.local-stack.parameters]` refers to its address and nobody
brought another one, so a project without a database starts none.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from local_stack.services import nginx, postgres
from local_stack.services.kafka import apache
from local_stack.services.kafka import broker as kafka
from local_stack.services.kafka.protocol import Connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local_stack.model import Template
    from local_stack.settings import Settings

EVENT_SOURCES = "event-sources"
PROBE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a part listens on, and the setting that moves it."""

    number: int
    setting: str


@dataclass(frozen=True, slots=True)
class Part:
    """One supervised process."""

    name: str
    title: str
    command: tuple[str, ...]
    address: str
    is_ready: Callable[[], bool]
    folder: Path
    ports: tuple[Port, ...] = ()
    stop_signal: str = "TERM"
    death_signal: str = "TERM"  # what the kernel sends when the process manager dies
    stop_wait_s: int = 10
    stop_wave: int = 1  # waves stop one after the other: those that call before those they call
    program: Path | None = None  # the binary, for checks; None for our own Python
    orphans_of: Path | None = None
    ready_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Brought:
    """A store that somebody runs elsewhere and named by its address."""

    name: str
    setting: str
    is_ready: Callable[[], bool]


def parts_of(settings: Settings, template: Template) -> list[Part]:
    """Every process of this stack, in the order of the table that `status` prints."""
    parts = []
    if needs(settings, "postgres.url") and settings.database_url is None:
        parts.append(_postgres(settings))
    if needs_broker(settings, template) and settings.kafka_bootstrap_servers is None:
        parts.append(_kafka(settings))
    if needs(settings, "clickhouse.url") and settings.clickhouse_url is None:
        parts.append(_clickhouse(settings))
    parts += [_host(settings, index + 1) for index in range(settings.replicas)]
    if template.schedules or template.kafka_sources:
        parts.append(_event_sources(settings))
    parts.append(_nginx(settings))
    return parts


def brought(settings: Settings) -> list[Brought]:
    """The stores that are needed and not ours to start."""
    found = []
    if settings.database_url is not None and needs(settings, "postgres.url"):
        url = settings.database_url
        found.append(
            Brought(
                "postgres", "DATABASE_URL", lambda: postgres.is_url_ready(url, _pg_bin(settings))
            )
        )
    if settings.kafka_bootstrap_servers is not None and needs(settings, "kafka.bootstrap_servers"):
        servers = settings.kafka_bootstrap_servers
        found.append(
            Brought("kafka", "KAFKA_BOOTSTRAP_SERVERS", lambda: _any_broker_answers(servers))
        )
    if settings.clickhouse_url is not None and needs(settings, "clickhouse.url"):
        address = urlsplit(settings.clickhouse_url)
        found.append(
            Brought(
                "clickhouse",
                "CLICKHOUSE_URL",
                lambda: answers(
                    address.port or 8123, "/ping", host=address.hostname or "localhost"
                ),
            )
        )
    return found


def needs_broker(settings: Settings, template: Template) -> bool:
    """Whether the stack has a Kafka: asked for by a parameter, standing for an MSK cluster, or the
    destination of asynchronous events.
    """
    is_cluster = any(
        source.kind == "msk" and source.source_arn not in settings.msk_clusters
        for source in template.kafka_sources
    )
    configs = [function.async_config for function in template.functions.values()]
    destinations = [each for config in configs for each in (config.on_success, config.on_failure)]
    is_destination = any(each is not None and each.kind == "kafka" for each in destinations)
    return needs(settings, "kafka.bootstrap_servers") or is_cluster or is_destination


def needs(settings: Settings, address: str) -> bool:
    """Whether a template parameter refers to `{address}`."""
    return any("{" + address + "}" in value for value in settings.parameters.values())


def answers(port: int, path: str, *, host: str = "127.0.0.1") -> bool:
    """Whether GET `path` answers 200."""
    connection = HTTPConnection(host, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
    except (OSError, HTTPException):
        return False
    else:
        return response.status == 200
    finally:
        connection.close()


def _postgres(settings: Settings) -> Part:
    port = settings.ports.postgres
    binaries = _pg_bin(settings)
    data_dir = settings.stack_dir / "postgres" / "data"
    return Part(
        name="postgres",
        title="PostgreSQL",
        command=tuple(
            postgres.command(
                port=port, data_dir=data_dir, settings=settings.postgres, binaries=binaries
            )
        ),
        address=f"127.0.0.1:{port}",
        is_ready=lambda: postgres.is_ready(port, binaries),
        folder=settings.run_dir,
        ports=(Port(port, "postgres"),),
        stop_signal="INT",
        death_signal="INT",
        stop_wait_s=30,
        stop_wave=4,
        program=binaries / "postgres",
    )


def _kafka(settings: Settings) -> Part:
    return _apache_kafka(settings) if settings.kafka == "apache" else _embedded_kafka(settings)


def jars_dir(settings: Settings) -> Path:
    """Where Maven puts Apache Kafka."""
    return settings.stack_dir / "apache-kafka" / "jars"


def _apache_kafka(settings: Settings) -> Part:
    port, controller_port = settings.ports.kafka, settings.ports.kafka_controller
    data_dir = settings.stack_dir / "apache-kafka" / "data"
    command = apache.command(
        port=port, controller_port=controller_port, data_dir=data_dir, jars=jars_dir(settings)
    )
    return Part(
        name="kafka",
        title="Apache Kafka",
        command=tuple(command),
        address=f"127.0.0.1:{port}",
        is_ready=lambda: apache.is_ready(port),
        folder=settings.run_dir,
        ports=(Port(port, "kafka"), Port(controller_port, "kafka_controller")),
        stop_wait_s=20,
        stop_wave=4,
    )


def _embedded_kafka(settings: Settings) -> Part:
    port = settings.ports.kafka
    program = settings.binaries.kafka or kafka.binary()
    data_dir = settings.stack_dir / "kafka"
    return Part(
        name="kafka",
        title="Kafka",
        command=tuple(kafka.command(port=port, data_dir=data_dir, program=program)),
        address=f"127.0.0.1:{port}",
        is_ready=lambda: kafka.is_ready(port, data_dir),
        folder=settings.run_dir,
        ports=(Port(port, "kafka"),),
        stop_wave=4,
        program=program,
        ready_file=data_dir / kafka.READY_FILE,
    )


def _clickhouse(settings: Settings) -> Part:
    port = settings.ports.clickhouse
    data_dir = settings.stack_dir / "clickhouse"
    return Part(
        name="clickhouse",
        title="ClickHouse",
        command=(
            *(sys.executable, "-m", "local_stack.services.clickhouse"),
            *("--host", "127.0.0.1", "--port", str(port), "--data", str(data_dir)),
        ),
        address=f"127.0.0.1:{port}",
        is_ready=lambda: answers(port, "/ping"),
        folder=settings.run_dir,
        ports=(Port(port, "clickhouse"),),
        stop_wait_s=20,
        stop_wave=4,
    )


def _host(settings: Settings, index: int) -> Part:
    http_port, api_port = settings.host_ports(index)
    return Part(
        name=f"host-{index}",
        title=f"Function host {index}",
        command=(
            *(sys.executable, "-m", "local_stack.host"),
            *("--settings", str(_settings_file(settings)), "--index", str(index)),
        ),
        address=f"127.0.0.1:{http_port}, :{api_port}",
        is_ready=lambda: answers(api_port, "/_local_stack/ready"),
        folder=settings.run_dir,
        ports=(Port(http_port, "hosts"), Port(api_port, "hosts")),
        stop_wave=3,
    )


def _event_sources(settings: Settings) -> Part:
    ready_file = settings.run_dir / "event-sources.ready"
    return Part(
        name=EVENT_SOURCES,
        title="Event sources",
        command=(
            *(sys.executable, "-m", "local_stack.event_sources"),
            *("--settings", str(_settings_file(settings))),
        ),
        address="",
        is_ready=ready_file.exists,
        folder=settings.run_dir,
        stop_wait_s=30,  # it empties the embedded broker, through Nginx and the hosts
        ready_file=ready_file,
    )


def _nginx(settings: Settings) -> Part:
    ports = settings.ports
    program = settings.binaries.nginx or nginx.binary()
    folder = settings.run_dir / "nginx"
    return Part(
        name="nginx",
        title="Nginx",
        command=tuple(nginx.command(config=folder / "nginx.conf", folder=folder, program=program)),
        address=f"127.0.0.1:{ports.http}, :{ports.lambda_api}",
        is_ready=lambda: nginx.is_ready(ports.http) and nginx.is_ready(ports.lambda_api),
        folder=folder,
        ports=(Port(ports.http, "http"), Port(ports.lambda_api, "lambda_api")),
        stop_wave=2,
        program=program,
        orphans_of=program,
    )


def _settings_file(settings: Settings) -> Path:
    return settings.run_dir / "settings.json"


def _pg_bin(settings: Settings) -> Path:
    return settings.binaries.postgres or postgres.bin_dir()


def _any_broker_answers(servers: str) -> bool:
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            Connection(host or "localhost", int(port), timeout_s=PROBE_TIMEOUT_S).close()
        except (OSError, ValueError):
            continue
        return True
    return False
