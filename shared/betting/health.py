"""Are the three stores there? Asked side by side, each with its own deadline of one second.

Bets need PostgreSQL alone. Without Kafka or ClickHouse the platform is *degraded*: bets are taken,
analytics wait. Each probe keeps its connection, so a check costs three short questions.
"""

from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Literal

from shared import clock
from shared.betting.model import Answer
from shared.clickhouse import Pinger
from shared.kafka import Knocker
from shared.observability import logger
from shared.postgres import connection
from shared.side_by_side import SideBySide

if TYPE_CHECKING:
    from collections.abc import Callable

PROBE_TIMEOUT_S = 1.0


class Services(Answer):
    """Which of the stores answer."""

    postgresql: Literal["healthy", "unhealthy"]
    clickhouse: Literal["healthy", "unhealthy"]
    kafka: Literal["healthy", "unhealthy"]


class Health(Answer):
    """How the platform is."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: datetime
    services: Services


def check_health() -> Health:
    """Ask all stores; never raises, and takes little more than a second at most."""
    services: dict[str, Literal["healthy", "unhealthy"]] = {}
    for name, outcome in _probes().ask().items():
        services[name] = "unhealthy" if isinstance(outcome, Exception) else "healthy"
        if isinstance(outcome, Exception):
            cause = repr(outcome.__cause__ or outcome)
            logger().warning("store away", extra={"store": name, "cause": cause})
    told = Services(**services)
    return Health(status=_status(told), timestamp=clock.now(), services=told)


def close() -> None:
    """Let go of the probes' connections; the next check makes new ones."""
    if _probes.cache_info().currsize:
        _probes().close()
        _probes.cache_clear()


def _status(services: Services) -> Literal["healthy", "degraded", "unhealthy"]:
    if services.postgresql == "unhealthy":
        return "unhealthy"
    both = (services.clickhouse, services.kafka)
    return "degraded" if "unhealthy" in both else "healthy"


class _Probes:
    def __init__(self) -> None:
        self._pinger = Pinger()
        self._knocker = Knocker()
        self._side_by_side = SideBySide[None](3)

    def ask(self) -> dict[str, Exception | None]:
        questions: dict[str, Callable[[], None]] = {
            "postgresql": _probe_postgres,
            "clickhouse": partial(self._pinger.ping, PROBE_TIMEOUT_S),
            "kafka": partial(self._knocker.knock, PROBE_TIMEOUT_S),
        }
        return self._side_by_side.ask(questions, PROBE_TIMEOUT_S)

    def close(self) -> None:
        self._side_by_side.close()
        self._pinger.close()
        self._knocker.close()


@cache
def _probes() -> _Probes:
    return _Probes()


def _probe_postgres() -> None:
    """One round trip on this environment's own connection.

    An environment's pool holds one connection and serves one request, so this says that the
    database takes connections and answers, not how busy the pools of other functions are.
    """
    with connection(PROBE_TIMEOUT_S) as conn:
        conn.wait_s = PROBE_TIMEOUT_S
        conn.row("SELECT 1", {})
