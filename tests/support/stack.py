"""Whole stacks for tests, driven by the command line alone, on ports and folders of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPOSITORY = Path(__file__).parents[2]
UP_TIMEOUT_S = 120
_PORTS = ("http", "lambda_api", "postgres", "kafka", "kafka_controller", "clickhouse", "hosts")


@dataclass(frozen=True, slots=True)
class StackUnderTest:
    """One stack: where it answers, and its command line."""

    project_dir: Path
    dir: Path
    ports: Mapping[str, int]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def python(self) -> str:
        return sys.executable

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['http']}"

    @property
    def lambda_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['lambda_api']}"

    @property
    def database_url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.ports['postgres']}/postgres"

    @property
    def kafka(self) -> str:
        return f"127.0.0.1:{self.ports['kafka']}"

    @property
    def clickhouse_url(self) -> str:
        return f"http://default@127.0.0.1:{self.ports['clickhouse']}/default"

    def cli(
        self, *arguments: str, check: bool = True, stdin: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `local-stack` with these arguments; with `check`, it has to succeed."""
        result = subprocess.run(
            [self.python, "-m", "local_stack.cli", *arguments],
            cwd=self.project_dir,
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            input=stdin,
            timeout=UP_TIMEOUT_S,
            check=False,
        )
        if check:
            said = f"{result.stdout}\n{result.stderr}"
            assert result.returncode == 0, f"local-stack {' '.join(arguments)}:\n{said}"
        return result

    def status(self) -> dict[str, Any]:
        """What `status --json` says, with the parts by name."""
        document: dict[str, Any] = json.loads(self.cli("status", "--json", check=False).stdout)
        document["parts"] = {part["name"]: part for part in document["parts"]}
        return document

    def pid(self, part: str) -> int:
        """The process id of a part, which runs."""
        pid = self.status()["parts"][part]["pid"]
        assert pid, f"{part} does not run"
        return int(pid)

    def log(self, part: str) -> str:
        """The log of a part, or of a function (`functions/NAME`) on all hosts."""
        logs = [self.dir / "logs" / f"{part}.log"]
        logs += sorted((self.dir / "logs").glob(f"{part}.host-*.log"))
        return "".join(log.read_text(errors="replace") for log in logs if log.exists())


@contextmanager
def new_stack(project_dir: Path = REPOSITORY, **environment: str) -> Iterator[StackUnderTest]:
    """A stack that does not run yet; stopped and removed at the end, whatever happens."""
    # Not pytest's tmp_path: a Unix socket's path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="stack-"))
    first = free_ports(len(_PORTS) + 16)
    ports = {name: first + index for index, name in enumerate(_PORTS)}
    settings = {
        "LOCAL_STACK_DIR": str(folder),
        "PYTHONPATH": str(REPOSITORY / "local-stack"),
        **{f"LOCAL_STACK_PORT_{name.upper()}": str(port) for name, port in ports.items()},
        **environment,
    }
    stack = StackUnderTest(project_dir, folder, ports, settings)
    try:
        yield stack
    finally:
        stack.cli("down", check=False)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_stack(project_dir: Path = REPOSITORY, **environment: str) -> Iterator[StackUnderTest]:
    """The same, up and ready."""
    with new_stack(project_dir, **environment) as stack:
        stack.cli("up")
        yield stack


@pytest.fixture(scope="session")
def stack() -> Iterator[StackUnderTest]:
    """The platform itself, shared by the end-to-end tests: leave it healthy."""
    with running_stack() as running:
        yield running
