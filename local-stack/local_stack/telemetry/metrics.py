"""Counters of one host, as Prometheus text, and the EMF metrics that functions print.

EMF: the CloudWatch embedded metric format specification. Every metric becomes two counters,
`<namespace>_<name>_sum` and `_count`, with the dimensions as labels.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

disable_created_metrics()  # type: ignore[no-untyped-call]
EMF_SERIES_MAX = 1000  # a dimension with unbounded values must not fill the host's memory
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_GREATEST = "_oldest_seconds"  # of several hosts the greatest: a sum of ages means nothing
_NOT_NAME = re.compile(r"[^a-zA-Z0-9_]+")
_SAMPLE = re.compile(r"^([^\s{]+(?:\{.*\})?)\s+(\S+)$")


class Metrics:
    """What one host counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.invocations = Counter(
            "lambda_invocations",
            "Invocations that an environment took",
            ["function"],
            registry=self.registry,
        )
        self.errors = Counter(
            "lambda_errors",
            "Invocations that ended in a function error",
            ["function"],
            registry=self.registry,
        )
        self.throttles = Counter(
            "lambda_throttles",
            "Invocations refused for lack of concurrency",
            ["function"],
            registry=self.registry,
        )
        self.cold_starts = Counter(
            "lambda_cold_starts",
            "Environments that became ready",
            ["function"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "lambda_duration_seconds",
            "From hand-over to answer",
            ["function"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.environments = Gauge(
            "lambda_environments",
            "Live execution environments",
            ["function"],
            registry=self.registry,
        )
        self.emf_refused = Counter(
            "lambda_emf_refused", "EMF lines that were not taken", registry=self.registry
        )
        self._emf: dict[tuple[str, tuple[tuple[str, str], ...]], list[float]] = {}

    def take_emf(self, line: bytes) -> None:
        """Add one EMF document; one that is malformed, or over the bound, is counted instead."""
        try:
            document = json.loads(line)
            for name, labels, values in _emf_samples(document):
                key = (name, labels)
                total = self._emf.get(key)
                if total is None:
                    if len(self._emf) >= EMF_SERIES_MAX:
                        self.emf_refused.inc()
                        continue
                    total = self._emf[key] = [0.0, 0.0]
                total[0] += sum(values)
                total[1] += len(values)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            self.emf_refused.inc()

    def text(self) -> str:
        """Everything, in Prometheus' text format."""
        lines = [generate_latest(self.registry).decode().rstrip("\n")]
        told = ""
        for (name, labels), (total, count) in sorted(self._emf.items()):
            if name != told:
                lines.append(f"# HELP {name} Embedded metric of functions")
                lines.append(f"# TYPE {name} summary")
                told = name
            shown = ",".join(f'{key}="{_escape(value)}"' for key, value in labels)
            suffix = f"{{{shown}}}" if shown else ""
            lines.append(f"{name}_sum{suffix} {total}")
            lines.append(f"{name}_count{suffix} {count}")
        return "\n".join(lines) + "\n"


def merge(texts: Iterable[str]) -> str:
    """Sum the samples of several hosts' texts.

    A family stays in one piece, its comments first, as the format asks: also when only the second
    host knows one of its label sets.
    """
    families: dict[str, dict[str, float | None]] = {}
    for text in texts:
        family = ""
        for line in text.splitlines():
            match = None if line.startswith("#") else _SAMPLE.match(line)
            if match is not None:
                name = match[1].partition("{")[0]
                if name.endswith("_created"):
                    continue
                family = _family(name, family)
                samples = families.setdefault(family, {})
                value, known = float(match[2]), samples.get(match[1]) or 0.0
                is_age = name.endswith(_GREATEST)
                samples[match[1]] = max(known, value) if is_age else known + value
            elif line:
                family = line.split()[2]  # "# HELP name …", "# TYPE name …"
                families.setdefault(family, {}).setdefault(line, None)
    return "".join(
        f"{line}\n" if value is None else f"{line} {value}\n"
        for samples in families.values()
        for line, value in samples.items()
    )


def _family(name: str, current: str) -> str:
    """The family of a sample: the one whose comments stand above, or its own."""
    if name.removeprefix(current) in ("", "_bucket", "_count", "_sum"):
        return current
    return name.removesuffix("_sum").removesuffix("_count")


def _emf_samples(
    document: Mapping[str, Any],
) -> Iterable[tuple[str, tuple[tuple[str, str], ...], list[float]]]:
    for directive in document["_aws"]["CloudWatchMetrics"]:
        namespace = directive["Namespace"]
        dimensions = directive["Dimensions"] or [[]]
        labels = tuple(
            (_NOT_NAME.sub("_", str(name)), str(document[name])) for name in sorted(dimensions[0])
        )
        for metric in directive["Metrics"]:
            value = document[metric["Name"]]
            values = value if isinstance(value, list) else [value]
            name = _NOT_NAME.sub("_", f"{namespace}_{metric['Name']}").lower()
            yield name, labels, [float(item) for item in values]


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
