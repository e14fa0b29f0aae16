"""Batches that tests deliver: records as they are written, and what the answer settles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local_stack.errors import InvalidParameter
from local_stack.harness.answers import Delivery, KafkaRecord, encode
from local_stack.harness.deliveries import RECORDS_MAX, Run, read_records
from local_stack.model import KafkaSource
from local_stack.triggers.kafka.retry import Condition, Outcome, Response

if TYPE_CHECKING:
    from local_stack.triggers.kafka.event import Record


def records(*given: object) -> list[Record]:
    return read_records([encode(record) for record in given], "orders", 1000)


def test_a_record_may_be_bytes_a_text_or_anything_that_json_knows() -> None:
    found = records(b"\x00\xff", "text", {"id": 1}, KafkaRecord(None, key=b"k"))

    assert [record.value for record in found] == [b"\x00\xff", b"text", b'{"id": 1}', None]
    assert [record.key for record in found] == [None, None, None, b"k"]


def test_offsets_follow_each_other_in_each_partition() -> None:
    found = records(
        KafkaRecord(b"a", partition=1, offset=7), "b", KafkaRecord(b"c", partition=1), "d"
    )

    assert [(record.partition, record.offset) for record in found] == [
        (1, 7),
        (0, 0),
        (1, 8),
        (0, 1),
    ]


def test_headers_and_the_time_arrive() -> None:
    [first, second] = records(KafkaRecord(b"", headers={"trace": b"\x01"}, timestamp=5), "")

    assert list(first.headers) == [("trace", b"\x01")]
    assert (first.timestamp, second.timestamp) == (5, 1000)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], "a list of 1 to"),
        (None, "a list of 1 to"),
        ([{}] * (RECORDS_MAX + 1), "a list of 1 to"),
        (["text"], r"records\[0\]"),
        ([{"value": "no base64!"}], r"records\[0\]: .* is not base64"),
        ([{}, {"offset": "x"}], r"records\[1\]"),
    ],
)
def test_what_is_no_batch_is_refused_by_place(items: object, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        read_records(items, "orders", 0)


def run(*given: object, **source: object) -> Run:
    made = KafkaSource("M", "Ship", "orders", ("b:1",), "g", **source)  # type: ignore[arg-type]
    return Run(made, records(*given))


def offsets(batch: list[Record]) -> list[tuple[int, int]]:
    return [(record.partition, record.offset) for record in batch]


ANSWERED = Response("an-id", None)
RAISED = Outcome(None, Response("an-id", "Unhandled"))


def test_a_batch_that_went_well_is_read_no_more() -> None:
    batch = run("a", "b")

    assert offsets(batch.next_batch(0)) == [(0, 0), (0, 1)]
    batch.settle(Outcome({}, ANSWERED))

    assert batch.next_batch(0) == []
    assert batch.partitions() == {
        "orders-0": {"checkpoint": 2, "done": [0, 1], "again": [], "dead": [], "filtered": []}
    }


def test_a_batch_that_failed_comes_again_partition_by_partition() -> None:
    batch = run(KafkaRecord(b"a", offset=5), "b", KafkaRecord(b"c", partition=1))
    batch.next_batch(0)
    batch.settle(RAISED)

    shown = batch.partitions()
    assert (shown["orders-0"]["checkpoint"], shown["orders-0"]["again"]) == (5, [5, 6])
    assert offsets(batch.next_batch(0)) == [(0, 5), (0, 6)]
    batch.settle(Outcome({}, ANSWERED))
    assert offsets(batch.next_batch(0)) == [(1, 0)]


def test_the_lowest_failed_offset_is_the_checkpoint_of_its_partition() -> None:
    batch = run("a", "b", "c", KafkaRecord(b"d", partition=1))
    batch.next_batch(0)
    batch.settle(Outcome({0: 1}, ANSWERED))

    shown = batch.partitions()
    assert (shown["orders-0"]["checkpoint"], shown["orders-1"]["checkpoint"]) == (1, 1)
    assert (shown["orders-0"]["done"], shown["orders-0"]["again"]) == ([0], [1, 2])


def test_filtered_records_are_passed_over() -> None:
    batch = run("no", {"a": 1}, "no", filters=('{"value": {"a": [1]}, "offset": [1]}',))

    assert offsets(batch.next_batch(0)) == [(0, 1)]
    batch.settle(RAISED)
    shown = batch.partitions()["orders-0"]
    assert (shown["checkpoint"], shown["again"], shown["filtered"]) == (1, [1], [0, 2])
    batch.next_batch(0)
    batch.settle(Outcome({}, ANSWERED))
    assert batch.partitions()["orders-0"]["checkpoint"] == 3


def test_a_batch_is_halved_where_the_mapping_says_so_and_given_up_in_the_end() -> None:
    batch = run("a", "b", bisect_on_error=True, retries_max=0)

    seen = []
    while records_ := batch.next_batch(0):
        seen.append(offsets(records_))
        batch.settle(RAISED)

    assert seen == [[(0, 0), (0, 1)], [(0, 0)], [(0, 1)]]
    assert batch.partitions()["orders-0"]["dead"] == [0, 1]
    assert batch.partitions()["orders-0"]["checkpoint"] == 2
    assert {piece.given_up for piece in batch.buried} == {Condition.RETRIES}


def test_records_that_are_too_old_are_given_up_unseen() -> None:
    batch = run(
        KafkaRecord(b"old", timestamp=0), KafkaRecord(b"new", timestamp=90_000), record_age_s_max=60
    )

    assert offsets(batch.next_batch(100_000)) == [(0, 1)]
    batch.settle(Outcome({}, ANSWERED))
    assert batch.partitions()["orders-0"]["dead"] == [0]


def test_what_the_function_never_saw_costs_no_attempt() -> None:
    batch = run("a", retries_max=0)
    for _ in range(3):
        assert offsets(batch.next_batch(0)) == [(0, 0)]
        batch.settle(Outcome(None, counts=False))

    assert batch.partitions()["orders-0"]["again"] == [0]


def test_a_batch_is_no_larger_than_the_mapping_allows() -> None:
    run("a", "b", batch_size=2)
    with pytest.raises(InvalidParameter, match="3 records are more than the BatchSize 2 of M"):
        run("a", "b", "c", batch_size=2)


def test_a_delivery_reads_what_the_host_answers() -> None:
    batch = run("a", "b")
    batch.next_batch(0)
    batch.settle(Outcome({0: 1}, ANSWERED))
    answer = {
        "function": "Ship",
        "status": 200,
        "requestId": "an-id",
        "payload": "bnVsbA==",
        "error": None,
        "log": "",
        "event": '{"eventSource": "SelfManagedKafka"}',
        "calls": 1,
        "partitions": batch.partitions(),
    }

    delivery = Delivery.of(answer)

    assert (delivery.value, delivery.calls) == (None, 1)
    assert delivery.event == {"eventSource": "SelfManagedKafka"}
    assert delivery.checkpoints == {"orders-0": 1}
    assert (delivery.done, delivery.again) == ({"orders-0": [0]}, {"orders-0": [1]})
    assert not delivery.is_complete
