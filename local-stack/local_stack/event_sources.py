"""The event-source process: Kafka pollers and schedules of the template.

`python -m local_stack.event_sources --settings FILE`. It knows no environment and no function's
code: it calls the Lambda API like any other client.
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
from local_stack.settings import Settings
from local_stack.template.loader import load_template
from local_stack.triggers.client import InvokeClient
from local_stack.triggers.kafka.source import KafkaPoller
from local_stack.triggers.schedule.expression import parse
from local_stack.triggers.schedule.source import run_schedule

_LOGGER = logging.getLogger(__name__)
READY_FILE = "event-sources.ready"
# On a stop: for a scheduled run to end, and for the embedded broker to be read to its end. A group
# that has just started gets its partitions after 3 to 6 s.
RUN_END_SECONDS = 5.0
DRAIN_SECONDS = 12.0


class Runs:
    """Scheduled runs: each goes on when its schedule is cancelled, so that a stop can await it."""

    def __init__(self, invoke: InvokeClient) -> None:
        self._invoke = invoke
        self._running: set[asyncio.Task[bytes]] = set()

    async def __call__(self, function: str, payload: bytes) -> bytes:
        """Invoke, as the client does."""
        running = asyncio.create_task(self._invoke(function, payload))
        self._running.add(running)
        running.add_done_callback(self._ended)
        return await asyncio.shield(running)

    async def end(self, timeout_s: float) -> None:
        """Wait until nothing runs any more, but not for ever."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)

    def _ended(self, running: asyncio.Task[bytes]) -> None:
        self._running.discard(running)
        if not running.cancelled():
            running.exception()  # nobody may be left to hear of it


async def run(settings: Settings) -> None:
    """Start every enabled source, serve until TERM or INT, and stop."""
    template = load_template(settings.template_path, settings.resolved_parameters())
    schedules = [schedule for schedule in template.schedules if schedule.enabled]
    for schedule in schedules:
        parse(schedule.expression, schedule.name)  # a wrong one is an error now, not in a task
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sent_signal in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sent_signal, stop.set)
    invoke = InvokeClient.at(settings.addresses()["lambda_api.url"])
    pollers = [KafkaPoller(source, invoke) for source in template.kafka_sources if source.enabled]
    for poller in pollers:
        poller.start()
    runs = Runs(invoke)
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(run_schedule(schedule, runs)) for schedule in schedules
    ]
    ready = settings.run_dir / READY_FILE
    ready.write_text("ready\n")
    _LOGGER.info("%d Kafka sources, %d schedules", len(pollers), len(tasks))
    stopping: asyncio.Task[object] = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    ready.unlink(missing_ok=True)
    for task in tasks:
        task.cancel()
    await runs.end(RUN_END_SECONDS)
    # What a relay has just published would be lost with the embedded broker, which stops next.
    drain_s = DRAIN_SECONDS if settings.kafka_bootstrap_servers is None else 0.0
    await asyncio.gather(*(poller.stop(drain_s=drain_s) for poller in pollers))
    await invoke.http.aclose()
    for task in done - {stopping}:
        task.result()  # a schedule never ends by itself: say why


def main() -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="local_stack.event_sources")
    parser.add_argument("--settings", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for noisy in ("httpx", "kafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        uvloop.run(run(Settings.read(arguments.settings)))
    except LocalStackError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
