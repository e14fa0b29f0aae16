"""Proves from the stores themselves that nothing was lost, doubled or invented.

It shares no code with the platform: SQL of its own, the wire formats of PostgreSQL, ClickHouse and
Kafka, and what the customers were told.
"""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from kafka import KafkaConsumer, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from tests.chaos.clients import Journal

SHOWN = 5  # examples in a finding

_BOOKS = {
    "a balance is below zero": "SELECT user_id::text FROM wallets WHERE balance < 0",
    "a wallet is not the sum of its ledger": """
        SELECT wallets.user_id::text FROM wallets LEFT JOIN (
            SELECT user_id, sum(balance_after - balance_before) AS total
            FROM wallet_transactions GROUP BY user_id
        ) AS ledger USING (user_id) WHERE balance <> coalesce(total, 0)""",
    "a ledger row does not begin where the one before it ended": """
        SELECT id::text FROM (
            SELECT id, balance_before,
                lag(balance_after, 1, 0) OVER (PARTITION BY user_id ORDER BY id) AS left_before
            FROM wallet_transactions
        ) AS chain WHERE balance_before <> left_before""",
    "a bet has not exactly one debit": """
        SELECT bets.id::text FROM bets LEFT JOIN wallet_transactions AS entry
            ON entry.bet_id = bets.id AND entry.type = 'bet' AND entry.amount = bets.amount
            AND entry.user_id = bets.user_id
        GROUP BY bets.id HAVING count(entry.id) <> 1""",
    "a debit has no bet": """
        SELECT entry.id::text FROM wallet_transactions AS entry LEFT JOIN bets
            ON bets.id = entry.bet_id WHERE entry.type = 'bet' AND bets.id IS NULL""",
}


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the stores are."""

    database_url: str
    clickhouse_url: str
    kafka: str

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Ask PostgreSQL."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(sql.encode(), parameters).fetchall()

    def analytics(self, sql: str) -> list[list[Any]]:
        """Ask ClickHouse. Raises `OSError` when it does not answer."""
        address = urllib.parse.urlsplit(self.clickhouse_url)
        request = urllib.request.Request(
            f"http://{address.hostname}:{address.port}/?default_format=JSONCompact",
            data=sql.encode(),
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            rows: list[list[Any]] = json.load(answer)["data"]
        return rows


def findings(journal: Journal, stores: Stores) -> list[str]:
    """What is wrong; nothing in a platform that keeps its promises."""
    found = []
    for what, sql in _BOOKS.items():
        found += _finding(what, [row[0] for row in stores.rows(sql)])
    found += _promises(journal, stores)
    found += _analytics(stores)
    return found


def all_arrived(stores: Stores) -> bool:
    """Whether ClickHouse has as many bets as PostgreSQL; `findings` says whether the right ones."""
    try:
        (arrived,) = stores.analytics("SELECT toUInt32(uniqExact(bet_id)) FROM bet_events")[0]
        ((placed,),) = stores.rows("SELECT count(*) FROM bets")
    except (OSError, psycopg.Error):
        return False
    return int(arrived) == int(placed)


def arrived_before(stores: Stores, moment: datetime) -> bool:
    """Whether ClickHouse has as many bets placed before `moment` as PostgreSQL."""
    microseconds = round(moment.timestamp() * 1_000_000)
    try:
        ((arrived,),) = stores.analytics(
            "SELECT toUInt32(uniqExact(bet_id)) FROM bet_events"
            f" WHERE occurred_at < fromUnixTimestamp64Micro({microseconds}, 'UTC')"
        )
        ((placed,),) = stores.rows("SELECT count(*) FROM bets WHERE created_at < %s", [moment])
    except (OSError, psycopg.Error):
        return False
    return int(arrived) == int(placed)


def order_findings(stores: Stores, topic: str = "bet-events") -> list[str]:
    """Events that the topic has in another order than the books, for the same key."""
    newest: dict[bytes, str] = defaultdict(str)
    seen: set[str] = set()
    wrong = []
    for record in _records(stores.kafka, topic):
        event = json.loads(record.value)
        if event["eventId"] in seen:
            continue  # a repetition may come at any time
        seen.add(event["eventId"])
        if event["transactionId"] < newest[record.key]:
            wrong.append(event["betId"])
        newest[record.key] = max(newest[record.key], event["transactionId"])
    return _finding("an event overtook another of its key", wrong)


def _promises(journal: Journal, stores: Stores) -> list[str]:
    placed = {
        row[0]: row[1:]
        for row in stores.rows(
            "SELECT bets.id::text, user_id::text, amount, transaction_id::text FROM bets"
        )
    }
    kept = dict(stores.rows("SELECT key, answer::jsonb ->> 'betId' FROM idempotency_keys"))
    lost, wrong, invented = [], [], []
    for told in journal.told:
        if told.outcome == "accepted":
            row = placed.get(told.bet_id)
            if row is None or kept.get(told.key) != told.bet_id:
                lost.append(told.key)
            elif row != (told.user_id, told.amount, told.transaction_id):
                wrong.append(told.key)
        elif told.outcome == "refused" and told.key in kept:
            invented.append(told.key)
    ids = Counter(told.bet_id for told in journal.accepted())
    customers = {told.user_id for told in journal.told}
    theirs = {bet_id for bet_id, row in placed.items() if row[0] in customers}
    return [
        *_finding("an acknowledged bet is lost", lost),
        *_finding("an acknowledged bet is not what was acknowledged", wrong),
        *_finding("a refused bet exists", invented),
        *_finding("two customers were told the same bet", [i for i, n in ids.items() if n > 1]),
        *_finding("a bet exists that nobody asked for", theirs - set(kept.values())),
    ]


def _analytics(stores: Stores) -> list[str]:
    placed = Counter(row[0] for row in stores.rows("SELECT id::text FROM bets"))
    stored = Counter(row[0] for row in stores.analytics("SELECT toString(bet_id) FROM bet_events"))
    found = [
        *_finding("a committed bet is missing in ClickHouse", placed.keys() - stored.keys()),
        *_finding("a bet is in ClickHouse twice", [i for i, n in stored.items() if n > 1]),
        *_finding("a bet is in ClickHouse that no book knows", stored.keys() - placed.keys()),
    ]
    ((bets, stakes),) = stores.rows("SELECT count(*), coalesce(sum(amount), 0) FROM bets")
    for table in ("bets_hourly", "bets_daily"):
        ((counted, total),) = stores.analytics(
            f"SELECT toString(sum(bet_count)), toString(sum(total_amount)) FROM {table}"
        )
        if int(counted) != bets or float(total) != float(stakes):
            found.append(f"{table} says {counted} bets of {total}, the books {bets} of {stakes}")
    return found


def _records(servers: str, topic: str) -> Iterable[Any]:
    """Everything in a topic, partition by partition."""
    consumer = KafkaConsumer(bootstrap_servers=servers, consumer_timeout_ms=3_000)
    try:
        partitions = consumer.partitions_for_topic(topic) or set()
        for partition in sorted(partitions):
            consumer.assign([TopicPartition(topic, partition)])
            consumer.seek_to_beginning()
            yield from consumer
    finally:
        consumer.close()


def _finding(what: str, examples: Iterable[str]) -> list[str]:
    found = list(examples)
    if not found:
        return []
    return [f"{what}: {len(found)} times, such as {', '.join(found[:SHOWN])}"]
