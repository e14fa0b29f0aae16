"""A broker that remembers what it was given, and refuses when told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import KafkaUnavailable
from shared.kafka import Published, Record

if TYPE_CHECKING:
    from collections.abc import Sequence


class FakeBroker:
    """Stands in for `shared.kafka.publish`; acknowledges the first `acknowledges` of a call."""

    def __init__(self, acknowledges: int | None = None) -> None:
        self.calls: list[list[Record]] = []
        self.acknowledges = acknowledges

    @property
    def records(self) -> list[Record]:
        """Everything that was acknowledged, in order."""
        limit = self.acknowledges
        return [record for call in self.calls for record in call[:limit]]

    def publish(self, records: Sequence[Record]) -> Published:
        self.calls.append(list(records))
        count = len(records) if self.acknowledges is None else min(self.acknowledges, len(records))
        error = KafkaUnavailable() if count < len(records) else None
        return Published(list(range(count)), error)
