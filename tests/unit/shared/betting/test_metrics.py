"""Metrics as Prometheus reads them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.betting.metrics import Sample, render


def parsed(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_reads_what_is_rendered() -> None:
    text = render(
        [
            Sample("betting_store_up", 1, (("store", "kafka"),)),
            Sample("betting_stakes_eur_total", Decimal("123.40")),
            Sample("betting_store_up", 0, (("store", "clickhouse"),)),
        ]
    )
    assert parsed(text) == {
        ("betting_store_up", (("store", "kafka"),)): 1,
        ("betting_store_up", (("store", "clickhouse"),)): 0,
        ("betting_stakes_eur_total", ()): 123.4,
    }
    assert text.count("# TYPE betting_store_up gauge") == 1
    assert "betting_stakes_eur_total 123.40\n" in text


def test_labels_are_escaped() -> None:
    name = 'a "quoted" \\ back\nslash'
    text = render([Sample("betting_pool_connections", 3, (("function", name),))])
    assert parsed(text) == {("betting_pool_connections", (("function", name),)): 3}


def test_a_metric_without_a_meaning_is_a_defect() -> None:
    with pytest.raises(AssertionError):
        render([Sample("betting_secrets", 1)])
