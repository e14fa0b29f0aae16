"""Runs a SAM template for tests: one function host on free ports, for as long as a test needs it.

    from local_stack.testing import LocalStack

    with LocalStack.start("template.yaml", parameters={"Stage": "test"}) as stack:
        assert stack.invoke("Hello", {"name": "Ann"}).value == {"greeting": "Hello Ann"}

With pytest, `pytest_plugins = ["local_stack.testing"]` in the top `conftest.py` gives the fixture
`local_stack`. There is no Nginx, no store, no event source that runs by itself: what these would
do, a test does by hand (`fire_schedule`, `deliver`, `advance`), at once and in order.
"""

from __future__ import annotations

import base64
import json
import threading
from functools import cached_property
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from local_stack import clock
from local_stack.errors import LocalStackError
from local_stack.harness.answers import Delivery, Invoked, KafkaRecord, encode
from local_stack.harness.process import HostProcess
from local_stack.model import REGION
from local_stack.settings import find_project_dir, load_settings
from local_stack.template.project import load_project

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from mypy_boto3_lambda.client import LambdaClient

    from local_stack.model import Template
    from local_stack.settings import Settings

__all__ = ["Delivery", "Invoked", "KafkaRecord", "LocalStack"]
pytest_plugins = ("local_stack.pytest_plugin",)  # read by pytest, and by nobody else

CALL_TIMEOUT_S = 910.0  # a function runs for 900 s at most
SETTLE_POLL_S = 0.01
CONNECTIONS_MAX = 64


class LocalStack:
    """A running template. Make it with `start`; it stops with `stop`, `with`, or this process."""

    def __init__(self, process: HostProcess, template: Template) -> None:
        self._process = process
        self.template = template

    @classmethod
    def start(
        cls,
        template: str | Path = "template.yaml",
        *,
        parameters: Mapping[str, str] | None = None,
        env_vars: Mapping[str, Mapping[str, str]] | None = None,
        **settings: Any,
    ) -> Self:
        """Start a host for `template` and return when it is ready.

        `parameters` are values of the template's Parameters, `env_vars` variables of functions by
        name (`Parameters`: of all), both before what the project's files say. `settings` are
        fields of `[tool.local-stack]`, such as `skip_unsupported=True`. Raises `LocalStackError`,
        whose text says what is wrong and where.
        """
        path = Path(template).resolve()
        resolved = _settings(path, parameters or {}, env_vars or {}, settings)
        process = HostProcess(resolved)
        try:
            read = load_project(process.settings)
            process.start()
        except BaseException:
            process.stop()
            raise
        return cls(process, read)

    def stop(self) -> None:
        """Stop the host and remove its folder; running invocations have some seconds to end."""
        if "lambda_client" in self.__dict__:
            self.lambda_client.close()
        self._process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # ---- calling functions ----

    @property
    def base_url(self) -> str:
        """The HTTP API, without a slash at the end."""
        return self._process.base_url

    @property
    def lambda_url(self) -> str:
        """The Lambda API: `endpoint_url` of an AWS SDK."""
        return self._process.lambda_url

    @cached_property
    def lambda_client(self) -> LambdaClient:
        """boto3's client of this host; it repeats nothing by itself."""
        import boto3  # deferred: 350 ms, only for who asks for it
        from botocore.config import Config

        return boto3.client(
            "lambda",
            endpoint_url=self.lambda_url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - signatures are not checked
            config=Config(
                read_timeout=CALL_TIMEOUT_S,
                retries={"total_max_attempts": 1},
                max_pool_connections=CONNECTIONS_MAX,
                proxies={},
            ),
        )

    def invoke(
        self,
        name: str,
        event: Any = None,
        *,
        kind: Literal["RequestResponse", "Event"] = "RequestResponse",
    ) -> Invoked:
        """Invoke a function; `event` is anything that JSON knows. A function error raises nothing.

        `kind` `"Event"` is accepted at once and runs by itself. What the Lambda API refuses
        (throttled, unknown function) raises `botocore.exceptions.ClientError`, as on AWS.
        """
        tail: dict[str, Any] = {"LogType": "Tail"} if kind == "RequestResponse" else {}
        answer = self.lambda_client.invoke(
            FunctionName=name, Payload=json.dumps(event), InvocationType=kind, **tail
        )
        body = answer["Payload"]
        try:
            payload = body.read()
        finally:
            body.close()
        log = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
        request_id = answer["ResponseMetadata"]["RequestId"]
        return Invoked(answer["StatusCode"], payload, answer.get("FunctionError"), log, request_id)

    def logs(self, name: str, *, since: int = 0) -> str:
        """What a function has logged, with Lambda's START, END and REPORT lines.

        `since` leaves out as many bytes: what `log_sizes` said some time ago.
        """
        self._ask("POST", "logs")
        path = self._log_path(name)
        return path.read_bytes()[since:].decode(errors="replace") if path.exists() else ""

    def log_sizes(self) -> dict[str, int]:
        """How many bytes each function has logged until now."""
        self._ask("POST", "logs")
        paths = {name: self._log_path(name) for name in self.template.functions}
        return {name: path.stat().st_size for name, path in paths.items() if path.exists()}

    def host_log(self) -> str:
        """What the host itself logged: accepted events that failed for good, restarts, warnings."""
        return self._process.output()

    # ---- what the world would do ----

    def fire_schedule(self, name: str) -> Invoked:
        """Let a schedule start its function now, with the event of its kind.

        `name` is the schedule's, or that of a function with only one.
        """
        return Invoked.of(self._ask("POST", "schedules", {"name": name}))

    def deliver(
        self, mapping: str, records: Iterable[KafkaRecord | bytes | str | Any], *, attempts: int = 1
    ) -> Delivery:
        """Hand one batch to a Kafka event source mapping; what it commits, and tries again.

        `mapping` is the mapping's name, or that of a function with only one. A record is a
        `KafkaRecord`, bytes, a text, or anything else that JSON knows. The function is called
        `attempts` times at most, without the waits between: retries, bisecting and what is given
        up are the mapping's own.
        """
        items = [encode(record) for record in records]
        document = {"mapping": mapping, "records": items, "attempts": attempts}
        return Delivery.of(self._ask("POST", "kafka", document))

    def advance(self, seconds: float) -> None:
        """Put the clock of asynchronous events forward: retries that are due then, run now."""
        self._ask("POST", "advance", {"seconds": seconds})

    # ---- what may go wrong ----

    def throttle(self, name: str, *, times: int = 1) -> None:
        """The next invocations of a function are refused with 429 TooManyRequestsException."""
        self._fault(name, kind="throttle", times=times)

    def fail(
        self,
        name: str,
        *,
        times: int = 1,
        error_type: str = "InjectedError",
        message: str = "A test asked for this error.",
    ) -> None:
        """The next invocations of a function end as if it had raised."""
        self._fault(name, kind="error", times=times, error_type=error_type, message=message)

    def time_out(self, name: str, *, times: int = 1) -> None:
        """The next invocations of a function end as if its Timeout had passed, without the wait."""
        self._fault(name, kind="timeout", times=times)

    # ---- what became of it ----

    def async_events(self) -> list[dict[str, Any]]:
        """Asynchronous events, by `state`: those `settled`, the `due` (they run), the `waiting`.

        A settled one has `condition`, `Success` or as destination records say it; the others have
        `due_s`. All have `request_id`, `function` and `invoke_count`.
        """
        events: list[dict[str, Any]] = self._ask("GET", "events")["events"]
        return events

    def destination_records(self) -> list[dict[str, Any]]:
        """Records for Kafka topics: of destinations, and dead letters. `value` is read as JSON."""
        records: list[dict[str, Any]] = self._ask("GET", "records")["records"]
        for record in records:
            record["value"] = json.loads(record["value"])
        return records

    def wait_until_settled(self, timeout_s: float = 10.0) -> list[dict[str, Any]]:
        """Wait until no asynchronous event is due or running; then the same as `async_events`.

        An event that waits for a retry does not count: `advance` makes it due. Raises
        `LocalStackError` when events still run after `timeout_s`.
        """
        deadline = clock.monotonic() + timeout_s
        pause = threading.Event()
        while True:
            events = self.async_events()
            if not any(event["state"] == "due" for event in events):
                return events
            if clock.monotonic() > deadline:
                msg = f"asynchronous events still run after {timeout_s:g} s: {events}"
                raise LocalStackError(msg)
            pause.wait(SETTLE_POLL_S)

    def reset(self) -> None:
        """Forget faults, events, records, and how far the clock was put forward.

        Environments stay as they are: what a function keeps in its module is still there.
        """
        self._ask("POST", "reset")

    def _log_path(self, name: str) -> Path:
        return self._process.settings.log_dir / "functions" / f"{name}.log"

    def _fault(self, name: str, **fault: Any) -> None:
        self._ask("POST", "faults", {"function": name, **fault})

    def _ask(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> Any:
        """One request to the host's control. Raises `LocalStackError` with what it was told."""
        ports = self._process.settings.ports
        connection = HTTPConnection("127.0.0.1", ports.lambda_api, timeout=CALL_TIMEOUT_S)
        try:
            body = None if document is None else json.dumps(document).encode()
            headers = {"Content-Type": "application/json"}
            connection.request(method, f"/_local_stack/test/{path}", body, headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        except OSError as error:
            msg = f"the function host is gone ({error}). The end of its log:\n{self.host_log()[-2000:]}"
            raise LocalStackError(msg) from error
        finally:
            connection.close()
        if response.status != 200:
            raise LocalStackError(str(answer.get("Message") or answer.get("message") or answer))
        return answer


def _settings(
    template: Path,
    parameters: Mapping[str, str],
    env_vars: Mapping[str, Mapping[str, str]],
    more: Mapping[str, Any],
) -> Settings:
    """The project's settings, with what a test wants otherwise. No parameter is lost."""
    project_dir = find_project_dir(template.parent)
    flags = {"reload": False, **more, "parameters": parameters, "env_vars": env_vars}
    return load_settings(project_dir, {**flags, "template": template, "test_control": True})
