"""Settings: flags over environment over the project's file over defaults, and what is refused."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import pytest

from local_stack.errors import SettingsError
from local_stack.settings import Settings, find_project_dir, load_settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[tool.local-stack]\n")
    return tmp_path


def _write(project: Path, table: str) -> None:
    (project / "pyproject.toml").write_text(f"[tool.local-stack]\n{table}\n")


def _refusal(project: Path, **flags: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(project, flags)
    return str(caught.value)


def test_a_project_needs_to_say_nothing(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)

    assert settings.template_path == tmp_path / "template.yaml"
    assert settings.stack_dir == tmp_path / ".stack"
    assert settings.gateway_errors == "aws"
    assert (settings.ports.http, settings.ports.lambda_api) == (8080, 4566)
    assert (settings.ports.postgres, settings.ports.kafka) == (15432, 19092)
    assert settings.ports.clickhouse == 18123
    assert settings.replicas == 1


def test_flags_win_over_environment_over_file_over_default(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings(project).replicas == 1
    _write(project, "replicas = 2")
    assert load_settings(project).replicas == 2
    monkeypatch.setenv("LOCAL_STACK_REPLICAS", "3")
    assert load_settings(project).replicas == 3
    assert load_settings(project, {"replicas": 4}).replicas == 4
    assert load_settings(project, {"replicas": None}).replicas == 3


def test_one_port_or_limit_of_the_environment_leaves_the_others(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(project, "ports = {http = 81, kafka = 82}\nlimits = {http_waiters = 7}")
    monkeypatch.setenv("LOCAL_STACK_PORT_HTTP", "91")
    monkeypatch.setenv("LOCAL_STACK_LIMIT_SCALE_OUT_WAIT_MS", "0")

    settings = load_settings(project)

    assert (settings.ports.http, settings.ports.kafka, settings.ports.postgres) == (91, 82, 15432)
    assert (settings.limits.http_waiters, settings.limits.scale_out_wait_ms) == (7, 0)


def test_an_empty_variable_is_not_given(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")

    assert load_settings(project).database_url is None


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("DATABASE_URL", "database_url"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka_bootstrap_servers"),
        ("CLICKHOUSE_URL", "clickhouse_url"),
    ],
)
def test_a_store_of_your_own_is_named_by_its_address(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, field: str
) -> None:
    monkeypatch.setenv(name, "address")

    settings = load_settings(project)

    assert getattr(settings, field) == "address"
    assert "address" in settings.addresses().values()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("replicas = 0", "setting replicas: Input should be greater than or equal to 1"),
        ("replicas = 17", "setting replicas: Input should be less than or equal to 16"),
        ("gateway_errors = 'html'", "setting gateway_errors: Input should be 'aws' or 'problem'"),
        ("ports = {http = 70000}", "setting ports.http: Input should be less than or equal to"),
        ("ports = {http = 'x'}", "setting ports.http: Input should be a valid integer"),
        ("ports = {ftp = 21}", "setting ports.ftp: Extra inputs are not permitted"),
        ("limits = {log_file_bytes = 4095}", "setting limits.log_file_bytes: Input should be"),
        ("limits = {log_files = 0}", "setting limits.log_files: Input should be"),
        ("limits = {account_concurrency = 0}", "setting limits.account_concurrency: Input"),
        ("limits = {http_wait_seconds = 0}", "setting limits.http_wait_seconds: Input"),
        ("limits = {scale_out_wait_ms = -1}", "setting limits.scale_out_wait_ms: Input"),
        ("colour = 'blue'", "setting colour: Extra inputs are not permitted"),
        ("on_start = [{payload = '{}'}]", "setting on_start.0.function: Field required"),
        ("parameters = {A = 1}", "setting parameters.A: Input should be a valid string"),
    ],
)
def test_a_wrong_setting_is_named_with_where_it_may_come_from(
    project: Path, table: str, message: str
) -> None:
    _write(project, table)

    refusal = _refusal(project)

    assert refusal.startswith(message)
    assert refusal.endswith("(flags, LOCAL_STACK_*, [tool.local-stack])")


def test_a_file_that_is_no_toml_is_named(project: Path) -> None:
    _write(project, "replicas = ")

    assert _refusal(project).startswith(f"{project / 'pyproject.toml'}: Invalid value")


def test_a_wrong_port_of_the_environment_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_STACK_PORT_FTP", "21")

    assert _refusal(project).startswith("setting ports.ftp: Extra inputs are not permitted")


# --- parameters ------------------------------------------------------------------------------


def _parameter(project: Path, value: str) -> str:
    _write(project, f"ports = {{postgres = 5}}\nparameters = {{P = {value!r}}}")
    return load_settings(project).resolved_parameters()["P"]


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ("plain", "plain"),
        ("{postgres.url}", "postgresql://postgres@127.0.0.1:5/postgres"),
        ("{kafka.bootstrap_servers}", "127.0.0.1:19092"),
        ("{clickhouse.url}", "http://default@127.0.0.1:18123/default"),
        ("{runtime.metrics_url}", "http://127.0.0.1:4566/_local_stack/metrics"),
        ("{http.url}/a and {lambda_api.url}", "http://127.0.0.1:8080/a and http://127.0.0.1:4566"),
        ('{"json": {"a": 1}}', '{"json": {"a": 1}}'),
        ("rate(1 minute)", "rate(1 minute)"),
        ("{} { } {0}", "{} { } {0}"),
    ],
)
def test_an_address_stands_where_its_name_is(project: Path, value: str, resolved: str) -> None:
    assert _parameter(project, value) == resolved


def test_an_address_with_braces_of_its_own_stays_as_it_is(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:{http.url}@h/d")

    assert _parameter(project, "{postgres.url}") == "postgresql://u:{http.url}@h/d"


def test_a_placeholder_that_names_nothing_is_refused(project: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        _parameter(project, "{postgres.uri}")

    message = str(caught.value)
    assert message.startswith(
        "[tool.local-stack.parameters] P = '{postgres.uri}': unknown placeholder; known are "
    )
    assert "{postgres.url}" in message


# --- the file that every process reads -------------------------------------------------------


def test_settings_survive_being_written_and_only_this_user_reads_them(project: Path) -> None:
    _write(project, "preload = ['a', 'b']\npostgres = {fsync = false, max_connections = 50}")
    settings = load_settings(project)

    path = settings.write()

    assert path == project / ".stack" / "run" / "settings.json"
    assert Settings.read(path) == settings
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert settings.postgres == {"fsync": "off", "max_connections": "50"}


def test_every_host_has_two_ports_of_its_own(project: Path) -> None:
    settings = load_settings(project)

    ports = [port for index in (1, 2, 3) for port in settings.host_ports(index)]
    assert ports == [14570, 14571, 14572, 14573, 14574, 14575]


def test_the_project_is_the_nearest_folder_with_our_table(project: Path) -> None:
    inner = project / "a" / "b"
    inner.mkdir(parents=True)
    (project / "a" / "pyproject.toml").write_text("[tool.other]\n")

    assert find_project_dir(inner) == project


def test_a_folder_without_any_is_a_project_itself(tmp_path: Path) -> None:
    assert find_project_dir(tmp_path) == tmp_path


def test_a_template_inside_another_project_is_a_project_of_its_own(project: Path) -> None:
    inner = project / "examples" / "hello"
    (inner / "src").mkdir(parents=True)
    (inner / "template.yaml").touch()

    assert find_project_dir(inner) == inner
    assert find_project_dir(inner / "src") == inner


def test_a_template_that_the_settings_name_belongs_to_them(project: Path) -> None:
    (project / "infra").mkdir()
    (project / "infra" / "template.yaml").touch()
    (project / "pyproject.toml").write_text(
        '[tool.local-stack]\ntemplate = "infra/template.yaml"\n'
    )

    assert find_project_dir(project / "infra") == project


def test_what_sam_build_wrote_belongs_to_the_project_that_was_built(project: Path) -> None:
    build = project / ".aws-sam" / "build"
    build.mkdir(parents=True)
    (build / "template.yaml").touch()

    assert find_project_dir(build) == project


def test_limits_that_are_given_win_one_by_one(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text(
        "[tool.local-stack.limits]\nhttp_waiters = 1\nlog_files = 1\naccount_concurrency = 1\n"
    )
    monkeypatch.setenv("LOCAL_STACK_LIMIT_LOG_FILES", "2")
    monkeypatch.setenv("LOCAL_STACK_LIMIT_ACCOUNT_CONCURRENCY", "2")

    limits = load_settings(project, {"limits": {"account_concurrency": 3}}).limits

    assert (limits.http_waiters, limits.log_files, limits.account_concurrency) == (1, 2, 3)


def test_parameters_and_variables_that_are_given_win_one_by_one(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        '[tool.local-stack.parameters]\nA = "1"\nB = "1"\n'
        '[tool.local-stack.env_vars]\nPay = {X = "1", Y = "1"}\nShip = {X = "1"}\n'
    )

    settings = load_settings(
        project,
        {"parameters": {"B": "2"}, "env_vars": {"Pay": {"Y": "2"}, "Parameters": {"Z": "2"}}},
    )

    assert settings.parameters == {"A": "1", "B": "2"}
    assert settings.env_vars == {
        "Pay": {"X": "1", "Y": "2"},
        "Ship": {"X": "1"},
        "Parameters": {"Z": "2"},
    }
