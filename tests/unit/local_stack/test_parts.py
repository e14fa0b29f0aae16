"""Which parts a stack has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from local_stack.model import AsyncConfig, Destination, Schedule, Template
from local_stack.parts import brought, parts_of
from local_stack.settings import Settings
from tests.support.functions import a_function

ALL = {
    "DatabaseUrl": "{postgres.url}",
    "Brokers": "{kafka.bootstrap_servers}",
    "ClickHouseUrl": "{clickhouse.url}",
}
BARE = Template(path=Path("template.yaml"), functions={})
SCHEDULED = Template(
    path=Path("template.yaml"), functions={}, schedules=(Schedule("s", "f", "rate(1 minute)"),)
)


def _settings(**values: object) -> Settings:
    return Settings.model_validate(
        {"project_dir": Path("/p"), "stack_dir": Path("/p/.stack"), **values}
    )


def _names(settings: Settings, template: Template = BARE) -> list[str]:
    return [part.name for part in parts_of(settings, template)]


def test_a_store_runs_only_when_a_parameter_asks_for_its_address() -> None:
    assert _names(_settings()) == ["host-1", "nginx"]
    assert _names(_settings(parameters=ALL)) == [
        *("postgres", "kafka", "clickhouse", "host-1", "nginx"),
    ]


def test_a_store_that_somebody_brought_is_not_started() -> None:
    settings = _settings(
        parameters=ALL,
        database_url="postgresql://db/x",
        kafka_bootstrap_servers="a:1,b:2",
        clickhouse_url="http://ch:8123",
    )

    assert _names(settings) == ["host-1", "nginx"]
    assert [store.name for store in brought(settings)] == ["postgres", "kafka", "clickhouse"]


def test_event_sources_run_only_when_the_template_has_some() -> None:
    assert "event-sources" not in _names(_settings())
    assert "event-sources" in _names(_settings(), SCHEDULED)


def test_a_broker_runs_for_events_whose_records_go_to_a_topic() -> None:
    config = AsyncConfig(on_failure=Destination("kafka", "dead-letters"))
    functions = {"Hello": a_function(async_config=config)}

    assert "kafka" in _names(_settings(), replace(BARE, functions=functions))


def test_every_replica_is_a_part_with_ports_of_its_own() -> None:
    parts = parts_of(_settings(replicas=3), BARE)

    hosts = [part for part in parts if part.name.startswith("host-")]
    ports = [port.number for part in hosts for port in part.ports]
    assert len(hosts) == 3
    assert len(set(ports)) == 6


def test_callers_stop_before_what_they_call() -> None:
    waves = {p.name: p.stop_wave for p in parts_of(_settings(parameters=ALL), SCHEDULED)}

    assert waves["event-sources"] < waves["nginx"] < waves["host-1"] < waves["postgres"]
    assert waves["kafka"] == waves["clickhouse"] == waves["postgres"]
