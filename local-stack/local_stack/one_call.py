"""Invokes a function without a running stack: a host is started for the one call.

Stores, Nginx and event sources are not started, so a function that needs a store of the stack
fails as it would when that store is away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_stack import lambda_client
from local_stack.errors import LocalStackError
from local_stack.harness.process import HostProcess
from local_stack.parts import needs
from local_stack.template.explain import remarks
from local_stack.template.project import load_project

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_stack.lambda_client import Answer, InvocationType
    from local_stack.settings import Settings

_STORES = (
    ("postgres.url", "PostgreSQL", "database_url"),
    ("kafka.bootstrap_servers", "Kafka", "kafka_bootstrap_servers"),
    ("clickhouse.url", "ClickHouse", "clickhouse_url"),
)


def invoke(
    settings: Settings,
    name: str,
    payload: bytes,
    kind: InvocationType,
    *,
    want_log: bool,
    say: Callable[[str], None],
) -> Answer:
    """Invoke `name` on a host of its own, on free ports; `say` is told what is missing there.

    Raises `LocalStackError` when the function is not there, or the host cannot start.
    """
    if kind == "Event":
        msg = "an asynchronous invocation needs a host that stays: start the stack with `local-stack up`"
        raise LocalStackError(msg)
    say(f"no stack runs here: {name} runs on a host of its own{_missing(settings)}")
    alone = {"reload": False, "freeze": False, "debug": {}, "test_control": False}
    host = HostProcess(settings.model_copy(update=alone))
    try:
        for remark in remarks(load_project(host.settings)):
            say(remark)
        host.start()
        return lambda_client.invoke(host.lambda_url, name, payload, kind, want_log=want_log)
    finally:
        host.stop()


def _missing(settings: Settings) -> str:
    stores = [
        title
        for address, title, brought in _STORES
        if needs(settings, address) and getattr(settings, brought) is None
    ]
    return f", without {', '.join(stores)} (`local-stack up` starts them)" if stores else ""
