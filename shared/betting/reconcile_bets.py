"""Compare the books with themselves and with ClickHouse, and mend what is missing or double.

A run verifies the time since the last one, up to a moment that everything has had the time to
pass: what waits in the outbox, or is still to be read by the sink, is not missing. What is missing
then is announced again through the outbox, as the same event, so it counts once even if the first
announcement turns up after all. It never changes the books: a fault in them is for a person.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from shared.betting import books, stored_bets
from shared.betting.bets import announce_again
from shared.betting.books import BookFaults, Span
from shared.clock import Deadline
from shared.errors import ValidationFailed
from shared.observability import count, invocation, logger
from shared.postgres import connection
from shared.settings import reconcile_settings

if TYPE_CHECKING:
    from uuid import UUID

    from shared.clock import InvocationContext
    from shared.postgres import Connection

DEADLINE_MARGIN_S = 10.0
CHUNK_BETS_MAX = 50_000  # ids compared at once: 5 MB
RESENT_BETS_MAX = 5_000  # a run; the next one goes on
REMOVED_ROWS_MAX = 1_000
# What was announced again gets this long to arrive before it is announced once more.
RESEND_PAUSE = timedelta(seconds=30)
STUCK = timedelta(seconds=5)  # the relay empties the outbox several times a second, or is stuck
IDS_LOGGED_MAX = 5
NO_FAULTS = BookFaults(0, 0, 0, 0)
# An insert takes 20 ms from the table to its aggregates; a difference that lasts is another thing.
LASTING_S = 1.0
_pause = threading.Event()


class ReconcileBets(TypedDict, total=False):
    """What is asked for; a schedule's event asks for nothing in particular."""

    since: str  # ISO 8601; without it: since what was verified last
    repair: bool


class Reconciliation(TypedDict):
    """The verdict, as it is printed and kept. Times are ISO 8601."""

    verdict: str
    balanced: bool
    busy: bool
    since: str
    until: str
    bets: int
    stakes: str
    missing: int
    resent: int
    double: int
    removed: int
    unknown: int
    different: int
    aggregatesMended: int
    bookFaults: dict[str, int]


@dataclass(slots=True)
class _Run:
    """What a run found so far."""

    since: datetime
    until: datetime
    repair: bool
    may_resend: bool
    bets: int = 0
    stakes: Any = 0
    missing: int = 0
    resent: int = 0
    double: int = 0
    removed: int = 0
    unknown: int = 0
    different: int = 0
    mended: int = 0
    faults: BookFaults = field(default_factory=lambda: NO_FAULTS)
    verified_to: datetime | None = None
    examples: dict[str, list[str]] = field(default_factory=dict)


def reconcile_bets(command: ReconcileBets, context: InvocationContext) -> Reconciliation:
    """Verify what is new, mend what is wrong, remember how far it is right.

    Raises `PostgresUnavailable` or `ClickHouseUnavailable`: then nothing was verified, and the next
    run begins where this one did. `ValidationFailed` for a `since` that is no moment.
    """
    since = _moment(command.get("since"))
    deadline = Deadline.of(context, margin_s=DEADLINE_MARGIN_S)
    with connection() as conn:
        if not books.try_lock(conn):
            return _busy()
        try:
            run = _begin(conn, since, repair=command.get("repair") is not False)
            _verify(conn, run, deadline)
            report = _report(run)
            books.remember(
                conn,
                dict(report),
                # Looking back does not say that what came since is right.
                verified_to=run.verified_to if since is None else None,
            )
        finally:
            if not conn.closed:
                books.unlock(conn)
    _tell(run, report)
    return report


def _begin(conn: Connection, since: datetime | None, *, repair: bool) -> _Run:
    settings = reconcile_settings()
    known = books.remembered(conn)
    until = known.now - timedelta(seconds=settings.settle_s)
    if known.oldest_waiting is not None:
        until = min(until, known.oldest_waiting)
    progress = stored_bets.sink_progress(int(settings.window_s))
    if progress is not None:
        until = min(until, progress)
    oldest = known.now - timedelta(seconds=settings.window_s)
    start = since or known.verified_to or oldest
    paused = known.resent_at is not None and known.now - known.resent_at < RESEND_PAUSE
    # With the broker away, what was announced again has not left yet.
    stuck = known.oldest_waiting is not None and known.now - known.oldest_waiting > STUCK
    may_resend = not paused and not stuck
    return _Run(start, max(start, until), repair=repair, may_resend=may_resend)


def _verify(conn: Connection, run: _Run, deadline: Deadline) -> None:
    """Chunk by chunk; what is verified is verified up to the first chunk that is not right."""
    rest = Span(run.since, run.until)
    all_right = True
    while rest.start < rest.end and not deadline.passed():
        span = books.chunk(conn, rest, CHUNK_BETS_MAX)
        all_right = _verify_span(conn, run, span) and all_right
        if all_right:
            run.verified_to = span.end
        rest = Span(span.end, rest.end)
    run.until = rest.start
    if run.since < run.until:
        _verify_aggregates(run)


def _verify_span(conn: Connection, run: _Run, span: Span) -> bool:
    faults = books.faults(conn, span)
    run.faults = BookFaults(*(a + b for a, b in zip(run.faults, faults, strict=True)))
    ours, stored = books.digest(conn, span), stored_bets.digest(span)
    run.bets += ours.bets
    run.stakes += ours.stakes
    if ours == stored:
        return True
    tokens = stored_bets.insert_tokens(span)
    known = books.bet_ids(conn, span)
    _mend_missing(conn, run, [bet_id for bet_id in known if bet_id not in tokens])
    _mend_double(run, span, {bet_id: t for bet_id, t in tokens.items() if len(t) > 1})
    unknown = tokens.keys() - set(known)
    run.unknown += len(unknown)
    _note(run, "unknown", sorted(unknown))
    if tokens.keys() == set(known) and all(len(each) == 1 for each in tokens.values()):
        # The same bets, each once: something else about them differs, or they arrived meanwhile.
        run.different += books.digest(conn, span) != stored_bets.digest(span)
    return False


def _mend_missing(conn: Connection, run: _Run, missing: list[UUID]) -> None:
    run.missing += len(missing)
    _note(run, "missing", missing)
    chosen = missing[: RESENT_BETS_MAX - run.resent]
    if run.repair and run.may_resend and chosen:
        with conn.transaction():  # or a run that fails later would forget that it did
            run.resent += announce_again(conn, chosen, invocation().request_id)
            books.note_resent(conn)


def _mend_double(run: _Run, span: Span, doubles: dict[UUID, list[UUID]]) -> None:
    extra = [(bet_id, token) for bet_id, tokens in doubles.items() for token in tokens[1:]]
    run.double += len(extra)
    _note(run, "double", list(doubles))
    # Rows of one insert cannot be told apart: removing one would remove the other.
    removable = [(bet_id, token) for bet_id, token in extra if token != doubles[bet_id][0]]
    chosen = removable[: REMOVED_ROWS_MAX - run.removed]
    if run.repair and chosen:
        stored_bets.remove(span, chosen)
        run.removed += len(chosen)


def _verify_aggregates(run: _Run) -> None:
    """An insert that is under way makes a difference for a moment: only one that stays is mended."""
    span = Span(run.since, run.until)
    for aggregate in stored_bets.AGGREGATES:
        lasting = set(stored_bets.differences(aggregate, span))
        if lasting:
            _pause.wait(LASTING_S)
            lasting &= set(stored_bets.differences(aggregate, span))
        for difference in sorted(lasting):
            run.mended += 1
            extra = {"table": aggregate.table, "period": difference.period_s}
            extra |= {"bets": difference.bets, "stakes": str(difference.stakes)}
            logger().warning("aggregate differs from its table", extra=extra)
            if run.repair:
                stored_bets.mend(aggregate, difference)


def _report(run: _Run) -> Reconciliation:
    found = run.missing + run.double + run.unknown + run.different + run.mended
    found += run.faults.total
    return {
        "verdict": _verdict(run, found),
        "balanced": found == 0,
        "busy": False,
        "since": run.since.isoformat(),
        "until": run.until.isoformat(),
        "bets": run.bets,
        "stakes": str(run.stakes),
        "missing": run.missing,
        "resent": run.resent,
        "double": run.double,
        "removed": run.removed,
        "unknown": run.unknown,
        "different": run.different,
        "aggregatesMended": run.mended if run.repair else 0,
        "bookFaults": run.faults._asdict(),
    }


def _verdict(run: _Run, found: int) -> str:
    seen = f"{run.bets} bets with {run.stakes} EUR"
    if found == 0:
        return f"In balance: {seen} are in the books and in ClickHouse, each once."
    parts = [
        (run.missing, f"missing in ClickHouse ({run.resent} announced again)"),
        (run.double, f"double in ClickHouse ({run.removed} rows removed)"),
        (run.unknown, "in ClickHouse and in no book"),
        (run.different, "spans with other amounts in ClickHouse, for a person to look at"),
        (run.mended, "periods of aggregates wrong"),
        (run.faults.total, "faults in the books, for a person to look at"),
    ]
    return f"Not in balance, of {seen}: " + ", ".join(f"{n} {what}" for n, what in parts if n) + "."


def _busy() -> Reconciliation:
    return {
        "verdict": "Another run is at it.",
        "balanced": True,
        "busy": True,
        "since": "",
        "until": "",
        "bets": 0,
        "stakes": "0",
        "missing": 0,
        "resent": 0,
        "double": 0,
        "removed": 0,
        "unknown": 0,
        "different": 0,
        "aggregatesMended": 0,
        "bookFaults": NO_FAULTS._asdict(),
    }


def _tell(run: _Run, report: Reconciliation) -> None:
    if report["balanced"]:
        return
    logger().error("books differ", extra={**report, "examples": run.examples})
    count("BetsMissing", run.missing)
    count("BetsResent", run.resent)
    count("BetsDouble", run.double)
    count("BetsUnknown", run.unknown)
    count("BookFaults", run.faults.total)


def _note(run: _Run, kind: str, ids: list[UUID]) -> None:
    examples = run.examples.setdefault(kind, [])
    examples += [str(bet_id) for bet_id in ids[: IDS_LOGGED_MAX - len(examples)]]


def _moment(text: object) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise ValidationFailed("since is no moment in ISO 8601.") from error
    if moment.tzinfo is None:
        raise ValidationFailed("since has no time zone.")
    return moment
