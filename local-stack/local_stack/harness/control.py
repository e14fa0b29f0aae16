"""`/_local_stack/test/…`: what a test may do to a host, on the Lambda API port.

There only with the setting `test_control`, which nothing but `local_stack.testing` turns on; a
host without it refuses these paths like any operation that it does not know. Everything here runs
on the host's event loop.
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from local_stack import clock
from local_stack.errors import InvalidParameter, RuntimeFailed, Throttled
from local_stack.harness import deliveries
from local_stack.invoke.faults import Fault, Faults
from local_stack.triggers.kafka import event as kafka_events
from local_stack.triggers.kafka.dead_letter import dead_letter
from local_stack.triggers.kafka.outcome import failed_offsets
from local_stack.triggers.kafka.retry import Outcome as SourceOutcome
from local_stack.triggers.kafka.retry import Response
from local_stack.triggers.schedule import event as schedule_events

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local_stack.environments.invocation import Outcome
    from local_stack.host_control import HostControl
    from local_stack.invoke.async_history import History
    from local_stack.invoke.async_policy import Event
    from local_stack.invoke.invoker import Invoker
    from local_stack.model import KafkaSource, Schedule, Template

    Named = TypeVar("Named", Schedule, KafkaSource)
    Answer = tuple[int, dict[str, str], bytes]
    Query = Mapping[str, list[str]]

RECORDS_MAX = 10_000  # destination records that are kept; older ones are forgotten
ADVANCE_S_MAX = 30 * 24 * 3600.0
ATTEMPTS_MAX = 1_000
RESET_S_MAX = 5.0
RESET_POLL_S = 0.005


class MovableClock:
    """A clock that a test can put forward; it never goes back but by `reset`."""

    def __init__(self, base: Callable[[], float]) -> None:
        self._base = base
        self._ahead_s = 0.0

    def __call__(self) -> float:
        """What the base says, and how far it was put forward."""
        return self._base() + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        self._ahead_s += seconds

    def reset(self) -> None:
        """Back to the base."""
        self._ahead_s = 0.0


@dataclass(frozen=True, slots=True)
class Written:
    """One record that would have gone to a Kafka topic."""

    topic: str
    key: str | None
    value: str
    headers: dict[str, str]


class RecordingWriter:
    """Stands where a `TopicWriter` does and keeps the records: a host alone has no Kafka."""

    def __init__(self) -> None:
        self.records: deque[Written] = deque(maxlen=RECORDS_MAX)

    async def send(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Keep it."""
        self.records.append(
            Written(
                topic,
                None if key is None else key.decode(errors="replace"),
                value.decode(errors="replace"),
                {name: item.decode(errors="replace") for name, item in headers},
            )
        )

    async def close(self) -> None:
        """Nothing is held."""


class AsyncEvents(Protocol):
    """What is asked of the queue of asynchronous events."""

    @property
    def history(self) -> History:
        """The last ones that are over."""

    def events(self) -> list[Event]:
        """Those that wait or run, the oldest first."""

    def wake(self) -> None:
        """Look at the clock again: it was put forward."""

    def forget(self) -> None:
        """Drop what waits, and what is known of those that ended."""


class Bench:
    """A host on the test bench: what it is made with there, and its control routes."""

    def __init__(self, template: Template) -> None:
        self.faults = Faults()
        self.now = MovableClock(lambda: clock.epoch_ms() / 1000)  # of asynchronous events
        self.topics = RecordingWriter()
        self._template = template

    def add_to(
        self,
        control: HostControl,
        invoker: Invoker,
        events: AsyncEvents,
        flush_logs: Callable[[], None],
    ) -> None:
        """Let the host's control answer every route of a test."""
        self._invoker = invoker
        self._events = events
        self._flush_logs = flush_logs
        control.add("POST", "test/reset", self._reset)
        control.add("POST", "test/faults", self._add_fault)
        control.add("POST", "test/advance", self._advance)
        control.add("POST", "test/schedules", self._fire_schedule)
        control.add("POST", "test/kafka", self._deliver)
        control.add("POST", "test/logs", self._write_logs)
        control.add("GET", "test/events", self._list_events)
        control.add("GET", "test/records", self._list_records)

    async def _reset(self, _query: Query, _body: bytes) -> Answer:
        """Forget faults, events, records, and how far the clock was put forward.

        What runs is waited for, so that it does not turn up in the next test; not for ever.
        """
        self.faults.clear()
        self._events.forget()
        give_up = clock.monotonic() + RESET_S_MAX
        while self._events.events() and clock.monotonic() < give_up:
            await asyncio.sleep(RESET_POLL_S)
            self._events.forget()
        self.topics.records.clear()
        self.now.reset()
        return _answer({})

    async def _add_fault(self, _query: Query, body: bytes) -> Answer:
        asked = _document(body)
        function = str(asked.pop("function", ""))
        self._invoker.pool(function)  # raises for an unknown one
        try:
            self.faults.add(function, Fault(**asked))
        except TypeError as error:
            raise InvalidParameter(str(error)) from error
        return _answer({"remaining": dict(self.faults.remaining())})

    async def _advance(self, _query: Query, body: bytes) -> Answer:
        seconds = _document(body).get("seconds")
        if not isinstance(seconds, int | float) or not 0 <= seconds <= ADVANCE_S_MAX:
            msg = f"seconds: 0 to {ADVANCE_S_MAX:.0f}, not {seconds!r}: time does not go back"
            raise InvalidParameter(msg)
        self.now.advance(seconds)
        self._events.wake()
        return _answer({})

    async def _fire_schedule(self, _query: Query, body: bytes) -> Answer:
        """One tick now, whatever its expression says, and also when it is not enabled."""
        schedule = _named(self._template.schedules, _document(body).get("name"), "schedule")
        payload = schedule_events.build_event(schedule, event_id=str(uuid.uuid4()), now=clock.now())
        outcome = await self._run(schedule.function, payload)
        return _answer({**outcome, "event": payload.decode()})

    async def _deliver(self, _query: Query, body: bytes) -> Answer:
        """One batch to a mapping, and what follows from the answers: at most `attempts` calls."""
        asked = _document(body)
        source = _named(self._template.kafka_sources, asked.get("mapping"), "Kafka mapping")
        attempts = asked.get("attempts", 1)
        if not isinstance(attempts, int) or not 1 <= attempts <= ATTEMPTS_MAX:
            msg = f"attempts: 1 to {ATTEMPTS_MAX}, not {attempts!r}"
            raise InvalidParameter(msg)
        now_ms = int(self.now() * 1000)
        run = deliveries.Run(
            source, deliveries.read_records(asked.get("records"), source.topic, now_ms)
        )
        calls: list[dict[str, Any]] = []
        while len(calls) < attempts and (batch := run.next_batch(now_ms)):
            calls.append(await self._call(source, run, batch))
        await self._bury(source, run)
        last = calls[-1] if calls else _nothing(source.function)
        document = {**last, "calls": len(calls), "partitions": run.partitions()}
        return _answer(document)

    async def _call(
        self, source: KafkaSource, run: deliveries.Run, batch: Sequence[kafka_events.Record]
    ) -> dict[str, Any]:
        """One invocation with a batch; `run` knows afterwards what follows."""
        payload = kafka_events.build_event(batch, source.bootstrap_servers, source.source_arn)
        said = await self._run(source.function, payload)
        response = Response(said["requestId"], said["error"])
        if said["error"] is None:
            failed: Mapping[int, int] | None = {}
            if source.report_batch_item_failures:
                failed = failed_offsets(base64.b64decode(said["payload"]), batch)
            run.settle(SourceOutcome(failed, response))
        else:  # refused, it never reached the function and counts as no attempt
            run.settle(SourceOutcome(None, response, counts=said["status"] == 200))
        return {**said, "event": payload.decode()}

    async def _bury(self, source: KafkaSource, run: deliveries.Run) -> None:
        """Write what was given up to the mapping's on-failure topic, if it has one."""
        if source.on_failure is None:
            return
        for piece in run.buried:
            for record in piece.records:
                message = dead_letter(
                    piece,
                    record,
                    function=source.function,
                    bootstrap_servers=source.bootstrap_servers,
                    source_arn=source.source_arn,
                    now=clock.now(),
                )
                await self.topics.send(source.on_failure.target, message, key=record.key)

    async def _write_logs(self, _query: Query, _body: bytes) -> Answer:
        """Write to disk what functions have printed until now."""
        self._flush_logs()
        return _answer({})

    async def _list_events(self, _query: Query, _body: bytes) -> Answer:
        """Settled ones first, in the order in which they ended; then the others, oldest first."""
        found = [asdict(ended) | {"state": "settled"} for ended in self._events.history.all()]
        now_s = self.now()
        for event in self._events.events():
            state = "due" if event.due_s <= now_s else "waiting"
            found.append(asdict(event) | {"state": state})
        return _answer({"events": found})

    async def _list_records(self, _query: Query, _body: bytes) -> Answer:
        return _answer({"records": [asdict(record) for record in self.topics.records]})

    async def _run(self, function: str, payload: bytes) -> dict[str, Any]:
        """Invoke; what a source would hear, as a document. `error` is None when all went well."""
        request_id = str(uuid.uuid4())
        said = _nothing(function) | {"requestId": request_id}
        try:
            outcome: Outcome = await self._invoker.invoke(
                function, payload, request_id=request_id, want_tail=True
            )
        except (Throttled, RuntimeFailed) as error:
            return said | {"status": error.status, "error": error.code}
        return said | {
            "error": outcome.function_error,
            "payload": base64.b64encode(outcome.payload).decode(),
            "log": outcome.log_tail.decode(errors="replace"),
        }


def _nothing(function: str) -> dict[str, Any]:
    """An outcome without anything to tell."""
    said = {"requestId": "", "payload": "", "log": "", "error": None}
    return {"function": function, "status": 200, **said}


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except ValueError as error:
        msg = f"the body is not JSON: {error}"
        raise InvalidParameter(msg) from error
    if not isinstance(document, dict):
        raise InvalidParameter("the body is not a JSON object")
    return document


def _named(items: Sequence[Named], name: object, kind: str) -> Named:
    """The schedule or mapping of that name; a function that has only one stands for it too."""
    found = [item for item in items if item.name == name]
    if not found:
        found = [item for item in items if item.function == name]
    if len(found) != 1:
        known = ", ".join(item.name for item in items) or "none"
        what = f"{name!r} has several" if found else f"no {kind} is named {name!r}"
        msg = f"{what}; there are {known}"
        raise InvalidParameter(msg)
    return found[0]


def _answer(document: Mapping[str, Any]) -> Answer:
    return 200, {}, json.dumps(document).encode()
