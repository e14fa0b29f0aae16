"""The Kafka event, what a function says of a batch, and how long to wait after a failure."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.triggers.kafka import source
from local_stack.triggers.kafka.event import build_event
from local_stack.triggers.kafka.outcome import failed_offsets
from local_stack.triggers.kafka.retry import BASE_S, DELAY_S_MAX, delay_s
from tests.support.golden import golden
from tests.support.kafka_records import a_record


def test_a_batch_becomes_the_golden_event() -> None:
    records = [
        a_record(
            offset=15,
            key=b"user-7",
            value=b'{"amount": "10.50"}',
            headers=[("content-type", b"app/j"), ("trace", b"\xff\x00")],
        ),
        a_record(2, 4, timestamp=1_545_084_650_989, value=b""),
        a_record(
            offset=16, key=b"user-7", value=None, timestamp=1_545_084_650_988, timestamp_type=1
        ),
    ]

    event = json.loads(build_event(records, ["b-1:9092", "b-2:9092"]))

    assert event == golden("kafka_self_managed.json")


def test_a_header_may_come_more_than_once() -> None:
    [record] = json.loads(build_event([a_record(headers=[("a", b"1"), ("a", b"2")])], ["b:1"]))[
        "records"
    ]["orders-0"]

    assert record["headers"] == [{"a": [49]}, {"a": [50]}]


def test_a_record_of_no_known_time_says_so() -> None:
    event = json.loads(build_event([a_record(timestamp_type=-1)], ["b:1"]))

    assert event["records"]["orders-0"][0]["timestampType"] == "NO_TIMESTAMP_TYPE"


@given(
    key=st.none() | st.binary(max_size=3000),
    value=st.none() | st.binary(max_size=3000),
    headers=st.lists(st.tuples(st.text("abc", max_size=20), st.binary(max_size=200)), max_size=5),
    offset=st.integers(0, 2**63 - 1),
)
def test_the_estimated_size_is_never_below_the_real_one(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]], offset: int
) -> None:
    record = a_record(offset=offset, key=key, value=value, headers=headers)
    frame = len(build_event([], ["b:1"])) + len('"orders-0":[]')

    assert len(build_event([record], ["b:1"])) - frame <= record.size


def test_the_event_of_msk_names_the_cluster() -> None:
    arn = "arn:aws:kafka:us-east-1:1:cluster/c/1"

    event = json.loads(build_event([a_record()], ["b-1:9", "b-2:9"], arn))

    assert (event["eventSource"], event["eventSourceArn"]) == ("aws:kafka", arn)
    assert event["bootstrapServers"] == "b-1:9,b-2:9"
    assert list(event["records"]) == ["orders-0"]


# --- what the function said ------------------------------------------------------------------

BATCH = [a_record(0, 15), a_record(0, 16), a_record(0, 17), a_record(2, 4), a_record(2, 5)]


def test_the_guides_first_spelling_of_an_identifier_is_taken_too() -> None:
    item = {"itemIdentifier": {"topic-partition": "orders-0", "offset": 16}}

    assert failed_offsets(json.dumps({"batchItemFailures": [item]}).encode(), BATCH) == {0: 16}


def _failures(*identifiers: tuple[str, int]) -> bytes:
    failures = [{"itemIdentifier": {"partition": p, "offset": o}} for p, o in identifiers]
    return json.dumps({"batchItemFailures": failures}).encode()


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b"{}",
        b'""',
        b"[]",
        b"0",
        b'"done"',
        b'{"batchItemFailures": []}',
        b'{"batchItemFailures": null}',
        b'{"other": 1}',
    ],
)
def test_nothing_reported_means_that_all_went_well(payload: bytes) -> None:
    assert failed_offsets(payload, BATCH) == {}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (_failures(("orders-0", 16)), {0: 16}),
        (_failures(("orders-0", 17), ("orders-0", 16)), {0: 16}),
        (_failures(("orders-0", 16), ("orders-0", 17)), {0: 16}),
        (_failures(("orders-2", 4), ("orders-0", 17)), {0: 17, 2: 4}),
        (_failures(("orders-2", 5), ("orders-2", 5)), {2: 5}),
    ],
)
def test_the_lowest_failed_offset_of_each_partition_counts(
    payload: bytes, expected: dict[int, int]
) -> None:
    assert failed_offsets(payload, BATCH) == expected


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b"",
        b'{"batchItemFailures": "all"}',
        b'{"batchItemFailures": {"a": 1}}',
        b'{"batchItemFailures": [{}]}',
        b'{"batchItemFailures": [null]}',
        b'{"batchItemFailures": [{"itemIdentifier": ""}]}',
        b'{"batchItemFailures": [{"itemIdentifier": null}]}',
        b'{"batchItemFailures": [{"itemIdentifier": {"partition": "orders-0"}}]}',
        b'{"batchItemFailures": [{"itemIdentifier": {"partition": "orders-0", "offset": "x"}}]}',
        b'{"batchItemFailures": [{"itemIdentifier": {"partition": "orders-0", "offset": 15.7}}]}',
        b'{"batchItemFailures": [{"itemIdentifier": {"partition": "orders-0", "offset": true}}]}',
        b'{"batchItemFailures": [{"itemIdentifier": {"partition": 0, "offset": 15}}]}',
        b'{"batchItemFailures": [{"itemIdentifier": "orders-0-15"}]}',
        b'{"batchItemFailures": ["orders-0-15"]}',
        _failures(("orders-1", 15)),
        _failures(("orders-0", 14)),
        _failures(("other-0", 15)),
        _failures(("", 15)),
        _failures(("orders-0", 15), ("orders-0", 99)),
    ],
)
def test_a_bad_identifier_means_that_the_whole_batch_failed(payload: bytes) -> None:
    assert failed_offsets(payload, BATCH) is None


# --- retries ---------------------------------------------------------------------------------


def test_delays_double_up_to_a_bound() -> None:
    assert [delay_s(attempt, 1.0) for attempt in range(1, 8)] == [
        pytest.approx(seconds) for seconds in (0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0)
    ]


@given(attempt=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_half_of_a_delay_is_certain(attempt: int, jitter: float) -> None:
    assert delay_s(attempt, 0.0) == pytest.approx(delay_s(attempt, 1.0) / 2)
    assert BASE_S / 2 <= delay_s(attempt, jitter) <= DELAY_S_MAX


def test_a_header_without_a_value_has_an_empty_one() -> None:
    raw = SimpleNamespace(
        topic="t",
        partition=0,
        offset=1,
        timestamp=2,
        timestamp_type=0,
        key=None,
        value=b"v",
        headers=[("trace", None), ("kind", b"k")],
    )

    assert list(source._record(raw).headers) == [("trace", b""), ("kind", b"k")]
