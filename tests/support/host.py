"""One function host as a process of its own, on free ports and in a folder of its own."""

from __future__ import annotations

import getpass
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import psutil
from botocore.config import Config
from botocore.response import StreamingBody

from local_stack.settings import Settings
from tests.support.ports import free_ports
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future, ThreadPoolExecutor

    from mypy_boto3_lambda.client import LambdaClient
    from mypy_boto3_lambda.type_defs import InvocationResponseTypeDef

REPOSITORY = Path(__file__).parents[2]
PROJECTS = REPOSITORY / "tests" / "projects"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Invoked:
    """What an invocation brought back."""

    status: int
    error: str | None
    payload: bytes
    request_id: str

    @property
    def value(self) -> Any:
        return json.loads(self.payload)


class RunningHost:
    """A function host that runs; what it says of itself, and clients for it."""

    def __init__(self, settings: Settings, index: int = 1) -> None:
        self.settings = settings
        self.index = index
        self.http_port, self.lambda_port = settings.host_ports(index)
        self.http_url = f"http://127.0.0.1:{self.http_port}"
        self.lambda_url = f"http://127.0.0.1:{self.lambda_port}"
        self._output = settings.stack_dir / f"host-{index}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        """What the stack would start it with."""
        settings = str(self.settings.run_dir / "settings.json")
        command = [sys.executable, "-m", "local_stack.host"]
        return [*command, "--settings", settings, "--index", str(self.index)]

    @property
    def environment(self) -> dict[str, str]:
        """Ours, with the runtime on the path, as if it were installed."""
        return {**os.environ, "PYTHONPATH": str(REPOSITORY / "local-stack")}

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the host has been started"
        return self._process

    @cached_property
    def client(self) -> LambdaClient:
        """boto3, unmodified but for retries, which would hide what it was answered."""
        return boto3.client(
            "lambda",
            endpoint_url=self.lambda_url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=64),
        )

    def start(self, *, anew: bool = True) -> None:
        """Start the process and wait until it is ready; not `anew`: the stack is the same."""
        if anew:
            self.settings.write()
        self.settings.log_dir.mkdir(parents=True, exist_ok=True)
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                cwd=self.settings.stack_dir,
            )
        wait_until(self._is_ready, START_TIMEOUT_S, "the host is ready")

    def kill(self) -> None:
        """End it as `kill -9` does, and wait until its environments have ended with it."""
        started = self.descendants()
        self.process.kill()
        self.process.wait()
        wait_until(lambda: not any(map(is_alive, started)), 5, f"{started} have ended")

    def stop(self) -> None:
        """Stop it politely; nothing that it started may be left."""
        if self._process is None:
            return
        started = self.descendants()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            if "client" in self.__dict__:
                self.client.close()
        wait_until(lambda: not any(map(is_alive, started)), 5, f"{started} have ended")

    def invoke(self, function: str, event: Any = None, **arguments: Any) -> Invoked:
        """Invoke through boto3 and read the payload."""
        payload = json.dumps(event) if event is not None else "{}"
        answer = self.client.invoke(FunctionName=function, Payload=payload, **arguments)
        return read_answer(answer)

    def log(self, function: str) -> str:
        """What is on disk of a function's log; lines arrive within a tenth of a second."""
        path = self.settings.log_dir / "functions" / f"{function}.log"
        return path.read_bytes().decode(errors="replace") if path.exists() else ""

    def output(self) -> str:
        """What the host itself wrote."""
        return self._output.read_text(errors="replace")

    def environments(self, function: str) -> list[dict[str, Any]]:
        """The function's live environments, as `/_local_stack/status` shows them."""
        answer = httpx.get(f"{self.lambda_url}/_local_stack/status", trust_env=False)
        environments: list[dict[str, Any]] = answer.json()["functions"][function]["environments"]
        return environments

    def metrics(self) -> str:
        """The host's counters, in Prometheus' text format."""
        return httpx.get(f"{self.lambda_url}/_local_stack/metrics", trust_env=False).text

    def descendants(self) -> list[psutil.Process]:
        """Every process that the host, or a process of it, has started."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def zygotes(self) -> list[psutil.Process]:
        """The processes that environments are forked from."""
        return psutil.Process(self.process.pid).children()

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.output()
        try:
            answer = httpx.get(f"{self.lambda_url}/_local_stack/ready", trust_env=False)
        except httpx.TransportError:
            return False
        return answer.status_code == 200


@contextmanager
def running_host(project_dir: Path, **settings: Any) -> Iterator[RunningHost]:
    """A host for the SAM project in `project_dir`, stopped at the end.

    `settings` are fields of `Settings`. Fails if a process that the host started outlives it.
    """
    with running_hosts(1, project_dir, **settings) as [host]:
        yield host


@contextmanager
def running_hosts(count: int, project_dir: Path, **settings: Any) -> Iterator[list[RunningHost]]:
    """Several hosts for one project, as behind Nginx."""
    with tempfile.TemporaryDirectory(prefix="host-") as folder, ExitStack() as stops:
        values = {
            "project_dir": project_dir,
            "stack_dir": Path(folder),
            "ports": {"hosts": free_ports(2 * count)},
            "replicas": count,
            "tmp_visible": (pytest_folder(),),
            **settings,
        }
        resolved = Settings.model_validate(values)
        hosts = [RunningHost(resolved, index) for index in range(1, count + 1)]
        for host in hosts:
            stops.callback(host.stop)
            host.start()
        yield hosts


def pytest_folder() -> Path:
    """Where pytest makes `tmp_path`: functions under test see it, though it lies under /tmp."""
    folder = Path(tempfile.gettempdir()) / f"pytest-of-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def read_answer(answer: InvocationResponseTypeDef) -> Invoked:
    """Read and close the body of what boto3's `invoke` returned."""
    body = answer["Payload"]
    assert isinstance(body, StreamingBody)
    try:
        payload = body.read()
    finally:
        body.close()
    request_id = answer["ResponseMetadata"]["RequestId"]
    return Invoked(answer["StatusCode"], answer.get("FunctionError"), payload, request_id)


def error_of(invoked: Invoked) -> Any:
    """The payload of an invocation that ended in a function error."""
    assert (invoked.status, invoked.error) == (200, "Unhandled")
    return invoked.value


def log_of(host: RunningHost, function: str, request_id: str) -> list[str]:
    """The log of one invocation, from START to REPORT, once it is on disk."""
    report = f"REPORT RequestId: {request_id}\t"
    wait_until(lambda: report in host.log(function), 5, f"{report} is logged")
    text = host.log(function)
    begin = text.index(f"START RequestId: {request_id} ")
    end = text.index("\n", text.index(report))
    return text[begin:end].split("\n")


def kill_environment(host: RunningHost, function: str, pid: int) -> None:
    """Kill an environment from outside, and wait until the host knows."""
    psutil.Process(pid).kill()
    wait_until(
        lambda: pid not in [e["pid"] for e in host.environments(function)], 5, f"{pid} is gone"
    )


def waiting_call(
    host: RunningHost, callers: ThreadPoolExecutor, folder: Path, function: str = "Waits"
) -> Future[Invoked]:
    """A call that runs until the file `go` is made; returned once it runs."""
    started, go = folder / "started", folder / "go"
    call = callers.submit(host.invoke, function, {"started": str(started), "until": str(go)})
    wait_until(started.exists, 5, "the handler runs")
    return call


def is_alive(process: psutil.Process) -> bool:
    """Whether the process still runs; one that is only waiting to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
