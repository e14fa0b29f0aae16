"""SinkBetEvents on real stores: each event counts once, in the table and in the aggregates."""

from __future__ import annotations

import json
import random
import time
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from shared import clickhouse
from shared.betting import sink_bet_events as sink
from shared.betting.events import BetPlacedV1
from shared.clock import Deadline
from shared.errors import ClickHouseUnavailable, KafkaUnavailable
from tests.support.aws_events import FakeContext
from tests.support.clickhouse import running_clickhouse
from tests.support.events import (
    MOMENT,
    bet_event,
    bet_events,
    consume,
    event_of,
    events_environment,
    kafka_event,
    kafka_record,
)
from tests.support.load_function import load_function
from tests.support.ports import free_port
from tests.support.proxy import running_proxy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clickhouse_connect.driver.client import Client

    from tests.support.kafka import Broker

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("impatient"),
    # kafka-python leaves sockets of refused connections to the garbage collector.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


def deliver(event: dict[str, Any], remaining_ms: int = 30_000) -> None:
    handler = load_function("sink_bet_events").handler
    assert handler(event, FakeContext(remaining_ms=remaining_ms)) == {"batchItemFailures": []}


def counts(client: Client) -> tuple[int, int, int, int]:
    """Rows, distinct events, and bets by the hourly and the daily aggregate."""
    (row,) = client.query(
        "SELECT (SELECT count() FROM bet_events), (SELECT uniqExact(event_id) FROM bet_events),"
        " (SELECT sum(bet_count) FROM bets_hourly), (SELECT sum(bet_count) FROM bets_daily)"
    ).result_rows
    rows, distinct, hourly, daily = row
    return rows, distinct, hourly, daily


def all_equal(count: int) -> tuple[int, int, int, int]:
    return (count,) * 4


def test_a_bet_is_stored_as_it_was_said(analytics: Client) -> None:
    event = bet_event(occurredAt="2026-11-24T12:30:00.123456+00:00", betValue=None, odds="999.99")
    deliver(event_of([event]))
    (row,) = analytics.query(
        "SELECT toString(event_id), event_type, toString(occurred_at), toString(bet_id),"
        " toString(user_id), toString(game_id), amount, bet_type, bet_value, odds, potential_win,"
        " toString(transaction_id), new_balance FROM bet_events"
    ).result_rows
    assert row == (
        *(event["eventId"], "bet.placed", "2026-11-24 12:30:00.123456"),
        *(event["betId"], event["userId"], event["gameId"]),
        *(Decimal("10.50"), "win", None, Decimal("999.99"), Decimal("22.05")),
        *(event["transactionId"], Decimal("989.50")),
    )


def test_a_batch_that_comes_again_counts_once(analytics: Client) -> None:
    batch = event_of(bet_events(100))
    for _ in range(3):
        deliver(batch)
    assert counts(analytics) == all_equal(100)


def test_batches_cut_differently_count_once(analytics: Client) -> None:
    events = bet_events(60)
    for first, last in ((0, 20), (10, 40), (0, 60), (59, 60), (30, 31)):
        deliver(event_of(events[first:last]))
    assert counts(analytics) == all_equal(60)


def test_twins_in_one_batch_count_once(analytics: Client) -> None:
    event = bet_event()
    deliver(event_of([event, bet_event(), event, dict(event)]))
    assert counts(analytics) == all_equal(2)


def test_any_cut_and_order_of_deliveries_counts_every_event_once(analytics: Client) -> None:
    chance = random.Random(20261124)
    events = bet_events(200, step_ms=40_000)  # more than two hours
    for _ in range(25):
        first = chance.randrange(200)
        cut = events[first : first + chance.randrange(1, 60)]
        deliver(event_of(chance.sample(cut, len(cut))))
    deliver(event_of(events))
    assert counts(analytics) == all_equal(200)


def test_several_partitions_in_one_event_are_stored_together(analytics: Client) -> None:
    events = bet_events(9)
    records = [
        kafka_record(event, partition=number % 3, offset=number // 3)
        for number, event in enumerate(events)
    ]
    deliver(kafka_event(records))
    assert counts(analytics) == all_equal(9)
    tokens = analytics.query("SELECT uniqExact(insert_token) FROM bet_events").result_rows
    assert tokens == [(1,)], "one insert"


def test_a_batch_over_the_end_of_months_and_years_is_stored(analytics: Client) -> None:
    start = MOMENT.replace(year=2020, month=1)
    events = bet_events(130, start=start, step_ms=31 * 24 * 3600 * 1000)
    batch = event_of(events)
    deliver(batch)
    deliver(batch)
    assert counts(analytics) == all_equal(130)


def test_the_largest_batch_is_one_insert(analytics: Client) -> None:
    batch = event_of(bet_events(10_000))
    deliver(batch)
    deliver(batch)
    assert counts(analytics) == all_equal(10_000)


def test_aggregates_add_up_by_hour_and_day(analytics: Client) -> None:
    late = (MOMENT + timedelta(hours=11, minutes=45)).isoformat()
    events = [bet_event(amount="0.01"), bet_event(amount="99999.99"), bet_event(occurredAt=late)]
    deliver(event_of(events))
    hours = analytics.query(
        "SELECT toString(period), sum(bet_count), sum(total_amount) FROM bets_hourly"
        " GROUP BY period ORDER BY period"
    ).result_rows
    assert hours == [
        ("2026-11-24 12:00:00", 2, Decimal("100000.00")),
        ("2026-11-25 00:00:00", 1, Decimal("10.50")),
    ]
    days = analytics.query(
        "SELECT toString(period), sum(bet_count), sum(total_amount) FROM bets_daily"
        " GROUP BY period ORDER BY period"
    ).result_rows
    assert days == [
        ("2026-11-24 00:00:00", 2, Decimal("100000.00")),
        ("2026-11-25 00:00:00", 1, Decimal("10.50")),
    ]


@pytest.mark.parametrize("lost", [["bets_daily"], ["bets_hourly"], ["bets_hourly", "bets_daily"]])
def test_an_insert_that_died_before_its_views_is_completed_when_it_comes_again(
    analytics: Client, lost: list[str]
) -> None:
    """As when the engine is killed: the table has the rows, a view never heard of them."""
    events = bet_events(50)
    deliver(event_of(bet_events(7)))
    views = {
        name: analytics.query(f"SHOW CREATE TABLE {name}_view").result_rows[0][0] for name in lost
    }
    for name in lost:
        analytics.command(f"DROP TABLE {name}_view")
    deliver(event_of(events))
    for create in views.values():
        analytics.command(create)
    missing = tuple(57 if name not in lost else 7 for name in ("bets_hourly", "bets_daily"))
    assert counts(analytics) == (57, 57, *missing)
    # It comes cut differently, and part of it with new events.
    deliver(event_of([*events[40:], *bet_events(3)]))
    assert counts(analytics) == all_equal(60)
    deliver(event_of(events))
    assert counts(analytics) == all_equal(60)


def test_an_insert_that_cannot_be_found_whole_is_not_repeated(analytics: Client) -> None:
    events = bet_events(10)
    deliver(event_of(events))
    analytics.command("TRUNCATE TABLE bets_daily")
    analytics.command(f"DELETE FROM bet_events WHERE event_id = '{events[0]['eventId']}'")
    deliver(event_of(events[1:]))
    assert counts(analytics) == (9, 9, 10, 0)


def test_the_same_insert_twice_at_once_is_refused_by_its_token(analytics: Client) -> None:
    """An insert that outlived its invocation meets its own repetition: no look-up sees it."""
    bets = [BetPlacedV1.model_validate(event) for event in bet_events(20)]
    token = sink._token([bet.event_id for bet in bets])
    columns = [[getattr(bet, name) for bet in bets] for name in list(sink.COLUMNS)[:-1]]
    for _ in range(2):
        sink._insert([*columns, [token] * 20], token, Deadline.after(10))
    assert counts(analytics) == all_equal(20)


def test_poison_goes_to_the_dead_letters_and_the_rest_is_stored(
    analytics: Client, topics: Broker
) -> None:
    good = bet_event()
    records = [
        kafka_record(good, partition=1, offset=10),
        kafka_record(b"{", partition=1, offset=11, headers={"request-id": "r"}),
        kafka_record(bet_event(amount=None), partition=2, offset=5, key=None),
        kafka_record(bet_event(eventType="bet.settled"), partition=2, offset=6),
        kafka_record(None, partition=2, offset=7),
    ]
    deliver(kafka_event(records))
    assert counts(analytics) == all_equal(1)
    letters = consume(topics, "bet-events.dead-letter", 2)
    origins = [
        {name: value.decode() for name, value in letter.headers if name != "reason"}
        for letter in letters
    ]
    assert origins == [
        {"topic": "bet-events", "partition": "1", "offset": "11", "request-id": "r"},
        {"topic": "bet-events", "partition": "2", "offset": "5"},
    ]
    reasons = [dict(letter.headers)["reason"].decode() for letter in letters]
    assert reasons[0].startswith("Invalid JSON")
    assert reasons[1].startswith("amount:")
    assert (letters[0].key, letters[0].value) == (b"user", b"{")
    assert letters[1].key is None
    assert json.loads(letters[1].value)["amount"] is None


def test_without_kafka_a_batch_with_poison_comes_again_and_its_bets_count_once(
    analytics: Client, topics: Broker
) -> None:
    batch = event_of([bet_event(), b"poison"])
    topics.stop()
    with pytest.raises(KafkaUnavailable):
        deliver(batch)
    topics.start()
    topics.create_topic("bet-events", 3)
    topics.create_topic("bet-events.dead-letter", 1)
    deliver(batch)
    assert counts(analytics) == all_equal(1)
    assert len(consume(topics, "bet-events.dead-letter", 1)) == 1


def test_kafka_being_away_is_nothing_to_good_bets(analytics: Client) -> None:
    with events_environment(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}"):
        deliver(event_of(bet_events(3)))
    assert counts(analytics) == all_equal(3)


def test_without_clickhouse_the_whole_batch_comes_again_and_nothing_is_buried(
    topics: Broker,
) -> None:
    url = f"http://default@127.0.0.1:{free_port()}/default"
    with events_environment(CLICKHOUSE_URL=url), pytest.raises(ClickHouseUnavailable):
        deliver(event_of([bet_event(), b"poison"]))
    consume(topics, "bet-events.dead-letter", 0)


def test_before_tables_are_made_the_batch_comes_again(analytics: Client) -> None:
    analytics.command("DROP TABLE bet_events")
    with pytest.raises(ClickHouseUnavailable):
        deliver(event_of(bet_events(1)))


def test_a_deaf_clickhouse_is_given_up_before_the_invocation_ends() -> None:
    with running_clickhouse() as front, running_proxy(front.port) as proxy:
        url = f"http://default@127.0.0.1:{proxy.port}/default"
        with events_environment(CLICKHOUSE_URL=url):
            clickhouse.query("SELECT 1", timeout_s=5)
            proxy.deafen()
            started = time.monotonic()
            with pytest.raises(ClickHouseUnavailable):
                deliver(event_of(bet_events(1)), remaining_ms=7_000)
            assert time.monotonic() - started < 5


def test_with_no_time_left_nothing_is_tried(analytics: Client) -> None:
    with pytest.raises(ClickHouseUnavailable):
        deliver(event_of(bet_events(1)), remaining_ms=5_000)
    assert counts(analytics) == all_equal(0)


def ids_of(events: Sequence[dict[str, Any]]) -> set[str]:
    return {event["eventId"] for event in events}


def test_what_was_stored_is_what_was_sent(analytics: Client) -> None:
    events = bet_events(500)
    for start in range(0, 500, 90):
        deliver(event_of(events[start : start + 130]))
    rows = analytics.query("SELECT toString(event_id) FROM bet_events").result_rows
    assert {row[0] for row in rows} == ids_of(events)
