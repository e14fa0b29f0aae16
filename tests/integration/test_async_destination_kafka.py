"""The record of an asynchronous event reaches a topic of a real broker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaConsumer, TopicPartition

from tests.support.host import PROJECTS, running_host
from tests.support.kafka import running_kafka
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    # kafka-python leaves sockets of refused connections to the garbage collector, whenever it runs.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


def test_a_record_reaches_its_topic_with_the_request_id_as_key(tmp_path: Path) -> None:
    with running_kafka() as broker:
        broker.create_topic("results", 1)
        with running_host(
            PROJECTS / "asynchronous", kafka_bootstrap_servers=broker.bootstrap_servers
        ) as host:
            answer = host.client.invoke(
                FunctionName="ToTopic",
                InvocationType="Event",
                Payload=json.dumps({"file": str(tmp_path / "notes")}),
            )
            answer["Payload"].close()
            wait_until(lambda: "destination_deliveries_total{" in host.metrics(), 15, "it is sent")

        consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap_servers)
        consumer.assign([TopicPartition("results", 0)])
        consumer.seek_to_beginning()
        [record] = next(iter(consumer.poll(timeout_ms=10_000).values()))
        consumer.close()

    value = json.loads(record.value)
    assert record.key.decode() == answer["ResponseMetadata"]["RequestId"]
    assert value["requestContext"]["condition"] == "Success"
    assert value["responsePayload"] == {"noted": str(tmp_path / "notes")}
