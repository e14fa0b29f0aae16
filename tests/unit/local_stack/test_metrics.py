"""Counters of a host, EMF documents of functions, and the sum over several hosts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
    AmazonCloudWatchEMFProvider,
)
from prometheus_client.parser import text_string_to_metric_families

from local_stack.telemetry.metrics import EMF_SERIES_MAX, Metrics, merge


def _emf(**fields: Any) -> bytes:
    document = {
        "_aws": {
            "Timestamp": 1,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Betting",
                    "Dimensions": [["service", "kind"]],
                    "Metrics": [{"Name": "BetsPlaced", "Unit": "Count"}, {"Name": "Stake-EUR"}],
                }
            ],
        },
        "service": "bets",
        "kind": "a",
        "BetsPlaced": 1,
        "Stake-EUR": [10.5, 2],
        **fields,
    }
    return json.dumps(document).encode()


def _samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What an official parser reads."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


LABELS = (("kind", "a"), ("service", "bets"))


def test_every_metric_becomes_a_sum_and_a_count_with_its_dimensions() -> None:
    metrics = Metrics()

    metrics.take_emf(_emf())
    metrics.take_emf(_emf(BetsPlaced=2))

    samples = _samples(metrics.text())
    assert samples["betting_betsplaced_sum", LABELS] == 3
    assert samples["betting_betsplaced_count", LABELS] == 2
    assert samples["betting_stake_eur_sum", LABELS] == 25
    assert samples["betting_stake_eur_count", LABELS] == 4


def test_a_document_of_powertools_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    provider = AmazonCloudWatchEMFProvider(namespace="Betting", service="bets")
    provider.add_metric(name="BetsPlaced", unit=MetricUnit.Count, value=1)
    provider.add_metric(name="BetsPlaced", unit=MetricUnit.Count, value=4)
    provider.flush_metrics()
    metrics = Metrics()

    metrics.take_emf(capsys.readouterr().out.encode())

    samples = _samples(metrics.text())
    assert samples["betting_betsplaced_sum", (("service", "bets"),)] == 5
    assert samples["betting_betsplaced_count", (("service", "bets"),)] == 2


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"1",
        b"{}",
        b'{"_aws": 1}',
        b'{"_aws": {"CloudWatchMetrics": [{}]}}',
        _emf(BetsPlaced="many"),
        b'{"_aws": {"CloudWatchMetrics": [{"Namespace": "N", "Dimensions": [],'
        b' "Metrics": [{"Name": "M"}]}]}, "M": ' + b"1" * 400 + b"}",  # no float holds it
        b'{"_aws": ' + b"[" * 3000 + b"]" * 3000 + b"}",
        _emf(BetsPlaced=None),
        b'{"_aws": {"CloudWatchMetrics": [{"Namespace": "N", "Dimensions": [["gone"]],'
        b' "Metrics": [{"Name": "M"}]}]}, "M": 1}',
    ],
)
def test_a_malformed_document_is_counted_and_harmless(line: bytes) -> None:
    metrics = Metrics()

    metrics.take_emf(line)

    assert _samples(metrics.text())["lambda_emf_refused_total", ()] == 1


def test_a_metric_without_dimensions_has_no_labels() -> None:
    metrics = Metrics()
    metrics.take_emf(
        b'{"_aws": {"CloudWatchMetrics": [{"Namespace": "N", "Dimensions": [],'
        b' "Metrics": [{"Name": "M"}]}]}, "M": 7}'
    )

    assert "\nn_m_sum 7.0\n" in metrics.text()


def test_a_dimension_with_ever_new_values_does_not_fill_the_memory() -> None:
    metrics = Metrics()
    for number in range(EMF_SERIES_MAX // 2 + 1):  # a document has two metrics
        metrics.take_emf(_emf(kind=str(number)))

    assert len(metrics._emf) == EMF_SERIES_MAX
    assert _samples(metrics.text())["lambda_emf_refused_total", ()] == 2
    metrics.take_emf(_emf(kind="0"))  # what is known is counted on
    assert _samples(metrics.text())["betting_betsplaced_sum", (("kind", "0"), LABELS[1])] == 2


def test_label_values_are_escaped() -> None:
    metrics = Metrics()
    value = 'a "b" \\ c\nd'
    metrics.take_emf(_emf(kind=value))

    assert ("betting_betsplaced_sum", (("kind", value), LABELS[1])) in _samples(metrics.text())


def test_the_text_of_several_hosts_is_their_sum() -> None:
    one, other = Metrics(), Metrics()
    one.invocations.labels("A").inc(2)
    one.duration.labels("A").observe(0.003)
    one.take_emf(_emf())
    other.invocations.labels("A").inc(3)
    other.invocations.labels("B").inc()
    other.duration.labels("A").observe(0.3)
    other.environments.labels("A").inc(4)

    text = merge([one.text(), other.text()])

    samples = _samples(text)
    assert samples["lambda_invocations_total", (("function", "A"),)] == 5
    assert samples["lambda_invocations_total", (("function", "B"),)] == 1
    assert samples["lambda_environments", (("function", "A"),)] == 4
    assert samples["lambda_duration_seconds_count", (("function", "A"),)] == 2
    assert samples["lambda_duration_seconds_sum", (("function", "A"),)] == pytest.approx(0.303)
    buckets = (("function", "A"), ("le", "0.005"))
    assert samples["lambda_duration_seconds_bucket", buckets] == 1
    assert samples["betting_betsplaced_sum", LABELS] == 1
    assert text.count("# TYPE lambda_invocations_total counter") == 1


def test_a_family_stays_in_one_piece_whichever_host_knows_a_label() -> None:
    one, other = Metrics(), Metrics()
    for metrics, function in ((one, "A"), (other, "B")):
        metrics.invocations.labels(function).inc()
        metrics.duration.labels(function).observe(0.1)
        metrics.take_emf(_emf(kind=function))

    text = merge([one.text(), other.text()])

    families = [family.name for family in text_string_to_metric_families(text)]
    assert len(families) == len(set(families))
    lines = text.splitlines()
    kinds = [line.partition("{")[0] for line in lines if "betsplaced" in line]
    first = lines.index(next(line for line in lines if "betsplaced" in line))
    assert kinds == [line.partition("{")[0] for line in lines[first : first + len(kinds)]]


def test_one_hosts_text_is_itself() -> None:
    metrics = Metrics()
    metrics.invocations.labels("A").inc()
    metrics.take_emf(_emf(kind="x y"))

    assert _samples(merge([metrics.text()])) == _samples(metrics.text())
