"""Brings a batch to its function, and buries what is given up; says what must be tried again.

Runs on the event loop; knows nothing of Kafka's client. A record leaves this module done, buried
(written to the on-failure topic, or dropped where there is none), or to be tried again.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from local_stack import clock
from local_stack.errors import LocalStackError
from local_stack.kafka_writer import RecordTooLarge
from local_stack.triggers.client import InvokeFailed
from local_stack.triggers.kafka.dead_letter import dead_letter
from local_stack.triggers.kafka.event import build_event
from local_stack.triggers.kafka.outcome import failed_offsets
from local_stack.triggers.kafka.retry import (
    Condition,
    Outcome,
    Piece,
    Policy,
    Response,
    is_expired,
    plan,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from local_stack.model import KafkaSource
    from local_stack.telemetry.source_metrics import SourceMetrics
    from local_stack.triggers.client import Answer
    from local_stack.triggers.kafka.batch import Batch
    from local_stack.triggers.kafka.event import Record

    InvokeFunction = Callable[[str, bytes], Awaitable[Answer]]

_LOGGER = logging.getLogger(__name__)
EVENT_BYTES_MAX = 6 * 1024 * 1024  # of a synchronous invocation
REQUEST_TOO_LARGE = 413


class Writer(Protocol):
    """Where dead letters are written: a `TopicWriter`."""

    async def send(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Return once the record is kept. Raises `LocalStackError`."""


class Delivery:
    """One mapping's way from batches to outcomes."""

    def __init__(
        self,
        source: KafkaSource,
        invoke: InvokeFunction,
        writer: Writer | None,
        metrics: SourceMetrics,
    ) -> None:
        assert writer is not None or source.on_failure is None
        self._source = source
        self._invoke = invoke
        self._writer = writer
        self._metrics = metrics
        self._policy = Policy.of(source)
        self._failing = False

    async def deliver(self, batch: Batch) -> Mapping[int, tuple[Piece, ...]]:
        """Invoke the function with `batch`; partition → what is to be tried again, in order."""
        left: dict[int, tuple[Piece, ...]] = {}
        live: list[Piece] = []
        for piece in batch.pieces:
            kept = await self._without_the_dead(piece)
            if kept is None:
                left[piece.partition] = (piece,)
            elif kept.records:
                live.append(kept)
        if not live:
            return left
        outcome = await self._outcome([record for piece in live for record in piece.records])
        for piece in live:
            planned = plan(piece, outcome, self._policy)
            if planned.dead is not None and not await self._bury(planned.dead):
                left[piece.partition] = (planned.dead, *planned.left)
            elif planned.left:
                left[piece.partition] = planned.left
                self._metrics.retried(bisected=len(planned.left) > 1)
        return left

    async def _without_the_dead(self, piece: Piece) -> Piece | None:
        """What of `piece` is still to be handed over; None when burying the rest did not work."""
        if piece.given_up is not None:
            return replace(piece, records=()) if await self._bury(piece) else None
        now_ms = clock.epoch_ms()
        expired = tuple(r for r in piece.records if is_expired(r, self._policy, now_ms))
        if not expired:
            return piece
        if not await self._bury(replace(piece, records=expired, given_up=Condition.AGE)):
            return None
        kept = tuple(r for r in piece.records if not is_expired(r, self._policy, now_ms))
        return replace(piece, records=kept)

    async def _outcome(self, records: Sequence[Record]) -> Outcome:
        payload = build_event(records, self._source.bootstrap_servers, self._source.source_arn)
        if len(payload) > EVENT_BYTES_MAX:
            return Outcome(None, too_large=True)
        self._metrics.handed_over(len(records), clock.epoch_ms() - records[0].timestamp)
        try:
            answer = await self._invoke(self._source.function, payload)
        except InvokeFailed as error:
            if error.status == REQUEST_TOO_LARGE:
                return Outcome(None, too_large=True)
            self._report(str(error))
            response = Response(error.request_id, "Unhandled") if error.function_error else None
            return Outcome(None, response, counts=error.function_error)
        except Exception as error:
            _LOGGER.exception("%s: a batch of %d failed", self._source.name, len(records))
            self._report(str(error))
            return Outcome(None, counts=False)
        failed: Mapping[int, int] | None = {}
        if self._source.report_batch_item_failures:
            failed = failed_offsets(answer.payload, records)
        if failed == {}:
            self._recovered()
        else:
            self._report("the function reported failed records")
        return Outcome(failed, Response(answer.request_id, None))

    async def _bury(self, piece: Piece) -> bool:
        """Write every record of `piece` to the on-failure topic; False when it must be repeated.

        Repeated it is whole: a record may be there twice, none is missing.
        """
        assert piece.given_up is not None
        if self._source.on_failure is None or self._writer is None:
            self._metrics.dropped(len(piece.records))
            _LOGGER.error(
                "%s: %d records of partition %d from offset %d were dropped: %s",
                self._source.name,
                len(piece.records),
                piece.partition,
                piece.records[0].offset,
                piece.given_up,
            )
            return True
        try:
            for record in piece.records:
                await self._write(piece, record, self._source.on_failure.target, self._writer)
        except LocalStackError as error:
            self._report(f"dead letters cannot be written: {error}")
            return False
        self._metrics.buried(len(piece.records), piece.given_up)
        return True

    async def _write(self, piece: Piece, record: Record, topic: str, writer: Writer) -> None:
        for with_payload in (True, False):
            message = dead_letter(
                piece,
                record,
                function=self._source.function,
                bootstrap_servers=self._source.bootstrap_servers,
                source_arn=self._source.source_arn,
                now=clock.now(),
                with_payload=with_payload,
            )
            try:
                await writer.send(topic, message, key=record.key)
            except RecordTooLarge:
                if not with_payload:
                    raise
            else:
                return

    def _report(self, reason: str) -> None:
        if not self._failing:  # once an outage, not once a retry
            _LOGGER.warning("%s: %s; trying again", self._source.name, reason)
        self._failing = True

    def _recovered(self) -> None:
        if self._failing:
            _LOGGER.info("%s: works again", self._source.name)
        self._failing = False
