"""Brokers that stand for an MSK cluster, and files that stand for secrets."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

from local_stack.errors import SettingsError
from local_stack.kafka_access import resolve_source
from local_stack.kafka_writer import security_settings
from local_stack.model import AccessKind, KafkaSecurity, KafkaSource, SourceAccess
from local_stack.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

CLUSTER = "arn:aws:kafka:us-east-1:1:cluster/c/1"
SECRET = "arn:aws:secretsmanager:us-east-1:1:secret:broker"
CA = "arn:aws:secretsmanager:us-east-1:1:secret:ca"
PASSWORD = "never-shown"


def _settings(folder: Path, **fields: Any) -> Settings:
    return Settings(project_dir=folder, stack_dir=folder / ".stack", **fields)


def _source(*access: tuple[AccessKind, str], **fields: Any) -> KafkaSource:
    found = tuple(SourceAccess(kind, uri) for kind, uri in access)
    return KafkaSource("Source", "F", "t", ("a:1",), "g", access=found, **fields)


def _secret(folder: Path, name: str, **content: Any) -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder / name


def test_a_mapping_without_access_is_left_as_it_is(tmp_path: Path) -> None:
    assert resolve_source(_source(), _settings(tmp_path)) == _source()


def test_the_stacks_broker_stands_for_an_msk_cluster(tmp_path: Path) -> None:
    source = _source(kind="msk", source_arn=CLUSTER)

    own = resolve_source(source, _settings(tmp_path))
    yours = resolve_source(source, _settings(tmp_path, kafka_bootstrap_servers="k-1:9,k-2:9"))
    named = resolve_source(source, _settings(tmp_path, msk_clusters={CLUSTER: "m-1:9,m-2:9"}))

    assert own.bootstrap_servers == ("127.0.0.1:19092",)
    assert yours.bootstrap_servers == ("k-1:9", "k-2:9")
    assert named.bootstrap_servers == ("m-1:9", "m-2:9")


@pytest.mark.parametrize(
    ("fields", "session_s"),
    [
        ({}, 3.0),
        ({"kafka": "apache"}, 6.0),  # the least that Kafka takes
        ({"kafka_bootstrap_servers": "127.0.0.1:19092"}, 6.0),
        ({"msk_clusters": {CLUSTER: "m-1:9"}}, 6.0),
    ],
)
def test_sessions_are_short_with_the_embedded_broker_only(
    tmp_path: Path, fields: dict[str, Any], session_s: float
) -> None:
    source = _source(kind="msk", source_arn=CLUSTER)

    assert resolve_source(source, _settings(tmp_path, **fields)).session_s == session_s


@pytest.mark.parametrize(
    ("kind", "mechanism"),
    [
        ("BASIC_AUTH", "PLAIN"),
        ("SASL_SCRAM_256_AUTH", "SCRAM-SHA-256"),
        ("SASL_SCRAM_512_AUTH", "SCRAM-SHA-512"),
    ],
)
def test_a_password_signs_in_over_tls(tmp_path: Path, kind: AccessKind, mechanism: str) -> None:
    path = _secret(tmp_path, "broker.json", username="me", password=PASSWORD)
    settings = _settings(tmp_path, secrets={SECRET: path.name})

    security = resolve_source(_source((kind, SECRET)), settings).security

    assert security_settings(security) == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "me",
        "sasl_plain_password": PASSWORD,
    }
    assert PASSWORD not in repr(security)


def test_a_local_broker_may_be_without_tls(tmp_path: Path) -> None:
    path = _secret(
        tmp_path, "s.json", username="me", password="x", securityProtocol="SASL_PLAINTEXT"
    )
    settings = _settings(tmp_path, secrets={SECRET: path})

    security = resolve_source(_source(("BASIC_AUTH", SECRET)), settings).security

    assert security_settings(security)["security_protocol"] == "SASL_PLAINTEXT"


def test_certificates_become_files_that_only_this_user_reads(tmp_path: Path) -> None:
    client = _secret(
        tmp_path, "c.json", certificate="CERT", privateKey="KEY", privateKeyPassword=PASSWORD
    )
    ca = _secret(tmp_path, "ca.json", certificate="CA")
    settings = _settings(tmp_path, secrets={SECRET: client, CA: ca})
    source = _source(("CLIENT_CERTIFICATE_TLS_AUTH", SECRET), ("SERVER_ROOT_CA_CERTIFICATE", CA))

    security = resolve_source(source, settings).security

    assert security is not None
    told = security_settings(security)
    assert (told["security_protocol"], told["ssl_password"]) == ("SSL", PASSWORD)
    for path, text in (
        (security.certificate_file, "CERT"),
        (security.key_file, "KEY"),
        (security.ca_file, "CA"),
    ):
        assert path is not None
        assert path.read_text() == text
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert told["ssl_cafile"] == str(security.ca_file)
    assert PASSWORD not in repr(security)


def test_without_access_nothing_is_said_of_security() -> None:
    assert security_settings(None) == {}
    assert security_settings(KafkaSecurity()) == {"security_protocol": "PLAINTEXT"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read secret.json"),
        (f"{{{PASSWORD}", "secret.json is no JSON"),
        (f'["{PASSWORD}"]', "secret.json is no JSON object"),
        (f'{{"password": "{PASSWORD}"}}', "a secret of BASIC_AUTH has 'username'"),
        (f'{{"username": "{PASSWORD}", "password": 7}}', "a secret of BASIC_AUTH has 'password'"),
    ],
)
def test_a_wrong_secret_is_named_and_not_shown(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "secret.json").write_text(content)
    settings = _settings(tmp_path, secrets={SECRET: "secret.json"})

    with pytest.raises(SettingsError) as caught:
        resolve_source(_source(("BASIC_AUTH", SECRET)), settings)

    assert SECRET in str(caught.value)
    assert message in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None or PASSWORD not in str(caught.value.__cause__)


def test_a_secret_without_a_file_says_which_setting_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"tool\.local-stack\.secrets"):
        resolve_source(_source(("BASIC_AUTH", SECRET)), _settings(tmp_path))
