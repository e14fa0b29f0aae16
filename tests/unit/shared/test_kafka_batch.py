"""A Kafka function sorts its records: processed, skipped, or buried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared import kafka
from shared.errors import ClickHouseUnavailable, KafkaUnavailable, PoisonRecord
from shared.kafka_batch import kafka_handler
from tests.fakes.broker import FakeBroker
from tests.support.aws_events import FakeContext
from tests.support.events import event_of, kafka_event, kafka_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.clock import Deadline


class Sink:
    """Remembers what it was told to process, and when it had to be done."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.batches: list[list[str]] = []
        self.remaining_s = 0.0
        self._failure = failure

    def __call__(self, values: Sequence[str], deadline: Deadline) -> None:
        self.batches.append(list(values))
        self.remaining_s = deadline.remaining_s()
        if self._failure is not None:
            raise self._failure


def decode(value: bytes | None) -> str | None:
    if value is None or value == b"skip":
        return None
    if value.startswith(b"poison"):
        raise PoisonRecord("it is green")
    return value.decode()


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    fake = FakeBroker()
    monkeypatch.setattr(kafka, "publish", fake.publish)
    return fake


def invoke(sink: Sink, event: dict[str, Any], remaining_ms: int = 30_000) -> Any:
    handler = kafka_handler(sink, decode=decode)
    return handler(event, FakeContext(remaining_ms=remaining_ms))  # type: ignore[arg-type]


def test_a_batch_of_several_partitions_is_processed_at_once(broker: FakeBroker) -> None:
    sink = Sink()
    event = kafka_event(
        [
            kafka_record(b"a", partition=0, offset=7),
            kafka_record(b"b", partition=2, offset=3),
            kafka_record(b"c", partition=0, offset=8),
        ]
    )
    assert invoke(sink, event) == {"batchItemFailures": []}
    assert sink.batches == [["a", "c", "b"]]
    assert broker.calls == []


def test_tombstones_and_other_peoples_events_are_skipped(broker: FakeBroker) -> None:
    sink = Sink()
    bare = {"topic": "bet-events", "partition": 0, "offset": 1, "timestamp": 1}
    nulls = bare | {"key": None, "value": None, "headers": None}
    tombstone = kafka_record(None)
    event = kafka_event([tombstone, kafka_record(b"skip", key=None), bare, nulls])
    assert invoke(sink, event) == {"batchItemFailures": []}
    assert sink.batches == [[]]
    assert broker.calls == []


def test_poison_is_buried_as_it_came_with_the_reason_and_its_origin(broker: FakeBroker) -> None:
    sink = Sink()
    record = kafka_record(
        b"poison", partition=2, offset=41, key=b"u", headers={"request-id": "r", "topic": "lie"}
    )
    assert invoke(sink, kafka_event([kafka_record(b"good"), record])) == {"batchItemFailures": []}
    assert sink.batches == [["good"]]
    (letter,) = broker.records
    assert (letter.topic, letter.key, letter.value) == ("bet-events.dead-letter", b"u", b"poison")
    assert letter.headers == [
        ("reason", b"it is green"),
        ("topic", b"bet-events"),
        ("partition", b"2"),
        ("offset", b"41"),
        ("request-id", b"r"),
    ]


def test_a_failed_batch_buries_nothing_and_comes_again(broker: FakeBroker) -> None:
    with pytest.raises(ClickHouseUnavailable):
        invoke(Sink(ClickHouseUnavailable()), event_of([b"good", b"poison"]))
    assert broker.calls == []


def test_a_batch_whose_poison_cannot_be_buried_comes_again(
    broker: FakeBroker,
) -> None:
    broker.acknowledges = 1
    with pytest.raises(KafkaUnavailable):
        invoke(Sink(), event_of([b"poison 1", b"poison 2"]))


def test_much_poison_is_buried_in_pieces_that_fit(broker: FakeBroker) -> None:
    poison = [b"poison" + b"x" * 400_000 for _ in range(3)] + [b"poison" + b"x" * 900_000]
    invoke(Sink(), event_of(poison))
    assert [len(call) for call in broker.calls] == [1, 1, 1, 1]
    assert [record.value for record in broker.records] == poison


def test_a_batch_without_records_is_harmless(broker: FakeBroker) -> None:
    sink = Sink()
    assert invoke(sink, kafka_event([])) == {"batchItemFailures": []}
    assert sink.batches == [[]]


def test_processing_is_told_to_end_before_the_invocation_does(broker: FakeBroker) -> None:
    sink = Sink()
    invoke(sink, event_of([b"a"]), remaining_ms=12_000)
    assert 6.0 < sink.remaining_s <= 7.0


def test_one_line_tells_what_came_and_whose_requests_caused_it(
    broker: FakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    records = [
        kafka_record(b"a", offset=number, headers={"request-id": f"r{number}"})
        for number in range(9)
    ]
    invoke(Sink(), kafka_event(records))
    (line,) = [record for record in caplog.records if record.message == "records received"]
    told = vars(line)
    assert told["offsets"] == {"bet-events-0": [0, 8]}
    assert told["count"] == 9
    assert told["request_ids"] == ["r0", "r1", "r2", "r3", "r4"]
