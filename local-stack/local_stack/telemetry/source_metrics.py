"""What the event-source process counts, and how hosts come to show it at `/metrics`.

The process writes its metrics to a file of the run folder, as a whole and often; a host that is
asked for everything reads the files that are fresh. So the process needs no port, and any number
of hosts and event-source processes do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

if TYPE_CHECKING:
    from pathlib import Path

WRITE_EVERY_S = 1.0
STALE_S = 10.0  # a process that has not written for so long is gone
_PATTERN = "event-sources-*.prom"


class EventSourceMetrics:
    """Everything one event-source process counts."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"kafka_source_{name}", text, ["source", *labels], registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"kafka_source_{name}", text, ["source", *labels], registry=registry)

        self.batches = counter("batches", "Invocations with a batch, retries among them")
        self.records = counter("records", "Records handed to the function, repeats among them")
        self.retries = counter("retries", "Batches, or parts, put back to be tried again")
        self.bisects = counter("bisects", "Batches split after a failure")
        self.filtered = counter("filtered", "Records that FilterCriteria did not let through")
        self.dead_letters = counter("dead_letters", "Records sent to OnFailure", "condition")
        self.dropped = counter("dropped", "Records given up without a destination")
        self.age = gauge("batch_oldest_seconds", "Age of the oldest record of the last batch")
        self.oldest = gauge(
            "unsettled_oldest_seconds", "Age of the oldest record read and not settled"
        )
        self.lag = gauge("lag", "Records of the partition that are not settled", "partition")
        self.runs = Counter(
            "schedule_runs", "Runs of a schedule", ["schedule", "outcome"], registry=registry
        )

    def write(self, run_dir: Path, index: int) -> None:
        """Put everything where hosts find it."""
        path = run_dir / f"event-sources-{index}.prom"
        draft = path.with_suffix(".prom.new")
        draft.write_bytes(generate_latest(self.registry))
        draft.replace(path)


class SourceMetrics:
    """What one mapping counts. Safe to use from the mapping's threads and the event loop."""

    def __init__(self, metrics: EventSourceMetrics, source: str) -> None:
        self._all = metrics
        self._source = source
        self._dropped = metrics.dropped.labels(source)
        self._batches = metrics.batches.labels(source)
        self._records = metrics.records.labels(source)
        self._retries = metrics.retries.labels(source)
        self._bisects = metrics.bisects.labels(source)
        self._filtered = metrics.filtered.labels(source)
        self._age = metrics.age.labels(source)
        self._oldest = metrics.oldest.labels(source)

    def handed_over(self, records: int, age_ms: float) -> None:
        """A batch goes to the function; its oldest record is `age_ms` old."""
        self._batches.inc()
        self._records.inc(records)
        self._age.set(max(0.0, age_ms / 1000))

    def retried(self, *, bisected: bool) -> None:
        """A piece of a batch will be tried again, in one or in two."""
        self._retries.inc()
        if bisected:
            self._bisects.inc()

    def filtered(self, records: int) -> None:
        """Records were kept from the function by its filters."""
        self._filtered.inc(records)

    def buried(self, records: int, condition: str) -> None:
        """Records were written to the on-failure topic."""
        self._all.dead_letters.labels(self._source, condition).inc(records)

    def dropped(self, records: int) -> None:
        """Records were given up, and there is nowhere to write them."""
        self._dropped.inc(records)

    def looked(self, oldest_ms: float | None) -> None:
        """The oldest record that was read and is not settled is so old; None: there is none."""
        self._oldest.set(0.0 if oldest_ms is None else max(0.0, oldest_ms / 1000))

    def lag(self, partition: int, records: int | None) -> None:
        """So many records of a partition are not settled; None: it is somebody else's now."""
        if records is not None:
            self._all.lag.labels(self._source, str(partition)).set(records)
        else:
            self._all.lag.remove_by_labels({"source": self._source, "partition": str(partition)})


def read_metrics(run_dir: Path, epoch_s: float) -> list[str]:
    """The texts of the event-source processes that are alive at `epoch_s`."""
    texts = []
    for path in sorted(run_dir.glob(_PATTERN)):
        try:
            if epoch_s - path.stat().st_mtime <= STALE_S:
                texts.append(path.read_text())
        except OSError:  # it goes away with its process
            continue
    return texts
