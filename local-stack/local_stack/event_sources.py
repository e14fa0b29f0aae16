"""The event-source process: Kafka pollers and schedules of the template.

`python -m local_stack.event_sources --settings FILE --index N`. It knows no environment and no
function's code: it calls the Lambda API like any other client. Several of these processes share the
partitions of a topic; schedules run in the first one only.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

import uvloop

from local_stack.errors import LocalStackError
from local_stack.kafka_access import resolve_source
from local_stack.settings import Settings
from local_stack.telemetry.source_metrics import WRITE_EVERY_S, EventSourceMetrics
from local_stack.template.project import load_project
from local_stack.triggers.client import Answer, InvokeClient
from local_stack.triggers.kafka.mapping import KafkaMapping
from local_stack.triggers.schedule.source import run_schedule

_LOGGER = logging.getLogger(__name__)
READY_FILE = "event-sources.ready"  # of the first process; others have their number in the name
# On a stop: for a scheduled run to end, and for the embedded broker to be read to its end. A group
# that has just started gets its partitions after 3 to 6 s.
RUN_END_SECONDS = 5.0
DRAIN_SECONDS = 12.0


class Runs:
    """Scheduled runs: each goes on when its schedule is cancelled, so that a stop can await it."""

    def __init__(self, invoke: InvokeClient) -> None:
        self._invoke = invoke
        self._running: set[asyncio.Task[Answer]] = set()

    async def __call__(self, function: str, payload: bytes) -> Answer:
        """Invoke, as the client does."""
        running = asyncio.create_task(self._invoke(function, payload))
        self._running.add(running)
        running.add_done_callback(self._ended)
        return await asyncio.shield(running)

    async def end(self, timeout_s: float) -> None:
        """Wait until nothing runs any more, but not for ever."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)

    def _ended(self, running: asyncio.Task[Answer]) -> None:
        self._running.discard(running)
        if not running.cancelled():
            running.exception()  # nobody may be left to hear of it


class EventSources:
    """Everything one process runs."""

    def __init__(self, settings: Settings, index: int) -> None:
        self._settings = settings
        self._index = index
        self._metrics = EventSourceMetrics()

    async def run(self) -> None:
        """Start every enabled source, serve until TERM or INT, and stop."""
        template = load_project(self._settings)
        sources = [
            resolve_source(source, self._settings)
            for source in template.kafka_sources
            if source.enabled
        ]
        schedules = [s for s in template.schedules if s.enabled and self._index == 1]
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for sent_signal in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sent_signal, stop.set)
        invoke = InvokeClient.at(self._settings.addresses()["lambda_api.url"])
        mappings = [KafkaMapping(source, invoke, self._metrics) for source in sources]
        for mapping in mappings:
            mapping.start()
        runs = Runs(invoke)
        tasks: set[asyncio.Task[None]] = {
            asyncio.create_task(run_schedule(schedule, runs, self._ran)) for schedule in schedules
        }
        tasks.add(asyncio.create_task(self._write_metrics()))
        name = READY_FILE if self._index == 1 else f"event-sources-{self._index}.ready"
        ready = self._settings.run_dir / name
        ready.write_text("ready\n")
        _LOGGER.info("%d Kafka sources, %d schedules", len(mappings), len(schedules))
        failed = await _until(stop, tasks)
        ready.unlink(missing_ok=True)
        for task in tasks:
            task.cancel()
        await runs.end(RUN_END_SECONDS)
        # What a relay has just published would be lost with the embedded broker, which stops next.
        drain_s = DRAIN_SECONDS if self._settings.broker_forgets else 0.0
        await asyncio.gather(*(mapping.stop(drain_s=drain_s) for mapping in mappings))
        await invoke.http.aclose()
        for task in failed:
            task.result()  # raises: a defect ends the process, and is told

    def _ran(self, schedule: str, worked: bool) -> None:
        self._metrics.runs.labels(schedule, "done" if worked else "failed").inc()

    async def _write_metrics(self) -> None:
        while True:
            try:
                self._metrics.write(self._settings.run_dir, self._index)
            except OSError as error:  # a full disk must not stop the sources
                _LOGGER.warning("metrics cannot be written: %s", error)
            await asyncio.sleep(WRITE_EVERY_S)


async def _until(stop: asyncio.Event, tasks: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Wait for `stop`, or for a task that fails; a schedule that is over is no reason to end."""
    stopping = asyncio.create_task(stop.wait())
    running: set[asyncio.Task[None]] = set(tasks)
    while not stopping.done():
        done, _ = await asyncio.wait({stopping, *running}, return_when=asyncio.FIRST_COMPLETED)
        failed = {task for task in running & done if task.exception() is not None}
        if failed:
            stopping.cancel()
            return failed
        running -= done
    return set()


def main() -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="local_stack.event_sources")
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--index", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for noisy in ("httpx", "kafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        uvloop.run(EventSources(Settings.read(arguments.settings), arguments.index).run())
    except LocalStackError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
