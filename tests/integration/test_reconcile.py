"""ReconcileBets on real stores: what is missing comes again, what is double goes, faults are told."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from shared import clickhouse, settings
from shared.betting import books, reconcile_bets, stored_bets
from shared.betting.books import Span
from shared.errors import ClickHouseUnavailable, ValidationFailed
from shared.postgres import connection
from tests.support.aws_events import FakeContext
from tests.support.events import event_of
from tests.support.load_function import http_caller, load_function
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from clickhouse_connect.driver.client import Client

    from tests.support.postgres import BettingDatabase

pytestmark = pytest.mark.integration

TABLES = "bets, wallet_transactions, outbox, reconciliation, idempotency_keys"


@pytest.fixture(autouse=True)
def clean(
    database: BettingDatabase, analytics: Client, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Empty books and an empty store; nothing needs time to settle."""
    monkeypatch.setenv("RECONCILE_SETTLE_SECONDS", "0")
    monkeypatch.setenv("RECONCILE_WINDOW_SECONDS", "3600")
    monkeypatch.setattr(reconcile_bets, "LASTING_S", 0.0)
    monkeypatch.setattr(stored_bets, "PROGRESS_S", 0)  # the sink waits for nothing
    settings.forget_settings()
    database.query(f"TRUNCATE {TABLES}")
    database.query("UPDATE wallets SET balance = 0, bet_count = 0")
    for table in ("bet_events", "bets_hourly", "bets_daily"):
        analytics.command(f"TRUNCATE TABLE {table}")
    yield
    settings.forget_settings()


@pytest.fixture
def user(database: BettingDatabase) -> str:
    return database.new_user("100000.00")


def place(database: BettingDatabase, user: str, count: int) -> list[str]:
    """Bets, and their ids in order."""
    game = database.new_game()
    call = http_caller("place_bet")
    placed = []
    for number in range(count):
        bet = {"userId": user, "gameId": game, "amount": 10 + number, "betType": "win", "odds": 2.1}
        placed.append(call("POST", "/api/bet", body=json.dumps(bet)).json["betId"])
    return placed


def sink(database: BettingDatabase, *, but: Collection[str] = ()) -> None:
    """Bring what waits into ClickHouse, as relay and sink do, and lose some of it on the way."""
    rows = database.query("SELECT payload FROM outbox ORDER BY id")
    database.query("DELETE FROM outbox")
    events = [json.loads(payload) for (payload,) in rows]
    events = [event for event in events if event["betId"] not in but]
    if events:
        handler = load_function("sink_bet_events").handler
        assert handler(event_of(events), FakeContext()) == {"batchItemFailures": []}


def reconcile(**wishes: Any) -> dict[str, Any]:
    report: dict[str, Any] = load_function("reconcile_bets").handler(
        wishes, FakeContext(remaining_ms=60_000)
    )
    return report


def stored(client: Client) -> tuple[int, int, int, int]:
    (row,) = client.query(
        "SELECT (SELECT count() FROM bet_events), (SELECT uniqExact(bet_id) FROM bet_events),"
        " (SELECT sum(bet_count) FROM bets_hourly), (SELECT sum(bet_count) FROM bets_daily)"
    ).result_rows
    return tuple(row)


def test_books_in_balance_are_said_to_be(database: BettingDatabase, user: str) -> None:
    place(database, user, 5)
    sink(database)

    report = reconcile()

    assert report["balanced"] is True
    assert (report["bets"], report["stakes"]) == (5, "60.00")
    assert report["verdict"].startswith("In balance: 5 bets with 60.00 EUR")


def test_a_lost_bet_is_announced_again_and_then_counts_once(
    database: BettingDatabase, user: str, analytics: Client
) -> None:
    bets = place(database, user, 6)
    sink(database, but={bets[1], bets[4]})

    report = reconcile()
    sink(database)

    assert (report["missing"], report["resent"], report["balanced"]) == (2, 2, False)
    assert stored(analytics) == (6, 6, 6, 6)
    assert reconcile()["balanced"] is True


def test_what_is_announced_again_is_the_same_event(database: BettingDatabase, user: str) -> None:
    bets = place(database, user, 1)
    (first,) = database.query("SELECT topic, key, headers, payload FROM outbox")
    sink(database, but=set(bets))

    reconcile()

    (again,) = database.query("SELECT topic, key, headers, payload FROM outbox")
    assert json.loads(again[3]) == json.loads(first[3])
    assert again[:2] == first[:2]
    assert again[2].keys() == first[2].keys()


def test_what_turns_up_after_all_counts_once(
    database: BettingDatabase, user: str, analytics: Client
) -> None:
    bets = place(database, user, 3)
    late = [json.loads(row[0]) for row in database.query("SELECT payload FROM outbox ORDER BY id")]
    sink(database, but=set(bets))
    reconcile()
    sink(database)

    load_function("sink_bet_events").handler(event_of(late), FakeContext())

    assert stored(analytics) == (3, 3, 3, 3)


def test_what_was_announced_again_gets_time_to_arrive(database: BettingDatabase, user: str) -> None:
    sink(database, but=set(place(database, user, 2)))
    assert reconcile()["resent"] == 2
    database.query("DELETE FROM outbox")  # lost once more

    report = reconcile()

    assert (report["missing"], report["resent"]) == (2, 0)


def test_what_waits_in_the_outbox_is_not_missing(database: BettingDatabase, user: str) -> None:
    place(database, user, 2)

    report = reconcile()

    assert (report["bets"], report["missing"], report["balanced"]) == (0, 0, True)


def test_what_the_sink_has_still_to_read_is_not_missing(
    database: BettingDatabase, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_bets, "PROGRESS_S", 10)
    place(database, user, 3)
    sink(database)
    place(database, user, 4)
    database.query("DELETE FROM outbox")  # published, and not read yet

    report = reconcile()

    assert report["missing"] == 0


def test_a_bet_that_is_stored_twice_is_stored_once_again(
    database: BettingDatabase, user: str, analytics: Client
) -> None:
    place(database, user, 4)
    sink(database)
    columns = "event_type, occurred_at, bet_id, user_id, game_id, amount, bet_type, bet_value, odds, potential_win, transaction_id, new_balance"
    analytics.command(
        f"INSERT INTO bet_events (event_id, {columns}, insert_token)"
        f" SELECT generateUUIDv4(), {columns}, generateUUIDv4() FROM bet_events"
        " ORDER BY occurred_at LIMIT 2"
    )
    assert stored(analytics) == (6, 4, 6, 6)

    report = reconcile()

    assert (report["double"], report["removed"]) == (2, 2)
    assert stored(analytics) == (4, 4, 4, 4)
    assert reconcile()["balanced"] is True


@pytest.mark.parametrize("table", ["bets_hourly", "bets_daily"])
@pytest.mark.parametrize("counted", ["nothing", "too much"])
def test_an_aggregate_that_differs_from_its_table_is_mended(
    database: BettingDatabase, user: str, analytics: Client, table: str, counted: str
) -> None:
    place(database, user, 5)
    sink(database)
    stakes = "SELECT sum(total_amount) FROM bets_daily"
    before = analytics.query(stakes).result_rows
    if counted == "nothing":
        analytics.command(f"TRUNCATE TABLE {table}")
    else:
        analytics.command(f"INSERT INTO {table} SELECT period, 7, 70 FROM {table} LIMIT 1")

    report = reconcile()

    assert report["aggregatesMended"] == 1
    assert stored(analytics) == (5, 5, 5, 5)
    assert analytics.query(stakes).result_rows == before
    assert reconcile()["aggregatesMended"] == 0


def test_other_amounts_in_clickhouse_are_told(
    database: BettingDatabase, user: str, analytics: Client
) -> None:
    place(database, user, 3)
    sink(database)
    analytics.command(
        "ALTER TABLE bet_events UPDATE amount = amount + 1 WHERE amount = 10"
        " SETTINGS mutations_sync = 1"
    )

    report = reconcile()

    assert (report["missing"], report["double"], report["unknown"]) == (0, 0, 0)
    assert (report["different"], report["balanced"]) == (1, False)
    assert "other amounts" in report["verdict"]


def test_two_rows_of_one_insert_are_told_and_both_stay(
    database: BettingDatabase, user: str, analytics: Client
) -> None:
    place(database, user, 1)
    sink(database)
    analytics.command(
        "INSERT INTO bet_events SELECT * FROM bet_events SETTINGS insert_deduplicate = 0"
    )

    report = reconcile()

    assert (report["double"], report["removed"]) == (1, 0)
    assert stored(analytics)[0] == 2


def test_a_bet_that_no_book_knows_is_told_and_left_alone(
    database: BettingDatabase, user: str, analytics: Client
) -> None:
    bets = place(database, user, 2)
    sink(database)
    database.query("DELETE FROM bets WHERE id = %s", [bets[0]])

    report = reconcile()

    assert report["unknown"] == 1
    assert report["bookFaults"]["entries_without_bet"] == 1
    assert stored(analytics)[0] == 2


@pytest.mark.parametrize(
    ("fault", "statement"),
    [
        ("wrong_wallets", "UPDATE wallets SET balance = balance + 1 WHERE user_id = %s"),
        (
            "broken_chains",
            "UPDATE wallet_transactions SET balance_before = balance_before + 1,"
            " balance_after = balance_after + 1 WHERE user_id = %s AND id ="
            " (SELECT min(id::text)::uuid FROM wallet_transactions WHERE type = 'bet')",
        ),
        (
            "bets_without_entry",
            "UPDATE bets SET amount = amount + 1 WHERE user_id = %s"
            " AND id = (SELECT min(id::text)::uuid FROM bets)",
        ),
    ],
)
def test_a_fault_in_the_books_is_told(
    database: BettingDatabase, user: str, fault: str, statement: str
) -> None:
    place(database, user, 3)
    sink(database)
    database.query(statement, [user])

    report = reconcile()

    assert report["balanced"] is False
    assert report["bookFaults"][fault] >= 1
    assert "for a person to look at" in report["verdict"]


def test_looking_without_mending_changes_nothing(
    database: BettingDatabase, user: str, analytics: Client
) -> None:
    sink(database, but=set(place(database, user, 2)))
    analytics.command("INSERT INTO bets_daily SELECT toDateTime(now(), 'UTC'), 1, 1")

    report = reconcile(repair=False)

    assert (report["missing"], report["resent"]) == (2, 0)
    assert database.value("SELECT count(*) FROM outbox") == 0


def test_a_run_begins_where_the_last_one_found_everything_right(
    database: BettingDatabase, user: str
) -> None:
    place(database, user, 3)
    sink(database)
    reconcile()
    place(database, user, 2)
    sink(database)

    assert reconcile()["bets"] <= 3  # the last one may be at the border


def test_what_was_not_right_is_looked_at_again(database: BettingDatabase, user: str) -> None:
    bets = place(database, user, 3)
    sink(database, but={bets[0]})
    reconcile()
    sink(database)

    report = reconcile()

    assert (report["bets"], report["balanced"]) == (3, True)


def test_any_moment_can_be_gone_back_to(database: BettingDatabase, user: str) -> None:
    place(database, user, 3)
    sink(database)
    reconcile()

    report = reconcile(since=(datetime.now(UTC) - timedelta(days=1)).isoformat())

    assert report["bets"] == 3


@pytest.mark.parametrize("since", ["yesterday", "2026-11-24T12:00:00", 7])
def test_a_since_that_is_no_moment_is_refused(since: object) -> None:
    with pytest.raises(ValidationFailed):
        reconcile(since=since)


def test_chunks_are_compared_one_after_the_other(
    database: BettingDatabase, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile_bets, "CHUNK_BETS_MAX", 7)
    bets = place(database, user, 30)
    lost = set(random.Random(20261125).sample(bets, 9))
    sink(database, but=lost)

    report = reconcile()

    assert (report["bets"], report["missing"], report["resent"]) == (30, 9, 9)
    assert {json.loads(p)["betId"] for (p,) in database.query("SELECT payload FROM outbox")} == lost


def test_no_more_than_a_bound_is_announced_in_one_run(
    database: BettingDatabase, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile_bets, "RESENT_BETS_MAX", 3)
    sink(database, but=set(place(database, user, 4)))

    report = reconcile()

    assert (report["missing"], report["resent"]) == (4, 3)


def test_one_run_at_a_time(database: BettingDatabase) -> None:
    with psycopg.connect(database.url) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [books.RECONCILE_LOCK])
        assert reconcile()["busy"] is True
        other.execute("SELECT pg_advisory_unlock(%s)", [books.RECONCILE_LOCK])

    assert reconcile()["busy"] is False


def test_without_clickhouse_nothing_is_verified(
    database: BettingDatabase, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(database, user, 1)
    monkeypatch.setenv("CLICKHOUSE_URL", f"http://default@127.0.0.1:{free_port()}/default")
    clickhouse.close()
    settings.forget_settings()

    with pytest.raises(ClickHouseUnavailable):
        reconcile()

    assert database.value("SELECT count(*) FROM reconciliation") == 0


def test_the_digest_of_a_span_is_what_is_in_it(database: BettingDatabase, user: str) -> None:
    bets = place(database, user, 3)
    now = datetime.now(UTC)

    with connection() as conn:
        whole = books.digest(conn, Span(now - timedelta(minutes=1), now + timedelta(minutes=1)))
        before = books.digest(conn, Span(now - timedelta(minutes=2), now - timedelta(minutes=1)))

    assert tuple(whole) == (3, Decimal(33), sum(int(bet[-8:], 16) for bet in bets))
    assert tuple(before) == (0, 0, 0)
