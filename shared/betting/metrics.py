"""What GET /metrics tells: Prometheus text about bets, pipeline, books and pool.

A store that is away costs its own numbers, never the answer. Nothing here scans a table that
grows: totals come from aggregates, the books are checked over their newest entries (ReconcileBets
checks them all), counting stops at a bound.

The runtime's own counters (invocations, durations, EMF metrics) are appended as they come.
"""

from __future__ import annotations

import http
import http.client
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple
from urllib.parse import urlsplit

from shared import clickhouse, clock, outbox
from shared.kafka import Knocker
from shared.observability import logger
from shared.postgres import connection
from shared.settings import metrics_settings
from shared.side_by_side import SideBySide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from decimal import Decimal
    from typing import TypeAlias

    from shared.outbox import OutboxDepth

    Answered: TypeAlias = "Seen | Books | str | None"

STORE_TIMEOUT_S = 2.0
RUNTIME_TIMEOUT_S = 1.0
RUNTIME_BYTES_MAX = 4_000_000
# The newest entries of the ledger that a scrape checks: 2 ms.
LEDGER_ROWS_CHECKED = 500
# Above this many wallets the sum of their counts would make a scrape slow; it is left out then.
WALLETS_SUMMED_MAX = 100_000
FINDINGS = ("missing", "double", "unknown", "book_fault")
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # before any bet
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Every wallet holds what its newest ledger row left, and each row begins where the one before it
# ended. Ids follow the order of the ledger (they are taken under the wallet's lock). One statement
# sees one moment, so a bet in flight cannot look like a fault.
_BOOKS: LiteralString = """
WITH newest AS (
    SELECT id, user_id, balance_before, balance_after
    FROM wallet_transactions ORDER BY id DESC LIMIT %(rows)s
), chained AS (
    SELECT user_id, balance_after,
        balance_before <> lag(balance_after) OVER ledger AS breaks,
        lead(id) OVER ledger IS NULL AS is_last
    FROM newest WINDOW ledger AS (PARTITION BY user_id ORDER BY id)
)
SELECT count(*) FILTER (WHERE breaks OR (is_last AND balance_after <> wallets.balance))
FROM chained JOIN wallets USING (user_id)
"""

_COMMITTED: LiteralString = """
SELECT CASE WHEN count(*) <= %(most)s THEN coalesce(sum(bet_count), 0)::bigint END
FROM (SELECT bet_count FROM wallets LIMIT %(most)s::bigint + 1) AS wallet
"""

_POOL: LiteralString = """
SELECT application_name, count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
GROUP BY application_name ORDER BY application_name LIMIT 100
"""

# The first bet that ClickHouse has not: bets are found by time through their ids (UUIDv7), whose
# first 48 bits are milliseconds.
_FIRST_UNSEEN: LiteralString = """
SELECT created_at FROM bets
WHERE id >= (lpad(to_hex((extract(epoch FROM %(seen)s::timestamptz) * 1000)::bigint), 12, '0')
        || repeat('0', 20))::uuid
    AND created_at > %(seen)s::timestamptz
ORDER BY id LIMIT 1
"""

_RECONCILED: LiteralString = """
SELECT extract(epoch FROM now() - checked_at)::float8, (report->>'missing')::bigint,
    (report->>'double')::bigint, (report->>'unknown')::bigint,
    (SELECT sum(value::bigint) FROM jsonb_each_text(report->'bookFaults'))::bigint
FROM reconciliation
"""

_SEEN = """
SELECT sum(bet_count), sum(total_amount), (
    SELECT toUnixTimestamp64Micro(occurred_at)
    FROM bet_events ORDER BY occurred_at DESC LIMIT 1
) FROM bets_daily
"""


# Name → type and meaning. A name without a sample is left out.
_FAMILIES: Mapping[str, tuple[str, str]] = {
    "betting_store_up": ("gauge", "Whether the store answered this scrape."),
    "betting_bets_total": ("counter", "Bets in ClickHouse, counted by the daily aggregate."),
    "betting_stakes_eur_total": ("counter", "Stakes of these bets, in euros."),
    "betting_bets_committed_total": ("counter", "Bets in PostgreSQL."),
    "betting_outbox_events": ("gauge", "Events that wait for the relay (counted to 100,000)."),
    "betting_outbox_oldest_seconds": ("gauge", "Age of the first of them, 0 without any."),
    "betting_sink_lag_bets": ("gauge", "Bets in PostgreSQL that ClickHouse does not count."),
    "betting_sink_lag_seconds": ("gauge", "Age of the first bet newer than all in ClickHouse."),
    "betting_ledger_faults": (
        "gauge",
        "Breaks in the chain and wrong wallets, in the newest 500 ledger rows.",
    ),
    "betting_books_in_balance": ("gauge", "1 while there are no such faults."),
    "betting_reconciled_age_seconds": ("gauge", "Since ReconcileBets last had a verdict."),
    "betting_reconcile_findings": ("gauge", "What its last run found, by kind."),
    "betting_pool_connections_min": ("gauge", "Connections that PlaceBet keeps warm."),
    "betting_pool_connections_max": ("gauge", "Most connections that PlaceBet may open."),
    "betting_pool_connections": ("gauge", "Connections to PostgreSQL, by function."),
}


class Books(NamedTuple):
    """What PostgreSQL tells."""

    waiting: OutboxDepth
    ledger_faults: int
    bets_committed: int | None
    connections: dict[str, int]
    first_unseen: datetime | None
    reconciled: tuple[Any, ...] | None  # age in seconds, then findings in the order of FINDINGS


class Seen(NamedTuple):
    """What ClickHouse tells."""

    bets: int
    stakes: Decimal
    newest: datetime | None


class Sample(NamedTuple):
    """One line: a name, a value, and labels."""

    name: str
    value: object
    labels: tuple[tuple[str, str], ...] = ()


def get_metrics() -> str:
    """All metrics as Prometheus text. Never raises: what is away is missing."""
    settings = metrics_settings()
    found = _ask({"clickhouse": _read_clickhouse, "kafka": _knock, "runtime": _read_runtime})
    seen, runtime = found["clickhouse"], found.pop("runtime")
    newest = seen.newest if isinstance(seen, Seen) else None
    found |= _ask({"postgresql": partial(_read_postgres, newest)})
    books = found["postgresql"]
    samples = [
        Sample("betting_store_up", int(not isinstance(outcome, Exception)), (("store", name),))
        for name, outcome in found.items()
    ]
    samples += [
        Sample("betting_pool_connections_min", settings.min_connections),
        Sample("betting_pool_connections_max", settings.max_connections),
    ]
    if isinstance(seen, Seen):
        samples += _seen_samples(seen)
    if isinstance(books, Books):
        samples += _book_samples(books)
    if isinstance(seen, Seen) and isinstance(books, Books):
        samples += _lag_samples(seen, books)
    return render(samples) + (runtime if isinstance(runtime, str) else "")


def render(samples: Iterable[Sample]) -> str:
    """Samples as Prometheus text, each family together and with its help and type."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    lines: list[str] = []
    for name, (kind, meaning) in _FAMILIES.items():
        if name in by_name:
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{_labels(sample)} {sample.value}" for sample in by_name.pop(name)]
    assert not by_name, f"metrics without a meaning: {sorted(by_name)}"
    return "".join(f"{line}\n" for line in lines)


def close() -> None:
    """Let go of threads and connections; the next scrape makes new ones."""
    if _side_by_side.cache_info().currsize:
        _side_by_side().close()
        _side_by_side.cache_clear()
        _knocker().close()
        _knocker.cache_clear()


@cache
def _side_by_side() -> SideBySide[Answered]:
    return SideBySide(4)


@cache
def _knocker() -> Knocker:
    return Knocker()


def _ask(questions: Mapping[str, Callable[[], Answered]]) -> dict[str, Answered | Exception]:
    outcomes = _side_by_side().ask(questions, STORE_TIMEOUT_S)
    for name, outcome in outcomes.items():
        if isinstance(outcome, Exception):
            cause = repr(outcome.__cause__ or outcome)
            logger().warning("no metrics from", extra={"part": name, "cause": cause})
    return outcomes


def _read_clickhouse() -> Seen:
    bets, stakes, newest_us = clickhouse.query(_SEEN, timeout_s=STORE_TIMEOUT_S)[0]
    # Without any event it is null, or zero in an engine that says so.
    return Seen(bets, stakes, datetime.fromtimestamp(newest_us / 1e6, UTC) if newest_us else None)


def _read_postgres(newest_seen: datetime | None) -> Books:
    with connection(STORE_TIMEOUT_S) as conn:
        conn.wait_s = STORE_TIMEOUT_S
        faults = conn.row(_BOOKS, {"rows": LEDGER_ROWS_CHECKED})
        committed = conn.row(_COMMITTED, {"most": WALLETS_SUMMED_MAX})
        unseen = conn.row(_FIRST_UNSEEN, {"seen": newest_seen or EPOCH})
        assert faults is not None
        assert committed is not None
        return Books(
            waiting=outbox.depth(conn),
            ledger_faults=faults[0],
            bets_committed=committed[0],
            connections=dict(conn.rows(_POOL, {})),
            first_unseen=unseen[0] if unseen else None,
            reconciled=conn.row(_RECONCILED, {}),
        )


def _knock() -> None:
    _knocker().knock(STORE_TIMEOUT_S)


def _read_runtime() -> str:
    """The runtime's own metrics; empty where there is none to ask (on AWS)."""
    url = urlsplit(metrics_settings().runtime_metrics_url)
    if not url.hostname:
        return ""
    conn = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=RUNTIME_TIMEOUT_S)
    try:
        conn.request("GET", url.path or "/")
        answer = conn.getresponse()
        text = answer.read(RUNTIME_BYTES_MAX).decode("utf-8", "replace")
        if answer.status != http.HTTPStatus.OK:
            msg = f"the runtime answered {answer.status}"
            raise http.client.HTTPException(msg)
        return text
    finally:
        conn.close()


def _seen_samples(seen: Seen) -> list[Sample]:
    return [
        Sample("betting_bets_total", seen.bets),
        Sample("betting_stakes_eur_total", seen.stakes),
    ]


def _book_samples(books: Books) -> list[Sample]:
    oldest = books.waiting.oldest
    samples = [
        Sample("betting_outbox_events", books.waiting.count),
        Sample("betting_outbox_oldest_seconds", _age_s(oldest)),
        Sample("betting_ledger_faults", books.ledger_faults),
        Sample("betting_books_in_balance", int(books.ledger_faults == 0)),
    ]
    samples += [
        Sample("betting_pool_connections", number, (("function", name),))
        for name, number in books.connections.items()
    ]
    if books.bets_committed is not None:
        samples.append(Sample("betting_bets_committed_total", books.bets_committed))
    if books.reconciled is not None:
        age_s, *found = books.reconciled
        samples.append(Sample("betting_reconciled_age_seconds", round(max(0.0, age_s), 3)))
        samples += [
            Sample("betting_reconcile_findings", number, (("kind", kind),))
            for kind, number in zip(FINDINGS, found, strict=True)
        ]
    return samples


def _lag_samples(seen: Seen, books: Books) -> list[Sample]:
    samples = [Sample("betting_sink_lag_seconds", _age_s(books.first_unseen))]
    if books.bets_committed is not None:
        # Asked one after the other: a bet that arrived in between may make it negative.
        lag = max(0, books.bets_committed - seen.bets)
        samples.append(Sample("betting_sink_lag_bets", lag))
    return samples


def _age_s(moment: datetime | None) -> float:
    return 0 if moment is None else max(0.0, round((clock.now() - moment).total_seconds(), 3))


def _labels(sample: Sample) -> str:
    if not sample.labels:
        return ""
    pairs = [f'{name}="{_escaped(value)}"' for name, value in sample.labels]
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
