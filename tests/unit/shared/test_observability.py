"""Log lines are JSON and carry the request id; counts leave as one line of embedded metrics."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest

from shared import clock, observability, settings
from shared.observability import begin_invocation, count, end_invocation, invocation, logger
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _function(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "UnderTest")
    settings.forget_settings()
    for accessor in (observability.logger, observability._metrics, observability._emf_line):
        accessor.cache_clear()
    yield
    settings.forget_settings()
    for accessor in (observability.logger, observability._metrics, observability._emf_line):
        accessor.cache_clear()


def test_a_log_line_carries_service_and_request_id() -> None:
    written = io.StringIO()
    logger().addHandler(_copy_to(written))
    begin_invocation("r-7")
    logger().info("something happened", bet_id="b-1")
    line = json.loads(written.getvalue())
    assert line["message"] == "something happened"
    assert line["service"] == "UnderTest"
    assert line["correlation_id"] == "r-7"
    assert line["bet_id"] == "b-1"
    assert line["timestamp"].endswith("+00:00")


def test_counts_leave_as_one_line_of_embedded_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    with clock.use(FakeClock(wall=1_795_521_600.25)):
        begin_invocation('r-"{8}')
        count("BetsAccepted")
        count("BetsAccepted")
        count("Waited", 1.5, unit="Milliseconds")
        end_invocation()
    written = capsys.readouterr().out
    assert written.count("\n") == 1
    line = json.loads(written)
    assert line == {
        "_aws": {
            "Timestamp": 1_795_521_600_250,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Betting",
                    "Dimensions": [["service"]],
                    "Metrics": [
                        {"Name": "BetsAccepted", "Unit": "Count"},
                        {"Name": "Waited", "Unit": "Milliseconds"},
                    ],
                }
            ],
        },
        "service": "UnderTest",
        "request_id": 'r-"{8}',
        "BetsAccepted": [1, 1],
        "Waited": [1.5],
    }


def test_nothing_counted_is_nothing_written(capsys: pytest.CaptureFixture[str]) -> None:
    begin_invocation("r-9")
    end_invocation()
    assert capsys.readouterr().out == ""


def test_counts_do_not_leak_into_the_next_invocation(capsys: pytest.CaptureFixture[str]) -> None:
    count("A")
    end_invocation()
    count("B")
    end_invocation()
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert "A" in first
    assert "A" not in second


@pytest.mark.parametrize(("given", "kept"), [(100, 100), (101, 100), (250, 100)])
def test_a_metric_has_at_most_100_values_and_loses_none(
    given: int, kept: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(given):
        count("A")
    end_invocation()
    values = json.loads(capsys.readouterr().out)["A"]
    assert len(values) == kept
    assert sum(values) == given


def test_an_invocation_measures_itself_on_a_clock_that_never_jumps() -> None:
    fake = FakeClock()
    with clock.use(fake):
        begin_invocation("r-10")
        fake.monotonic += 0.0123456
        fake.wall -= 3_600
        assert invocation().elapsed_ms() == 12.346
        assert invocation().request_id == "r-10"


def _copy_to(stream: io.StringIO) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logger().registered_formatter)
    return handler
