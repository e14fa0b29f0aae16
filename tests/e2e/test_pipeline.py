"""Every acknowledged bet reaches ClickHouse exactly once, whatever stops, dies and comes back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from kafka import KafkaConsumer, TopicPartition

from tests.support import betting
from tests.support.betting import GAME
from tests.support.described import check
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tests.support.betting import Platform
    from tests.support.stack import StackUnderTest

pytestmark = pytest.mark.e2e

BACK_TIMEOUT_S = 60
PARTITIONS = 3
HOSTS = (1, 2)


@pytest.fixture
def drained(platform: Platform) -> Iterator[Platform]:
    """The platform with nothing on the way; afterwards everything runs and all has arrived."""
    platform.wait_until_drained()
    yield platform
    wait_until_healthy(platform.stack)
    platform.wait_until_drained()
    platform.audit()


def wait_until_healthy(stack: StackUnderTest) -> None:
    wait_until(
        lambda: stack.status()["healthy"], BACK_TIMEOUT_S, "every part is ready", interval_s=0.2
    )


def place(platform: Platform, count: int, *, threads: int = 8) -> list[str]:
    """Place `count` bets of one user; every one has to be acknowledged."""
    user = platform.new_user(f"{count}.00")
    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(lambda _: platform.bet(user, "1.00"), range(count)))
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json()["betId"] for answer in answers]


def in_clickhouse(platform: Platform, bet_ids: list[str]) -> int:
    """How many rows ClickHouse has of these bets."""
    ((count,),) = platform.ask_clickhouse(
        "SELECT count() FROM bet_events WHERE bet_id IN {ids:Array(UUID)}", {"ids": bet_ids}
    )
    return int(count)


def supervisorctl(stack: StackUnderTest, *command: str) -> None:
    """What a person would do to a part by hand."""
    subprocess.run(
        [
            *(stack.python, "-m", "supervisor.supervisorctl"),
            *("-s", f"unix://{stack.dir}/run/supervisor.sock", *command),
        ],
        check=True,
        capture_output=True,
    )


def published(stack: StackUnderTest, bet_ids: Collection[str]) -> list[Any]:
    """The records of these bets in the topic, once all are there and nothing more comes."""
    consumer = KafkaConsumer(
        bootstrap_servers=stack.kafka, auto_offset_reset="earliest", enable_auto_commit=False
    )
    try:
        consumer.assign([TopicPartition("bet-events", number) for number in range(PARTITIONS)])
        records: list[Any] = []

        def nothing_comes() -> bool:
            batches = consumer.poll(timeout_ms=500)
            records.extend(record for batch in batches.values() for record in batch)
            return not batches and {_bet_id(record) for record in records} >= set(bet_ids)

        wait_until(nothing_comes, betting.ARRIVAL_TIMEOUT_S, "the bets are in the topic")
        return [record for record in records if _bet_id(record) in bet_ids]
    finally:
        consumer.close()


def _bet_id(record: Any) -> str:
    return str(json.loads(record.value)["betId"])


def test_bets_are_counted_alike_everywhere(drained: Platform) -> None:
    bet_ids = place(drained, 150)

    drained.wait_until_drained()

    assert in_clickhouse(drained, bet_ids) == len(set(bet_ids)) == 150
    (count, total) = drained.row("SELECT count(*), sum(amount) FROM bets")
    assert drained.arrived() == (count, count, count, count, total)


def test_an_event_is_as_documented_and_carries_the_request_id_everywhere(
    drained: Platform,
) -> None:
    user = drained.new_user("20.00")
    with drained.relay_stopped():
        answer = drained.bet(user, "10.50", betType="exact_score", betValue="2-1 \U0001f3c0")
        bet, request_id = answer.json(), answer.headers["X-Request-Id"]
        waiting = drained.rows("SELECT topic, key, headers FROM outbox")
    drained.wait_until_drained()

    headers = {"content-type": "application/json", "request-id": request_id}
    assert waiting == [("bet-events", user, headers)]
    (record,) = published(drained.stack, [bet["betId"]])
    event = json.loads(record.value)
    assert record.key == user.encode()
    assert {name: value.decode() for name, value in record.headers} == {
        **headers,
        "event-id": event["eventId"],
    }
    ((occurred_at,),) = drained.ask_clickhouse(
        "SELECT toUnixTimestamp64Micro(occurred_at) FROM bet_events WHERE bet_id = {id:UUID}",
        {"id": bet["betId"]},
    )
    assert event == {
        "eventId": str(UUID(event["eventId"])),
        "eventType": "bet.placed",
        "version": 1,
        "occurredAt": event["occurredAt"],
        "betId": bet["betId"],
        "userId": user,
        "gameId": GAME,
        "amount": "10.50",
        "betType": "exact_score",
        "betValue": "2-1 \U0001f3c0",
        "odds": "2.50",
        "potentialWin": "26.25",
        "transactionId": bet["transactionId"],
        "newBalance": "9.50",
    }
    assert drained.row(
        "SELECT (extract(epoch FROM created_at) * 1000000)::bigint FROM bets WHERE id = %s",
        [bet["betId"]],
    ) == (occurred_at,)
    wait_until(
        lambda: (
            request_id in drained.stack.log("functions/PlaceBet")
            and request_id in drained.stack.log("functions/SinkBetEvents")
        ),
        BACK_TIMEOUT_S,
        "the request id is in the logs of both functions",
    )


def test_what_was_bet_right_before_a_stop_is_there_after_the_next_start(
    drained: Platform,
) -> None:
    bet_ids = place(drained, 30)

    drained.restart()

    drained.wait_until_drained()
    assert in_clickhouse(drained, bet_ids) == 30


def test_bets_go_on_while_the_broker_is_away(drained: Platform) -> None:
    supervisorctl(drained.stack, "stop", "kafka")
    bet_ids = place(drained, 20)
    health = drained.http.get("/api/health")
    waiting = drained.row("SELECT count(*) FROM outbox")
    supervisorctl(drained.stack, "start", "kafka")

    assert health.status_code == 200
    assert health.json()["status"] == "degraded"
    assert health.json()["services"]["kafka"] == "unhealthy"
    assert waiting == (20,)
    drained.wait_until_drained()
    assert in_clickhouse(drained, bet_ids) == 20


def test_a_killed_broker_comes_back_and_everything_arrives(drained: Platform) -> None:
    before = drained.stack.status()["parts"]["kafka"]

    os.kill(before["pid"], signal.SIGKILL)
    bet_ids = place(drained, 20)

    wait_until_healthy(drained.stack)
    bet_ids += place(drained, 20)
    drained.wait_until_drained()
    assert in_clickhouse(drained, bet_ids) == 40
    assert drained.stack.status()["parts"]["kafka"]["restarts"] == before["restarts"] + 1


def test_bets_go_on_while_clickhouse_does_not_answer(drained: Platform) -> None:
    pid = drained.stack.pid("clickhouse")
    os.kill(pid, signal.SIGSTOP)
    try:
        bet_ids = place(drained, 20)
        with ThreadPoolExecutor(3) as pool:
            paths = ("/api/health", "/api/analytics/bets", "/metrics")
            health, analytics, metrics = pool.map(drained.http.get, paths)
    finally:
        os.kill(pid, signal.SIGCONT)

    check(health, "GET", "/api/health")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert health.json()["services"]["clickhouse"] == "unhealthy"
    check(analytics, "GET", "/api/analytics/bets")
    assert analytics.status_code == 503
    assert analytics.json()["code"] == "clickhouse_unavailable"
    assert int(analytics.headers["Retry-After"]) >= 1
    assert 'betting_store_up{store="clickhouse"} 0' in metrics.text
    drained.wait_until_drained()
    assert in_clickhouse(drained, bet_ids) == 20


@pytest.mark.parametrize("part", ["clickhouse", "event-sources"])
def test_what_is_killed_in_the_middle_counts_every_bet_once(drained: Platform, part: str) -> None:
    pid = drained.stack.pid(part)
    before = drained.arrived()
    with ThreadPoolExecutor(1) as background:
        bets = background.submit(place, drained, 300, threads=2)
        wait_until(lambda: drained.arrived() > before, BACK_TIMEOUT_S, "bets arrive")
        os.kill(pid, signal.SIGKILL)
        bet_ids = bets.result()

    wait_until_healthy(drained.stack)
    drained.wait_until_drained()

    assert in_clickhouse(drained, bet_ids) == 300
    assert drained.stack.pid(part) != pid


def test_a_customer_who_repeats_outlives_all_hosts(drained: Platform) -> None:
    user = drained.new_user("30.00")
    parts = drained.stack.status()["parts"]
    pids = [part["pid"] for name, part in parts.items() if name.startswith("host-")]
    answers: list[httpx.Response] = []

    def bet_until_answered(key: str) -> httpx.Response:
        def answered() -> bool:
            try:
                answers.append(drained.bet(user, "1.00", key))
            except httpx.TransportError:
                return False
            assert answers[-1].status_code in (200, 429, 503), answers[-1].text
            if answers[-1].status_code != 200:
                assert answers[-1].headers["Content-Type"] == "application/problem+json"
                assert int(answers[-1].headers["Retry-After"]) >= 1
            return answers[-1].status_code == 200

        wait_until(answered, BACK_TIMEOUT_S, "the bet is acknowledged", interval_s=0.1)
        return answers[-1]

    with ThreadPoolExecutor(3) as pool:
        bets = [pool.submit(bet_until_answered, str(uuid4())) for _ in range(30)]
        wait_until(lambda: len(answers) > 5, BACK_TIMEOUT_S, "some bets are placed")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for bet in bets:
            bet.result()

    assert drained.balance(user) == Decimal("0.00")
    assert drained.row("SELECT count(*) FROM bets WHERE user_id = %s", [user]) == (30,)


def test_hosts_share_the_bets_and_their_counters_are_summed(drained: Platform) -> None:
    def counted() -> float:
        said = drained.http.get("/metrics").text
        found = re.search(
            r'^lambda_invocations_total\{function="PlaceBet"\} (\S+)$', said, re.MULTILINE
        )
        assert found is not None
        return float(found[1])

    def taken() -> list[int]:
        """What the environments of each host have taken since it started."""
        return [
            sum(environment["invocations"] for environment in _environments(drained, host))
            for host in HOSTS
        ]

    counted_before, taken_before = counted(), taken()
    place(drained, 100)
    grown = [after - before for before, after in zip(taken_before, taken(), strict=True)]

    assert all(grown)
    assert sum(grown) == counted() - counted_before == 100


def test_one_relay_runs_at_a_time_whatever_the_number_of_hosts(drained: Platform) -> None:
    def relay(host: int) -> dict[str, Any]:
        url = f"{_host_url(drained, host)}/2015-03-31/functions/RelayOutbox/invocations"
        answers: list[httpx.Response] = []

        def taken() -> bool:  # each host runs one RelayOutbox at a time, and the schedule has it
            answers.append(httpx.post(url, json={}, trust_env=False, timeout=60))
            return answers[-1].status_code == 200

        wait_until(taken, BACK_TIMEOUT_S, f"host {host} runs the relay")
        report: dict[str, Any] = answers[-1].json()
        return report

    with drained.relay_stopped():
        bet_ids = place(drained, 20)
        reports = [relay(host) for host in HOSTS]
        waiting = drained.row("SELECT count(*) FROM outbox")

    assert [(report["relayed"], report["busy"]) for report in reports] == [(0, True)] * 2
    assert waiting == (20,)
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(relay, HOSTS * 10))
    assert sum(report["relayed"] for report in reports) <= 20  # the schedule's runs did the rest
    records = published(drained.stack, bet_ids)
    assert sorted(map(_bet_id, records)) == sorted(bet_ids)


def _host_url(platform: Platform, host: int) -> str:
    """The Lambda API of host 1 or 2 itself, without Nginx."""
    return f"http://127.0.0.1:{platform.stack.ports['hosts'] + 2 * host - 1}"


def _environments(platform: Platform, host: int) -> list[dict[str, Any]]:
    status = httpx.get(f"{_host_url(platform, host)}/_local_stack/status", trust_env=False).json()
    environments: list[dict[str, Any]] = status["functions"]["PlaceBet"]["environments"]
    return environments
