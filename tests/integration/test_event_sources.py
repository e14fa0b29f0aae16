"""The event-source process: what it starts, what it shows, how it stops."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from local_stack.errors import SettingsError
from local_stack.event_sources import EventSources
from local_stack.http1 import HttpRequest, HttpResponse, HttpServer
from local_stack.settings import Settings
from local_stack.telemetry import source_metrics
from tests.support.kafka_source import eventually, sockets_collected
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.kafka import Broker

pytestmark = [
    pytest.mark.integration,
    # kafka-python leaves sockets of refused connections to the garbage collector, whenever it runs.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]
CLUSTER = "arn:aws:kafka:us-east-1:000000000000:cluster/c/1"
TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.11
      Handler: app.handler
      CodeUri: code/
      Events:
        Often: {{Type: Schedule, Properties: {{Schedule: rate(200 milliseconds)}}}}
        Once:
          Type: ScheduleV2
          Properties: {{ScheduleExpression: at(2020-01-01T00:00:00), Input: '"once"'}}
        Off: {{Type: Schedule, Properties: {{Schedule: rate(1 minute), State: DISABLED}}}}
        Records:
          Type: MSK
          Properties: {{Stream: "{cluster}", Topics: [{topic}]{more}}}
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    monkeypatch.setattr(source_metrics, "WRITE_EVERY_S", 0.1)
    with sockets_collected(caplog):
        yield


@pytest.fixture
def topic(kafka_server: Broker) -> str:
    name = f"orders-{uuid4().hex[:8]}"
    kafka_server.create_topic(name, 1)
    return name


def _settings(folder: Path, broker: Broker, topic: str, more: str = "") -> Settings:
    (folder / "code").mkdir()
    text = TEMPLATE.format(cluster=CLUSTER, topic=topic, more=more)
    (folder / "template.yaml").write_text(text)
    settings = Settings(
        project_dir=folder,
        stack_dir=folder / ".stack",
        ports={"lambda_api": free_port()},
        kafka_bootstrap_servers=broker.bootstrap_servers,
    )
    settings.run_dir.mkdir(parents=True)
    return settings


class LambdaApi:
    """Takes invocations, and keeps them."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.server = HttpServer(
            self._handle, body_bytes_max=10**7, refuse=lambda status, _: HttpResponse(status)
        )

    async def _handle(self, request: HttpRequest) -> HttpResponse:
        assert request.path == "/2015-03-31/functions/Hello/invocations"
        self.events.append(json.loads(request.body))
        return HttpResponse(200, [(b"x-amzn-requestid", b"the-id")], b"null")

    def sources(self) -> set[object]:
        return {e.get("source") or e.get("eventSource") for e in self.events if isinstance(e, dict)}


def _serve(settings: Settings, index: int, wanted: set[str]) -> LambdaApi:
    """Run the process until the Lambda API has heard from all that is wanted; then ask it to stop."""
    api = LambdaApi()

    async def main() -> None:
        await api.server.start(settings.ports.lambda_api)
        running = asyncio.create_task(EventSources(settings, index).run())
        name = "event-sources.ready" if index == 1 else f"event-sources-{index}.ready"
        metrics = settings.run_dir / f"event-sources-{index}.prom"
        await eventually(lambda: running.done() or (settings.run_dir / name).exists(), "ready")
        await eventually(lambda: running.done() or api.sources() >= wanted, f"{wanted} are heard")
        await eventually(
            lambda: 'batches_total{source="HelloRecords"} 1.0' in metrics.read_text(), "counted"
        )
        os.kill(os.getpid(), signal.SIGTERM)
        await running
        assert not (settings.run_dir / name).exists()
        await api.server.stop(1)

    asyncio.run(main())
    return api


async def _produce(broker: Broker, topic: str) -> None:
    from local_stack.kafka_writer import TopicWriter

    writer = TopicWriter([broker.bootstrap_servers])
    await writer.send(topic, b"v")
    await writer.close()


def test_mappings_and_schedules_run_until_the_process_is_asked_to_stop(
    kafka_server: Broker, topic: str, tmp_path: Path
) -> None:
    asyncio.run(_produce(kafka_server, topic))
    settings = _settings(tmp_path, kafka_server, topic)

    api = _serve(settings, 1, {"aws.events", "aws:kafka"})

    assert "once" not in api.events, "its moment has passed"


def test_a_second_process_shares_the_partitions_and_runs_no_schedule(
    kafka_server: Broker, topic: str, tmp_path: Path
) -> None:
    asyncio.run(_produce(kafka_server, topic))

    api = _serve(_settings(tmp_path, kafka_server, topic), 2, {"aws:kafka"})

    assert api.sources() == {"aws:kafka"}


def test_a_secret_that_nobody_knows_ends_the_process_with_its_name(
    kafka_server: Broker, topic: str, tmp_path: Path
) -> None:
    more = ", SourceAccessConfigurations: [{Type: BASIC_AUTH, URI: the-secret}]"
    settings = _settings(tmp_path, kafka_server, topic, more)

    with pytest.raises(SettingsError, match="the-secret"):
        asyncio.run(EventSources(settings, 1).run())
