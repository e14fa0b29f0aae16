"""What the platform tells of itself: GET /metrics, embedded metrics, and the lines of the logs."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.wait import wait_until

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from tests.support.betting import Platform

pytestmark = pytest.mark.e2e

WRITTEN_TIMEOUT_S = 30  # log lines are on disk within a tenth of a second
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
REPORT = re.compile(
    rf"REPORT RequestId: ({UUID})\tDuration: ([\d.]+) ms\tBilled Duration: (\d+) ms\t"
    r"Memory Size: 512 MB\tMax Memory Used: (\d+) MB\t(?:Init Duration: ([\d.]+) ms\t)?"
)


class Scrape:
    """One answer of GET /metrics, read as Prometheus reads it."""

    def __init__(self, platform: Platform) -> None:
        answer = platform.http.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = list(text_string_to_metric_families(answer.text))
        self.families: dict[str, Metric] = {family.name: family for family in families}
        assert len(self.families) == len(families), "a family is in several pieces"
        self.samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        for family in self.families.values():
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert key not in self.samples, f"{key} is told twice"
                self.samples[key] = sample.value

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples.get((name, tuple(sorted(labels.items()))), 0.0)


def test_the_platform_tells_of_bets_stakes_outbox_lag_books_and_pool(platform: Platform) -> None:
    user = platform.new_user("10.00")
    platform.bet(user, "2.50")
    platform.wait_until_drained()

    scrape = Scrape(platform)

    count, total = platform.row("SELECT count(*), sum(amount) FROM bets")
    assert scrape("betting_bets_total") == scrape("betting_bets_committed_total") == count
    assert Decimal(str(scrape("betting_stakes_eur_total"))) == total
    for name in (
        *("betting_outbox_events", "betting_outbox_oldest_seconds"),
        *("betting_sink_lag_bets", "betting_sink_lag_seconds", "betting_ledger_faults"),
    ):
        assert (name, ()) in scrape.samples
        assert scrape(name) == 0
    assert scrape("betting_books_in_balance") == 1
    assert scrape("betting_pool_connections_min") == 1
    assert scrape("betting_pool_connections_max") == 20
    assert scrape("betting_pool_connections", function="PlaceBet") >= 1
    for store in ("postgresql", "kafka", "clickhouse"):
        assert scrape("betting_store_up", store=store) == 1


def test_every_family_has_a_type_and_a_meaning(platform: Platform) -> None:
    platform.bet(platform.new_user("1.00"))
    families = Scrape(platform).families

    expected = {
        "betting_bets": "counter",
        "betting_books_in_balance": "gauge",
        "lambda_duration_seconds": "histogram",
        "lambda_invocations": "counter",
        "betting_betsaccepted": "summary",
    }
    assert {name: families[name].type for name in expected} == expected
    for name, family in families.items():
        assert family.documentation, name
        assert family.type != "unknown", name


def test_what_waits_in_the_outbox_is_told(platform: Platform) -> None:
    user = platform.new_user("10.00")
    platform.wait_until_drained()
    with platform.relay_stopped():
        for _ in range(3):
            platform.bet(user)
        wait_until(
            lambda: Scrape(platform)("betting_outbox_oldest_seconds") > 0.01, 10, "they get older"
        )
        scrape = Scrape(platform)

    assert scrape("betting_outbox_events") == 3
    assert scrape("betting_sink_lag_bets") == 3
    assert scrape("betting_sink_lag_seconds") > 0
    platform.wait_until_drained()


def test_books_that_are_wrong_are_told(platform: Platform) -> None:
    user = platform.new_user("10.00")
    platform.bet(user)
    change = "UPDATE wallets SET balance = balance + %s WHERE user_id = %s RETURNING balance"

    platform.row(change, ["0.01", user])
    try:
        scrape = Scrape(platform)
    finally:
        platform.row(change, ["-0.01", user])

    assert scrape("betting_books_in_balance") == 0
    assert scrape("betting_ledger_faults") == 1
    assert Scrape(platform)("betting_books_in_balance") == 1


def test_the_runtime_counts_invocations_errors_durations_and_cold_starts(
    platform: Platform,
) -> None:
    before = Scrape(platform)
    for _ in range(3):
        platform.http.get("/api/games")
    platform.stack.cli("invoke", "ListGames", check=False)  # an event it cannot take

    after = Scrape(platform)

    def grown(name: str, **labels: str) -> float:
        labels = {"function": "ListGames", **labels}
        return after(name, **labels) - before(name, **labels)

    assert grown("lambda_invocations_total") == 4
    assert grown("lambda_errors_total") == 1
    assert grown("lambda_throttles_total") == 0
    assert grown("lambda_duration_seconds_count") == 4
    assert grown("lambda_duration_seconds_bucket", le="+Inf") == 4
    assert 0 < grown("lambda_duration_seconds_sum") < 60
    assert after("lambda_cold_starts_total", function="ListGames") >= 1
    assert after("lambda_environments", function="ListGames") >= 1
    assert after("lambda_emf_refused_total") == 0


def test_embedded_metrics_of_functions_are_summed(platform: Platform) -> None:
    user = platform.new_user("10.00")
    names = {
        "accepted": ("betting_betsaccepted", "PlaceBet"),
        "replayed": ("betting_betsreplayed", "PlaceBet"),
        "rejected": ("betting_requestsrejected", "PlaceBet"),
        "deposits": ("betting_depositsaccepted", "DepositFunds"),
        "stored": ("betting_eventsstored", "SinkBetEvents"),
        "relayed": ("betting_eventsrelayed", "RelayOutbox"),
    }

    def sums() -> dict[str, float]:
        scrape = Scrape(platform)
        return {
            what: scrape(f"{name}_sum", service=function)
            for what, (name, function) in names.items()
        }

    platform.wait_until_drained()
    before = sums()
    assert platform.bet(user, "1", "key").status_code == 200
    assert platform.bet(user, "1", "key").status_code == 200
    assert platform.bet(user, "100").status_code == 409
    assert platform.deposit(user, "1").status_code == 200
    expected = {name: value + 1 for name, value in before.items()}

    wait_until(lambda: sums() == expected, WRITTEN_TIMEOUT_S, f"{sums()} become {expected}")


def test_an_invocation_is_framed_by_start_end_and_report(platform: Platform) -> None:
    url = f"{platform.stack.lambda_url}/2015-03-31/functions/GetMetrics/invocations"
    request_id = httpx.post(url, content=b"{}", trust_env=False).headers["x-amzn-RequestId"]

    def framed() -> bool:
        return f"REPORT RequestId: {request_id}" in platform.stack.log("functions/GetMetrics")

    wait_until(framed, WRITTEN_TIMEOUT_S, "the invocation is reported")
    log = platform.stack.log("functions/GetMetrics").splitlines()
    start, end, report = (line for line in log if f"RequestId: {request_id}" in line)
    assert start == f"START RequestId: {request_id} Version: $LATEST"
    assert end == f"END RequestId: {request_id}"
    numbers = REPORT.fullmatch(report)
    assert numbers is not None, report
    duration_ms, billed_ms, memory_mb = numbers.group(2, 3, 4)
    assert 0 < float(duration_ms) <= int(billed_ms) < float(duration_ms) + 1
    assert 1 <= int(memory_mb) <= 512
    between = "\n".join(log[log.index(start) : log.index(end)])
    assert "[ERROR]" in between
    first = next(line for line in log if line.startswith("REPORT"))
    assert "Init Duration: " in first


def test_log_lines_are_json_with_the_request_id_and_nothing_typed(platform: Platform) -> None:
    user = platform.new_user("1.00")
    secret = "nobody may read this in a log"

    answer = platform.bet(user, "99", betValue=secret)

    request_id = answer.headers["X-Request-Id"]
    lines = _lines_of(platform, "PlaceBet", request_id)
    (refusal,) = (line for line in lines if line.get("message") == "request rejected")
    assert refusal["level"] == "INFO"
    assert refusal["service"] == "PlaceBet"
    assert refusal["correlation_id"] == request_id
    assert (refusal["code"], refusal["status"]) == ("insufficient_funds", 409)
    (counted,) = (line for line in lines if "_aws" in line)
    assert counted["request_id"] == request_id
    assert counted["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Betting"
    assert counted["RequestsRejected"] == [1]
    assert secret not in platform.stack.log("functions/PlaceBet")


def test_local_stack_logs_shows_the_lines_of_a_function(platform: Platform) -> None:
    request_id = platform.http.get("/api/bets/nobody").headers["X-Request-Id"]
    _lines_of(platform, "ListUserBets", request_id)

    shown = platform.stack.cli("logs", "ListUserBets", "-n", "20").stdout

    assert request_id in shown
    assert REPORT.search(shown)
    everything = platform.stack.cli("logs", "-n", "1").stdout
    assert "host-1 | " in everything
    assert "\nListUserBets" in everything  # on whichever host it ran


def _lines_of(platform: Platform, function: str, request_id: str) -> list[dict[str, Any]]:
    """The JSON lines of a function's log that name this request."""
    wait_until(
        lambda: request_id in platform.stack.log(f"functions/{function}"),
        WRITTEN_TIMEOUT_S,
        f"{function} logged {request_id}",
    )
    log = platform.stack.log(f"functions/{function}").splitlines()
    return [json.loads(line) for line in log if request_id in line and line.startswith("{")]
