"""Where a Kafka mapping's brokers and secrets are, on this machine.

A template names an MSK cluster by its ARN and secrets by their ARNs in Secrets Manager; neither
can be asked here. `[tool.local-stack] msk_clusters` says which brokers stand for a cluster (the
stack's own, when it says nothing), `secrets` which JSON file stands for a secret. Secrets are never
logged, and no message holds more of them than their name.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from local_stack.errors import SettingsError
from local_stack.model import KafkaSecurity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local_stack.model import KafkaSource, SourceAccess
    from local_stack.settings import Settings

_MECHANISMS: Mapping[str, Any] = {
    "BASIC_AUTH": "PLAIN",
    "SASL_SCRAM_256_AUTH": "SCRAM-SHA-256",
    "SASL_SCRAM_512_AUTH": "SCRAM-SHA-512",
}
# An extension, in the JSON of a secret with a password: AWS signs in over TLS only.
_PROTOCOL = "securityProtocol"
_PLAINTEXT = "SASL_PLAINTEXT"
# The embedded broker gives a group its partitions after half of it, or all of it: 1.5 to 3 s, where
# Kafka's usual minimum of 6 s takes 3 to 6.
EMBEDDED_SESSION_S = 3.0


def resolve_source(source: KafkaSource, settings: Settings) -> KafkaSource:
    """`source` with brokers and secrets filled in. Raises `SettingsError`."""
    own = settings.addresses()["kafka.bootstrap_servers"]
    if source.kind == "msk":
        servers = settings.msk_clusters.get(source.source_arn or "", own)
        source = replace(source, bootstrap_servers=tuple(servers.split(",")))
    if settings.broker_forgets and ",".join(source.bootstrap_servers) == own:
        source = replace(source, session_s=EMBEDDED_SESSION_S)
    return replace(source, security=_security(source, settings)) if source.access else source


def _security(source: KafkaSource, settings: Settings) -> KafkaSecurity:
    security = KafkaSecurity(tls=True)
    for access in source.access:
        secret = _secret(source, access, settings)
        match access.kind:
            case "SERVER_ROOT_CA_CERTIFICATE":
                pem = _text(access, secret, "certificate")
                security = replace(security, ca_file=_pem_file(settings, access, "ca", pem))
            case "CLIENT_CERTIFICATE_TLS_AUTH":
                certificate = _text(access, secret, "certificate")
                key = _text(access, secret, "privateKey")
                security = replace(
                    security,
                    certificate_file=_pem_file(settings, access, "cert", certificate),
                    key_file=_pem_file(settings, access, "key", key),
                    key_password=str(secret.get("privateKeyPassword", "")),
                )
            case _:
                security = replace(
                    security,
                    mechanism=_MECHANISMS[access.kind],
                    username=_text(access, secret, "username"),
                    password=_text(access, secret, "password"),
                    tls=secret.get(_PROTOCOL) != _PLAINTEXT,
                )
    return security


def _secret(source: KafkaSource, access: SourceAccess, settings: Settings) -> Mapping[str, Any]:
    path = settings.secrets.get(access.uri)
    if path is None:
        msg = f"{source.name} signs in with {access.uri}: [tool.local-stack.secrets] does not say which JSON file that is"
        raise SettingsError(msg)
    try:
        secret = json.loads((settings.project_dir / path).read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"secret {access.uri}: cannot read {path}: {error.strerror}"
        raise SettingsError(msg) from error
    except ValueError:  # the cause would quote what is in the file
        msg = f"secret {access.uri}: {path} is no JSON"
        raise SettingsError(msg) from None
    if not isinstance(secret, dict):
        msg = f"secret {access.uri}: {path} is no JSON object"
        raise SettingsError(msg)
    return secret


def _text(access: SourceAccess, secret: Mapping[str, Any], name: str) -> str:
    value = secret.get(name)
    if not isinstance(value, str) or not value:
        msg = f"secret {access.uri}: a secret of {access.kind} has {name!r}"
        raise SettingsError(msg)
    return value


def _pem_file(settings: Settings, access: SourceAccess, what: str, pem: str) -> Path:
    """The PEM text as a file that only this user reads: TLS libraries take files."""
    folder = settings.run_dir / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(access.uri.encode()).hexdigest()[:16]}-{what}.pem"
    path.touch(mode=0o600)
    path.write_text(pem, encoding="ascii")
    return path
