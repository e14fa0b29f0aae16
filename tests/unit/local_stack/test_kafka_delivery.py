"""From a batch to its outcome: who is invoked, what is buried, what is tried again."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from local_stack import clock
from local_stack.errors import RuntimeFailed
from local_stack.kafka_writer import RecordTooLarge
from local_stack.model import Destination, KafkaSource
from local_stack.telemetry.source_metrics import (
    STALE_S,
    EventSourceMetrics,
    SourceMetrics,
    read_metrics,
)
from local_stack.triggers.client import Answer, InvokeFailed
from local_stack.triggers.kafka.batch import Batch
from local_stack.triggers.kafka.delivery import EVENT_BYTES_MAX, Delivery
from local_stack.triggers.kafka.retry import Condition, Piece
from tests.support.golden import golden
from tests.support.kafka_records import a_record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

NOW = datetime(2026, 3, 9, 7, 5, 2, 500_000, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
CLUSTER = "arn:aws:kafka:us-east-1:000000000000:cluster/c/1"


@pytest.fixture(autouse=True)
def a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setattr(clock, "epoch_ms", lambda: NOW_MS)


class Topics:
    """Stands for the cluster: keeps what is written, or refuses it."""

    def __init__(self) -> None:
        self.written: list[tuple[str, bytes | None, dict[str, Any]]] = []
        self.refuse: Callable[[bytes], Exception | None] = lambda value: None

    async def send(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        if (error := self.refuse(value)) is not None:
            raise error
        self.written.append((topic, key, json.loads(value)))

    @property
    def offsets(self) -> list[str]:
        return [m["KafkaBatchInfo"]["recordInfo"]["offset"] for _, _, m in self.written]


class World:
    """One mapping's delivery, a function, and a cluster."""

    def __init__(self, **fields: Any) -> None:
        fields.setdefault("on_failure", Destination("kafka", "dead"))
        self.topics = Topics()
        self.events: list[dict[str, Any]] = []
        self.function: Callable[[], Answer] = lambda: Answer(b"null", "request-1")
        self.metrics = EventSourceMetrics()
        self.source = KafkaSource("Source", "Sink", "orders", ("b-1:1", "b-2:2"), "g", **fields)
        writer = self.topics if self.source.on_failure else None
        self.delivery = Delivery(
            self.source, self._invoke, writer, SourceMetrics(self.metrics, "Source")
        )

    async def _invoke(self, function: str, payload: bytes) -> Answer:
        assert function == "Sink"
        self.events.append(json.loads(payload))
        return self.function()

    def deliver(self, *pieces: Piece) -> Mapping[int, tuple[Piece, ...]]:
        return asyncio.run(self.delivery.deliver(Batch(pieces)))

    def fails(self, *, function_error: bool = True, status: int | None = 200) -> None:
        def fail() -> Answer:
            message = "ValueError: no"
            raise InvokeFailed(
                message, function_error=function_error, status=status, request_id="request-9"
            )

        self.function = fail

    def seen(self) -> list[list[int]]:
        return [
            [record["offset"] for records in event["records"].values() for record in records]
            for event in self.events
        ]

    def count(self, name: str, **labels: str) -> float:
        labels = {"source": "Source", **labels}
        value = self.metrics.registry.get_sample_value(f"kafka_source_{name}", labels)
        return 0.0 if value is None else value


def _piece(*offsets: int, partition: int = 0, **fields: Any) -> Piece:
    records = tuple(
        a_record(partition, offset, key=b"k", timestamp=NOW_MS - 1000) for offset in offsets
    )
    return Piece(partition, records, **fields)


def test_a_batch_that_works_leaves_nothing() -> None:
    world = World()

    assert world.deliver(_piece(1, 2), _piece(7, partition=1)) == {}

    assert world.seen() == [[1, 2, 7]]
    assert world.count("batches_total") == 1
    assert world.count("records_total") == 3
    assert world.count("batch_oldest_seconds") == 1.0


def test_of_a_failed_batch_every_partition_is_tried_again_by_itself() -> None:
    world = World()
    world.fails()

    left = world.deliver(_piece(1, 2), _piece(7, partition=1))

    assert {n: [[r.offset for r in p.records] for p in ps] for n, ps in left.items()} == {
        0: [[1, 2]],
        1: [[7]],
    }
    assert world.topics.written == []
    assert world.count("retries_total") == 2


def test_what_is_given_up_is_written_record_by_record_with_its_key() -> None:
    world = World(retries_max=0)
    world.fails()

    assert world.deliver(_piece(1, 2)) == {}

    assert [(topic, key) for topic, key, _ in world.topics.written] == [("dead", b"k")] * 2
    assert world.topics.offsets == ["1", "2"]
    assert world.count("dead_letters_total", condition="RetriesExhausted") == 2


def test_a_dead_letter_is_the_one_of_the_guide() -> None:
    world = World(retries_max=0, kind="msk", source_arn=CLUSTER)
    world.fails()

    world.deliver(Piece(0, (a_record(0, 100, key=b"test-key", timestamp=1_749_116_692_330),)))

    [(_, _, message)] = world.topics.written
    assert message == golden("kafka_dead_letter.json")


def test_where_dead_letters_cannot_be_written_the_batch_waits_and_is_not_invoked_again() -> None:
    world = World(retries_max=0)
    world.fails()
    world.topics.refuse = lambda value: RuntimeFailed("the brokers are away")

    left = world.deliver(_piece(1, 2))
    [waiting] = left[0]
    assert waiting.given_up == Condition.RETRIES
    assert world.deliver(waiting) == {0: (waiting,)}

    world.topics.refuse = lambda value: None
    assert world.deliver(waiting) == {}
    assert len(world.events) == 1
    assert world.topics.offsets == ["1", "2"]
    assert world.topics.written[0][2]["requestContext"]["requestId"] == "request-9"


def test_without_a_destination_what_is_given_up_is_dropped_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(retries_max=0, on_failure=None)
    world.fails()

    assert world.deliver(_piece(1, 2)) == {}

    assert world.count("dropped_total") == 2
    assert (
        "Source: 2 records of partition 0 from offset 1 were dropped: RetriesExhausted"
        in caplog.messages
    )


@pytest.mark.parametrize("status", [None, 429, 500, 503])
def test_a_function_that_is_not_reached_uses_up_no_retry(status: int | None) -> None:
    world = World(retries_max=0)
    world.fails(function_error=False, status=status)
    piece = _piece(1, 2)

    assert world.deliver(piece) == {0: (piece,)}


def test_a_defect_of_what_invokes_uses_up_no_retry() -> None:
    world = World(retries_max=0)

    def fail() -> Answer:
        raise ZeroDivisionError

    world.function = fail
    piece = _piece(1)

    assert world.deliver(piece) == {0: (piece,)}


def test_records_past_their_age_are_buried_and_the_others_go_on() -> None:
    world = World(record_age_s_max=60)
    old = a_record(0, 1, timestamp=NOW_MS - 60_001)
    young = a_record(0, 2, timestamp=NOW_MS - 60_000)

    assert world.deliver(Piece(0, (old, young))) == {}

    assert world.seen() == [[2]]
    [(_, _, message)] = world.topics.written
    assert message["requestContext"]["condition"] == "RecordAgeExceeded"
    assert message["responseContext"] is None
    assert message["KafkaBatchInfo"]["recordInfo"]["offset"] == "1"


def test_a_batch_past_its_age_is_not_invoked_at_all() -> None:
    world = World(record_age_s_max=60)
    old = a_record(0, 1, timestamp=0)

    assert world.deliver(Piece(0, (old,), attempt=3)) == {}
    assert world.events == []
    assert world.topics.offsets == ["1"]


def test_where_old_records_cannot_be_buried_their_partition_waits_and_others_go_on() -> None:
    world = World(record_age_s_max=60)
    world.topics.refuse = lambda value: RuntimeFailed("the brokers are away")
    stuck = Piece(0, (a_record(0, 1, timestamp=0), a_record(0, 2, timestamp=NOW_MS)))

    assert world.deliver(stuck, _piece(7, partition=1)) == {0: (stuck,)}
    assert world.seen() == [[7]]


def test_a_record_too_large_for_lambda_goes_to_the_destination_and_not_to_the_function() -> None:
    world = World()
    large = a_record(0, 1, value=b"x" * EVENT_BYTES_MAX, timestamp=NOW_MS)
    world.topics.refuse = lambda value: RecordTooLarge("no") if len(value) > 10**6 else None

    assert world.deliver(Piece(0, (large,))) == {}

    assert world.events == []
    [(_, _, message)] = world.topics.written
    assert message["requestContext"]["condition"] == "MaximumPayloadSizeExceeded"
    assert message["responseContext"] is None
    assert "payload" not in message, "no broker takes it twice; it is still where it was"
    assert message["KafkaBatchInfo"]["recordInfo"]["offset"] == "1"


def test_a_batch_that_the_lambda_api_finds_too_large_is_split() -> None:
    world = World(retries_max=0)
    world.fails(function_error=False, status=413)

    left = world.deliver(_piece(1, 2, 3))

    assert [[r.offset for r in p.records] for p in left[0]] == [[1], [2, 3]]
    assert world.count("bisects_total") == 1


def test_what_the_function_reports_counts_where_the_mapping_says_so() -> None:
    report = json.dumps(
        {"batchItemFailures": [{"itemIdentifier": {"partition": "orders-0", "offset": 2}}]}
    ).encode()
    for reports, expected in ((True, {0: [[2, 3]]}), (False, {})):
        world = World(report_batch_item_failures=reports)
        world.function = lambda: Answer(report, "request-1")

        left = world.deliver(_piece(1, 2, 3), _piece(7, partition=1))

        shown = {n: [[r.offset for r in p.records] for p in ps] for n, ps in left.items()}
        assert shown == expected


def test_a_reported_record_that_is_given_up_names_no_function_error() -> None:
    report = json.dumps(
        {"batchItemFailures": [{"itemIdentifier": {"partition": "orders-0", "offset": 2}}]}
    ).encode()
    world = World(report_batch_item_failures=True, retries_max=0)
    world.function = lambda: Answer(report, "request-1")

    assert world.deliver(_piece(1, 2)) == {}

    [(_, _, message)] = world.topics.written
    assert message["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    assert message["requestContext"]["requestId"] == "request-1"


# --- metrics ---------------------------------------------------------------------------------


def test_hosts_read_what_processes_wrote_lately(tmp_path: Path) -> None:
    metrics = EventSourceMetrics()
    counted = SourceMetrics(metrics, "Source")
    counted.filtered(3)
    counted.lag(0, 7)
    counted.lag(1, 2)
    counted.lag(1, None)
    counted.lag(5, None)
    counted.looked(None)
    metrics.runs.labels("tick", "done").inc()

    metrics.write(tmp_path, 1)
    metrics.write(tmp_path, 2)

    written = (tmp_path / "event-sources-1.prom").stat().st_mtime
    texts = read_metrics(tmp_path, written + STALE_S - 1)
    assert len(texts) == 2
    assert 'kafka_source_filtered_total{source="Source"} 3.0' in texts[0]
    assert 'kafka_source_lag{partition="0",source="Source"} 7.0' in texts[0]
    assert 'partition="1"' not in texts[0]
    assert 'schedule_runs_total{outcome="done",schedule="tick"} 1.0' in texts[0]
    assert read_metrics(tmp_path, written + STALE_S + 1) == []
    assert read_metrics(tmp_path / "nowhere", written) == []
