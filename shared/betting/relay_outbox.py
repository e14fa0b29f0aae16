"""Move outbox rows to Kafka: publish, and delete what the broker acknowledged. Never lose one.

A row is deleted by its own id after its own acknowledgement. What dies in between is published
again, so delivery is at least once, and in order per key: rows of one batch go out in one request
a partition, and after a failure nothing more goes out before the failed rows do.
"""

from __future__ import annotations

import re
import threading
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from shared import kafka, outbox
from shared.betting.events import EVENT_ID_HEADER, REQUEST_ID_HEADER
from shared.clock import Deadline
from shared.errors import KafkaUnavailable
from shared.observability import count, logger
from shared.postgres import connection
from shared.settings import relay_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.clock import InvocationContext
    from shared.outbox import OutboxRow
    from shared.postgres import Connection

BATCH_ROWS_MAX = 1_000
# A publish takes milliseconds, and 4 s when a broker falls silent in the middle of it.
DEADLINE_MARGIN_S = 5.0
# How often a run that keeps looking (RELAY_RUN_SECONDS > 0) looks, and how long it waits after a
# failure.
LOOK_INTERVAL_S = 0.2
RETRY_INTERVAL_S = 1.0

_EVENT_ID = re.compile(rb'"eventId" ?: ?"([0-9a-f-]{36})"')
_pause = threading.Event()


@dataclass(slots=True)
class RelayReport:
    """What one run did. `busy` means that another relay was running."""

    relayed: int = 0
    batches: int = 0
    busy: bool = False

    def as_dict(self) -> dict[str, object]:
        """The function's answer."""
        return asdict(self)


def relay_outbox(context: InvocationContext) -> RelayReport:
    """Run until drained, or for RELAY_RUN_SECONDS, but never into the invocation's end.

    Raises `PostgresUnavailable` or `KafkaUnavailable`; the rows stay and the next run goes on. A
    run that keeps looking outlives a failure of the broker if it comes back in time.
    """
    deadline = Deadline.of(context, margin_s=DEADLINE_MARGIN_S)
    run_s = relay_settings().run_s
    report = RelayReport()
    with connection() as conn:
        if run_s == 0 and not outbox.has_rows(conn):
            return report
        if not outbox.try_lock(conn):
            report.busy = True
            return report
        try:
            if run_s == 0:
                _drain(conn, deadline, report)
            else:
                _keep_looking(conn, Deadline.after(min(run_s, deadline.remaining_s())), report)
        finally:
            if not conn.closed:
                outbox.unlock(conn)
    return report


def _drain(conn: Connection, deadline: Deadline, report: RelayReport) -> None:
    """Relay batches, at least one, until one is not full: then nothing waits any more."""
    while True:
        rows = outbox.claim(conn, BATCH_ROWS_MAX)
        rows_that_fit = _fitting(rows)
        if rows_that_fit:
            _relay(conn, rows_that_fit, report)
        is_drained = len(rows_that_fit) == len(rows) < BATCH_ROWS_MAX
        if is_drained or deadline.passed():
            return


def _keep_looking(conn: Connection, until: Deadline, report: RelayReport) -> None:
    while True:
        pause_s = LOOK_INTERVAL_S
        failure: KafkaUnavailable | None = None
        try:
            _drain(conn, until, report)
        except KafkaUnavailable as error:
            logger().warning("broker away", extra={"cause": repr(error.__cause__ or error)})
            failure, pause_s = error, RETRY_INTERVAL_S
        if until.remaining_s() <= pause_s:
            if failure is not None:
                raise failure
            return
        _pause.wait(pause_s)


def _relay(conn: Connection, rows: Sequence[OutboxRow], report: RelayReport) -> None:
    published = kafka.publish([_record(row) for row in rows])
    if published.acknowledged:
        outbox.delete(conn, [rows[index].id for index in published.acknowledged])
        report.relayed += len(published.acknowledged)
        report.batches += 1
        count("EventsRelayed", len(published.acknowledged))
        logger().info(
            "events relayed",
            extra={
                "count": len(published.acknowledged),
                "first_id": rows[published.acknowledged[0]].id,
                "last_id": rows[published.acknowledged[-1]].id,
                "first_request_id": rows[published.acknowledged[0]].headers.get(REQUEST_ID_HEADER),
                "last_request_id": rows[published.acknowledged[-1]].headers.get(REQUEST_ID_HEADER),
            },
        )
    if published.error is not None:
        raise published.error


def _fitting(rows: Sequence[OutboxRow]) -> Sequence[OutboxRow]:
    """As many rows from the front as one publish may carry, and at least one."""
    sizes = accumulate(len(row.payload) + 300 for row in rows)
    fitting = sum(1 for size in sizes if size <= kafka.PUBLISH_BYTES_MAX)
    return rows[: max(1, fitting)]


def _record(row: OutboxRow) -> kafka.Record:
    headers = [(name, value.encode()) for name, value in row.headers.items()]
    # The event's id is in its payload alone: the statement that writes it spares the repetition.
    event_id = _EVENT_ID.search(row.payload)
    if event_id is not None:
        headers.append((EVENT_ID_HEADER, event_id[1]))
    return kafka.Record(row.topic, row.key.encode(), row.payload, headers)
