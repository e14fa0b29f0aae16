"""Apache Kafka (KRaft, one node) on a JDK: fetched by Maven coordinates, formatted once, run.

    python -m local_stack.services.kafka.apache --port N --controller-port M --data DIR --jars DIR

The process formats the data folder when it is new and then becomes the broker, so whoever watches
it watches Kafka. Data is on disk and flushed by the operating system, as Kafka has it by default.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from local_stack.errors import ServiceFailed
from local_stack.services.kafka.protocol import Connection

if TYPE_CHECKING:
    from collections.abc import Sequence

POM = Path(__file__).with_name("pom.xml")
JAVA_VERSION_MIN = 17
MAVEN_TIMEOUT_S = 600
FORMAT_TIMEOUT_S = 60
HEAP = "256m"
_MARK = "fetched"
_FORMATTED = "meta.properties"
# A node by itself: nothing to replicate to, and a consumer group need not wait for more members.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={log_dir}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.segment.bytes=67108864
log.retention.hours=168
"""


def fetch(jars: Path) -> bool:
    """Have Maven put Kafka and all it needs into `jars`; False if it is there already.

    Raises `ServiceFailed`, saying what is missing: a JDK, Maven, or what Maven could not get.
    """
    java()
    wanted = hashlib.sha256(POM.read_bytes()).hexdigest()
    mark = jars / _MARK
    if mark.exists() and mark.read_text() == wanted:
        return False
    maven = shutil.which("mvn")
    if maven is None:
        msg = 'Apache Kafka is fetched by Maven, and `mvn` is missing: install it, or leave kafka = "embedded"'
        raise ServiceFailed(msg)
    shutil.rmtree(jars, ignore_errors=True)
    command = [maven, "-B", "-q", "-f", str(POM), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
    try:
        done = subprocess.run(  # noqa: S603 - a program that was looked up, no shell
            command, capture_output=True, text=True, timeout=MAVEN_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        msg = f"Maven did not fetch Apache Kafka within {MAVEN_TIMEOUT_S} s"
        raise ServiceFailed(msg) from error
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        msg = f"Maven could not fetch Apache Kafka:\n{last}"
        raise ServiceFailed(msg)
    mark.write_text(wanted)
    return True


def java() -> str:
    """The `java` to run it with. Raises `ServiceFailed` if there is none, or one that is too old."""
    found = shutil.which("java")
    if found is None:
        msg = f'Apache Kafka needs Java {JAVA_VERSION_MIN} or later, and `java` is missing: install a JDK, or leave kafka = "embedded"'
        raise ServiceFailed(msg)
    done = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)  # noqa: S603
    version = re.search(r'version "(\d+)', done.stderr + done.stdout)
    if version is None or int(version[1]) < JAVA_VERSION_MIN:
        said = done.stderr.partition("\n")[0] or "nothing"
        msg = f"Apache Kafka needs Java {JAVA_VERSION_MIN} or later; `java -version` says: {said}"
        raise ServiceFailed(msg)
    return found


def command(*, port: int, controller_port: int, data_dir: Path, jars: Path) -> list[str]:
    """The command that runs the broker on 127.0.0.1:`port`."""
    return [
        *(sys.executable, "-m", "local_stack.services.kafka.apache"),
        *("--port", str(port), "--controller-port", str(controller_port)),
        *("--data", str(data_dir), "--jars", str(jars)),
    ]


def is_ready(port: int) -> bool:
    """Whether the broker answers."""
    try:
        with Connection("127.0.0.1", port, timeout_s=2.0) as connection:
            connection.topics()
    except (OSError, ServiceFailed):
        return False
    return True


def _prepare(options: argparse.Namespace, run: Sequence[str]) -> Path:
    """Write the configuration, and format the data folder unless that was done before."""
    options.data.mkdir(parents=True, exist_ok=True)
    log_dir = options.data / "log"
    properties: Path = options.data / "server.properties"
    properties.write_text(
        _PROPERTIES.format(
            port=options.port, controller_port=options.controller_port, log_dir=log_dir
        )
    )
    if not (log_dir / _FORMATTED).exists():
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22]
        arguments = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)]
        done = subprocess.run(  # noqa: S603 - our own command, no shell
            [*run, *arguments],
            capture_output=True,
            text=True,
            timeout=FORMAT_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            msg = f"Apache Kafka cannot use {options.data}:\n{done.stderr.strip()[-2000:]}"
            raise ServiceFailed(msg)
    return properties


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and become the broker."""
    parser = argparse.ArgumentParser(prog="local_stack.services.kafka.apache")
    for name in ("--port", "--controller-port"):
        parser.add_argument(name, type=int, required=True)
    for name in ("--data", "--jars"):
        parser.add_argument(name, type=Path, required=True)
    options = parser.parse_args(argv)
    try:
        program = java()
        # The serial collector and the quick compiler: a laptop's broker, not a data centre's.
        run = [program, f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        run += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{options.jars}/*"]
        properties = _prepare(options, run)
    except (ServiceFailed, OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"Kafka cannot run: {error}")
    os.execv(program, [*run, "kafka.Kafka", str(properties)])  # noqa: S606 - it is what we are for


if __name__ == "__main__":
    main(sys.argv[1:])
