"""A Kafka event source mapping at work: its pollers, and the way from batches to outcomes."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from local_stack.kafka_writer import TopicWriter
from local_stack.telemetry.source_metrics import EventSourceMetrics, SourceMetrics
from local_stack.triggers.kafka.delivery import Delivery
from local_stack.triggers.kafka.source import KafkaPoller

if TYPE_CHECKING:
    from local_stack.model import KafkaSource
    from local_stack.triggers.kafka.delivery import InvokeFunction

_LOGGER = logging.getLogger(__name__)
# One consumer reads tens of thousands of records a second here; a thread each is what they cost.
POLLERS_MAX = 8


class KafkaMapping:
    """One mapping: `pollers_min` consumers of its group, and what they share.

    AWS starts more of them, up to the maximum, as the lag grows. Here a batch of every partition
    may be in flight with one consumer already, so the minimum is what runs.
    """

    def __init__(
        self,
        source: KafkaSource,
        invoke: InvokeFunction,
        metrics: EventSourceMetrics | None = None,
    ) -> None:
        counted = SourceMetrics(metrics or EventSourceMetrics(), source.name)
        self._writer = (
            None
            if source.on_failure is None
            else TopicWriter(source.bootstrap_servers, source.security)
        )
        delivery = Delivery(source, invoke, self._writer, counted)
        count = min(source.pollers_min, POLLERS_MAX)
        if count < source.pollers_min:
            _LOGGER.warning("%s: %d pollers run, not %d", source.name, count, source.pollers_min)
        self.pollers = tuple(KafkaPoller(source, delivery, counted, n) for n in range(count))

    def start(self) -> None:
        """Start reading."""
        for poller in self.pollers:
            poller.start()

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Stop reading; with `drain_s`, read the topic to its end first, for so long at most."""
        await asyncio.gather(*(poller.stop(drain_s=drain_s) for poller in self.pollers))
        if self._writer is not None:
            await self._writer.close()
