"""Settings come from the environment once, and whoever forgets one is told its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from shared import settings
from shared.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "postgresql://betting:hush@db:5432/betting"
ALL = {
    "DATABASE_URL": SECRET,
    "DB_IDLE_TIMEOUT_SECONDS": "60",
    "DB_CONNECT_TIMEOUT_SECONDS": "5",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "CLICKHOUSE_URL": "http://default@127.0.0.1:8123/default",
    "RELAY_RUN_SECONDS": "0",
    "RUNTIME_METRICS_URL": "",
    "DB_MIN_CONNECTIONS": "1",
    "DB_MAX_CONNECTIONS": "20",
}
ACCESSORS = {
    "DATABASE_URL": settings.postgres_settings,
    "DB_IDLE_TIMEOUT_SECONDS": settings.postgres_settings,
    "DB_CONNECT_TIMEOUT_SECONDS": settings.postgres_settings,
    "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_settings,
    "CLICKHOUSE_URL": settings.clickhouse_settings,
    "RELAY_RUN_SECONDS": settings.relay_settings,
    "RUNTIME_METRICS_URL": settings.metrics_settings,
    "DB_MIN_CONNECTIONS": settings.metrics_settings,
    "DB_MAX_CONNECTIONS": settings.metrics_settings,
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in ALL.items():
        monkeypatch.setenv(name, value)
    settings.forget_settings()
    yield
    settings.forget_settings()


@pytest.mark.parametrize("name", ALL)
def test_a_missing_variable_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match=f"^{name} is not set$"):
        ACCESSORS[name]()


@pytest.mark.parametrize("name", [name for name in ALL if name != "RUNTIME_METRICS_URL"])
def test_an_empty_variable_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    with pytest.raises(SettingsError, match=name):
        ACCESSORS[name]()


def test_an_accessor_does_not_want_what_others_need(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ALL:
        if name != "CLICKHOUSE_URL":
            monkeypatch.delenv(name)
    assert settings.clickhouse_settings().clickhouse_url.get_secret_value().startswith("http")


@pytest.mark.parametrize("accessor", set(ACCESSORS.values()))
def test_settings_are_read_once(accessor: Callable[[], object]) -> None:
    assert accessor() is accessor()


def test_values_have_their_types() -> None:
    assert settings.postgres_settings().connect_timeout_s == 5.0
    assert settings.metrics_settings().max_connections == 20
    assert settings.metrics_settings().runtime_metrics_url == ""


def test_a_function_has_a_name_outside_of_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    assert settings.function_settings().name == "outside-lambda"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        setattr(settings.relay_settings(), "run_s", 5)  # noqa: B010 - mypy knows it is frozen


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "hush" not in repr(settings.postgres_settings())
    settings.forget_settings()
    monkeypatch.setenv("DB_IDLE_TIMEOUT_SECONDS", "never")
    with pytest.raises(SettingsError) as refused:
        settings.postgres_settings()
    assert "DB_IDLE_TIMEOUT_SECONDS" in str(refused.value)
    assert "never" not in str(refused.value)
    assert refused.value.__cause__ is None
