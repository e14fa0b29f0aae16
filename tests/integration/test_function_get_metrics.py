"""GET /metrics on real stores: true numbers, and an answer whatever is away."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typing_extensions import override

from shared import kafka, settings
from shared.betting import metrics
from shared.postgres import close_all
from tests.fakes.broker import FakeBroker
from tests.support.aws_events import FakeContext
from tests.support.events import bet_event, event_of, events_environment
from tests.support.load_function import HttpAnswer, http_caller, load_function
from tests.support.ports import free_port
from tests.support.proxy import running_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clickhouse_connect.driver.client import Client

    from tests.support.kafka import Broker
    from tests.support.postgres import BettingDatabase

pytestmark = pytest.mark.integration

Metrics = dict[str, float]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "DB_MIN_CONNECTIONS": "2",
        "DB_MAX_CONNECTIONS": "20",
        "RUNTIME_METRICS_URL": "",
        "RELAY_RUN_SECONDS": "0",
    }.items():
        monkeypatch.setenv(name, value)
    settings.forget_settings()
    yield
    settings.forget_settings()


@pytest.fixture
def call() -> Callable[..., HttpAnswer]:
    return http_caller("get_metrics")


def scrape(call: Callable[..., HttpAnswer]) -> Metrics:
    """Sample name with its labels → value, as Prometheus reads it."""
    answer = call("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def place_bet(database: BettingDatabase, *, amount: str = "10.00") -> str:
    """A bet in PostgreSQL with ledger row and event, as PlaceBet leaves it; returns its event."""
    user_id, game_id = database.new_user("1000.00"), database.new_game()
    answer = http_caller("place_bet")(
        "POST",
        "/api/bet",
        body={
            "userId": user_id,
            "gameId": game_id,
            "amount": float(amount),
            "betType": "win",
            "odds": 2.1,
        },
    )
    assert answer.status == 200, answer.text
    payload: str = database.value("SELECT payload FROM outbox WHERE key = %s", [user_id])
    return payload


def store(payloads: list[str]) -> None:
    handler = load_function("sink_bet_events").handler
    handler(event_of([payload.encode() for payload in payloads]), FakeContext(remaining_ms=30_000))


def test_bets_are_followed_from_commit_to_clickhouse(
    call: Callable[..., HttpAnswer],
    database: BettingDatabase,
    broker: Broker,
    analytics: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = scrape(call)
    assert before["betting_outbox_events"] == 0
    assert before["betting_outbox_oldest_seconds"] == 0
    payloads = [place_bet(database, amount="10.00"), place_bet(database, amount="0.50")]
    waiting = scrape(call)
    assert waiting["betting_outbox_events"] == 2
    assert 0 < waiting["betting_outbox_oldest_seconds"] < 60
    assert waiting["betting_bets_committed_total"] == before["betting_bets_committed_total"] + 2
    assert waiting["betting_sink_lag_bets"] == waiting["betting_bets_committed_total"]
    assert 0 < waiting["betting_sink_lag_seconds"] < 60
    assert waiting["betting_bets_total"] == 0

    store(payloads)
    monkeypatch.setattr(kafka, "publish", FakeBroker().publish)
    load_function("relay_outbox").handler({}, FakeContext(remaining_ms=60_000))
    after = scrape(call)
    assert after["betting_outbox_events"] == 0
    assert after["betting_bets_total"] == 2
    assert after["betting_stakes_eur_total"] == 10.5
    assert after["betting_sink_lag_seconds"] == 0
    assert after["betting_sink_lag_bets"] == after["betting_bets_committed_total"] - 2
    assert after["betting_books_in_balance"] == 1


def test_pool_bounds_and_connections_are_told(
    call: Callable[..., HttpAnswer], database: BettingDatabase, broker: Broker, analytics: Client
) -> None:
    told = scrape(call)
    assert told["betting_pool_connections_min"] == 2
    assert told["betting_pool_connections_max"] == 20
    assert told["betting_pool_connections[UnderTest]"] >= 1
    for name in ("postgresql", "clickhouse", "kafka"):
        assert told[f"betting_store_up[{name}]"] == 1


def test_a_wallet_that_does_not_match_its_ledger_is_told(
    call: Callable[..., HttpAnswer], database: BettingDatabase, broker: Broker, analytics: Client
) -> None:
    assert scrape(call)["betting_books_in_balance"] == 1
    user_id = database.new_user("100.00")
    database.query("UPDATE wallets SET balance = balance + 0.01 WHERE user_id = %s", [user_id])
    told = scrape(call)
    assert (told["betting_books_in_balance"], told["betting_ledger_faults"]) == (0, 1)
    database.query("UPDATE wallets SET balance = balance - 0.01 WHERE user_id = %s", [user_id])
    assert scrape(call)["betting_books_in_balance"] == 1


def test_a_break_in_the_chain_of_the_ledger_is_told(
    call: Callable[..., HttpAnswer], database: BettingDatabase, broker: Broker, analytics: Client
) -> None:
    user_id = database.new_user("100.00")
    database.query(
        "INSERT INTO wallet_transactions (user_id, type, amount, balance_before, balance_after)"
        " VALUES (%s, 'deposit', 40, 60, 100)",
        [user_id],
    )
    assert scrape(call)["betting_ledger_faults"] == 1
    database.query("DELETE FROM wallet_transactions WHERE user_id = %s", [user_id])
    database.query("UPDATE wallets SET balance = 0 WHERE user_id = %s", [user_id])


def test_only_so_many_ledger_rows_are_checked_and_so_many_wallets_summed(
    call: Callable[..., HttpAnswer],
    database: BettingDatabase,
    broker: Broker,
    analytics: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong, right = database.new_user("100.00"), database.new_user("100.00")
    database.query("UPDATE wallets SET balance = 1 WHERE user_id = %s", [wrong])
    monkeypatch.setattr(metrics, "LEDGER_ROWS_CHECKED", 2)
    assert scrape(call)["betting_ledger_faults"] == 1
    monkeypatch.setattr(metrics, "LEDGER_ROWS_CHECKED", 1)
    assert scrape(call)["betting_ledger_faults"] == 0
    database.query("UPDATE wallets SET balance = 100 WHERE user_id = %s", [wrong])

    wallets = database.value("SELECT count(*) FROM wallets")
    monkeypatch.setattr(metrics, "WALLETS_SUMMED_MAX", wallets)
    assert "betting_bets_committed_total" in scrape(call)
    monkeypatch.setattr(metrics, "WALLETS_SUMMED_MAX", wallets - 1)
    told = scrape(call)
    assert "betting_bets_committed_total" not in told
    assert "betting_sink_lag_bets" not in told
    assert "betting_sink_lag_seconds" in told
    assert right


@pytest.mark.parametrize("away", ["postgresql", "clickhouse", "kafka"])
def test_a_store_that_is_away_costs_its_own_numbers(
    call: Callable[..., HttpAnswer],
    database: BettingDatabase,
    broker: Broker,
    analytics: Client,
    monkeypatch: pytest.MonkeyPatch,
    away: str,
) -> None:
    addresses = {
        "postgresql": ("DATABASE_URL", f"postgresql://postgres@127.0.0.1:{free_port()}/postgres"),
        "clickhouse": ("CLICKHOUSE_URL", f"http://default@127.0.0.1:{free_port()}/default"),
        "kafka": ("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}"),
    }
    name, address = addresses[away]
    with events_environment(**{name: address}):
        close_all()
        told = scrape(call)
        close_all()
    for store_name in addresses:
        assert told[f"betting_store_up[{store_name}]"] == (0 if store_name == away else 1)
    assert ("betting_outbox_events" in told) == (away != "postgresql")
    assert ("betting_bets_total" in told) == (away != "clickhouse")
    assert ("betting_sink_lag_seconds" in told) == (away == "kafka")
    assert told["betting_pool_connections_max"] == 20


def test_deaf_stores_do_not_hold_the_scrape_up(
    call: Callable[..., HttpAnswer], database: BettingDatabase, broker: Broker, analytics: Client
) -> None:
    with running_proxy(broker.port) as proxy:
        proxy.deafen()
        address = f"127.0.0.1:{proxy.port}"
        with events_environment(
            CLICKHOUSE_URL=f"http://default@{address}/default", KAFKA_BOOTSTRAP_SERVERS=address
        ):
            started = time.monotonic()
            told = scrape(call)
            assert time.monotonic() - started < 2 * metrics.STORE_TIMEOUT_S + 1
            proxy.stop()
    assert told["betting_store_up[clickhouse]"] == 0
    assert told["betting_store_up[kafka]"] == 0
    assert told["betting_store_up[postgresql]"] == 1


@contextmanager
def runtime_answering(status: int, text: str) -> Iterator[str]:
    """The address of a runtime that answers every request like this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        @override
        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/_local_stack/metrics"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.mark.parametrize(("status", "expected"), [(200, True), (500, False)])
def test_the_runtimes_own_metrics_follow_when_there_are_any(
    call: Callable[..., HttpAnswer],
    database: BettingDatabase,
    broker: Broker,
    analytics: Client,
    status: int,
    expected: bool,
) -> None:
    own = "# TYPE runtime_invocations_total counter\nruntime_invocations_total 7\n"
    with runtime_answering(status, own) as url, events_environment(RUNTIME_METRICS_URL=url):
        answer = call("GET", "/metrics")
    assert answer.text.endswith(own) == expected
    assert "betting_store_up" in answer.text
    assert 'store="runtime"' not in answer.text


def test_a_bet_that_comes_after_a_long_rest_is_not_late(
    call: Callable[..., HttpAnswer], database: BettingDatabase, broker: Broker, analytics: Client
) -> None:
    payload = place_bet(database)
    occurred = database.value("SELECT max(created_at) FROM bets")
    long_ago = bet_event(
        eventId=str(uuid4()), occurredAt=(occurred - timedelta(days=9)).isoformat()
    )
    store([payload])
    handler = load_function("sink_bet_events").handler
    handler(event_of([long_ago]), FakeContext(remaining_ms=30_000))
    assert scrape(call)["betting_sink_lag_seconds"] == 0
    place_bet(database)
    assert 0 < scrape(call)["betting_sink_lag_seconds"] < 30
    database.query("DELETE FROM outbox")
