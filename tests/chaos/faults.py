"""What is done to a stack: parts killed, stopped for a while, batches repeated and shuffled.

A fault returns the moment (monotonic) at which it was over; what comes back by itself comes later.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import signal
import threading
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
from kafka import KafkaConsumer

from tests.support.wait import wait_until

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.support.stack import StackUnderTest

STOPPED_S = 5.0
REPEATED = 2_000
BACK_S = 60


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault with a name for the table."""

    name: str
    inflict: Callable[[StackUnderTest, random.Random], None]


def kill_part(name: str) -> Fault:
    """`kill -9` of a part; the process manager starts it again."""

    def inflict(stack: StackUnderTest, _: random.Random) -> None:
        pid = stack.pid(name)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: _is_back(stack, name, pid), BACK_S, f"{name} is back")

    return Fault(f"kill -9 {name}", inflict)


def stop_part(name: str, stopped_s: float = STOPPED_S) -> Fault:
    """SIGSTOP of a part with everything it started, for some seconds."""

    def inflict(stack: StackUnderTest, _: random.Random) -> None:
        parent = psutil.Process(stack.pid(name))
        family = [parent, *parent.children(recursive=True)]
        for process in family:
            _signal(process, signal.SIGSTOP)
        threading.Event().wait(stopped_s)
        for process in reversed(family):
            _signal(process, signal.SIGCONT)

    return Fault(f"SIGSTOP {name} {stopped_s:g} s", inflict)


def kill_environment(function: str) -> Fault:
    """`kill -9` of every environment of a function, whatever it is doing."""

    def inflict(stack: StackUnderTest, _: random.Random) -> None:
        status = json.loads(
            _ask(f"http://127.0.0.1:{stack.ports['hosts'] + 1}/_local_stack/status")
        )
        for environment in status["functions"][function]["environments"]:
            _signal(psutil.Process(environment["pid"]), signal.SIGKILL)

    return Fault(f"kill -9 {function}", inflict)


def kill_manager(stack: StackUnderTest, _: random.Random) -> None:
    """`kill -9` of the process manager: everything dies with it, and somebody runs `up` again."""
    os.kill(stack.pid("supervisord"), signal.SIGKILL)
    stack.cli("up")


def repeat_deliveries(stack: StackUnderTest, chance: random.Random) -> None:
    """Batches that the sink has had already come again, cut and shuffled, from somebody else."""
    consumer = KafkaConsumer(
        "bet-events",
        bootstrap_servers=stack.kafka,
        auto_offset_reset="earliest",
        consumer_timeout_ms=2_000,
    )
    try:
        records = list(itertools.islice(consumer, REPEATED))  # it would not end under load
    finally:
        consumer.close()
    for _ in range(5):
        batch = chance.sample(records, min(len(records), 400))
        _deliver(stack, batch)


def _deliver(stack: StackUnderTest, records: list[Any]) -> None:
    by_partition: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        by_partition.setdefault(f"{record.topic}-{record.partition}", []).append(
            {
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "timestamp": record.timestamp,
                "timestampType": "CREATE_TIME",
                "key": base64.b64encode(record.key).decode(),
                "value": base64.b64encode(record.value).decode(),
                "headers": [{name: list(value)} for name, value in record.headers],
            }
        )
    event = {
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": stack.kafka,
        "records": by_partition,
    }
    request = urllib.request.Request(
        f"{stack.lambda_url}/2015-03-31/functions/SinkBetEvents/invocations",
        data=json.dumps(event).encode(),
    )
    assert json.loads(_ask(request)) == {"batchItemFailures": []}


def _ask(request: str | urllib.request.Request) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        body: bytes = answer.read()
    return body


def _is_back(stack: StackUnderTest, name: str, old_pid: int) -> bool:
    part = stack.status()["parts"].get(name, {})
    return part.get("state") == "ready" and part["pid"] not in (0, old_pid)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended by itself
        process.send_signal(number)


PARTS = ("postgres", "kafka", "clickhouse", "host-1", "event-sources", "nginx")
FAULTS = (
    *(kill_part(name) for name in PARTS),
    *(stop_part(name) for name in PARTS),
    kill_environment("PlaceBet"),
    kill_environment("SinkBetEvents"),
    kill_environment("RelayOutbox"),
    Fault("kill -9 process manager", kill_manager),
    Fault("deliveries repeated and shuffled", repeat_deliveries),
)
