"""The official Runtime Interface Emulator on the same handlers: where it answers as we do.

`python -m tests.conformance.rie EMULATOR [--record]`. EMULATOR is the binary that
`go install github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie@VERSION` makes.
Every scenario runs the unmodified awslambdaric on the same handler, event, timeout and interpreter
on both sides. The emulator covers one function and one invocation at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from local_stack.template.loader import load_template
from tests.conformance.scenarios import SCENARIOS
from tests.support.host import PROJECTS, running_host
from tests.support.ports import free_ports
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_stack.model import Function
    from tests.conformance.scenarios import Scenario
    from tests.support.host import RunningHost

RECORD = Path(__file__).parent / "rie.json"
PROJECT = PROJECTS / "runtime"
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def main() -> int:
    """Print every scenario and whether both agree."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.rie")
    parser.add_argument("emulator", type=Path)
    parser.add_argument("--record", action="store_true", help="write rie.json, for the table")
    arguments = parser.parse_args()
    functions = load_template(PROJECT / "template.yaml", {}).functions
    findings: dict[str, str] = {}
    with running_host(PROJECT, preload=("httpx",), hidden_packages=("yaml",)) as host:
        for scenario in SCENARIOS:
            ours = _ours(host, scenario)
            theirs = _theirs(arguments.emulator, functions[scenario.function], scenario.event)
            finding = _compare(ours, theirs)
            sys.stdout.write(f"{scenario.function} {_short(scenario.event)}: {finding}\n")
            if finding != "same":
                sys.stdout.write(f"    ours: {_short(ours)}\n")
            findings |= dict.fromkeys(scenario.rows, finding)
    if arguments.record:
        record = {"emulator": _version(arguments.emulator), "rows": dict(sorted(findings.items()))}
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    return 0


def _compare(ours: str, theirs: str) -> str:
    """`same`, or what the emulator says instead; of two objects only the members that differ."""
    if ours == theirs:
        return "same"
    mine, other = _parsed(ours), _parsed(theirs)
    if isinstance(mine, dict) and isinstance(other, dict):
        differing = {
            k: other.get(k) for k in mine.keys() | other.keys() if mine.get(k) != other.get(k)
        }
        return f"differs: {_short(json.dumps(differing, sort_keys=True))}"
    return f"differs: {_short(theirs) or 'an empty answer'}"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _ours(host: RunningHost, scenario: Scenario) -> str:
    answer = httpx.post(
        f"{host.lambda_url}/2015-03-31/functions/{scenario.function}/invocations",
        content=json.dumps(scenario.event).encode(),
        timeout=60,
        trust_env=False,
    )
    return _normal(answer.text)


def _theirs(emulator: Path, function: Function, event: Any) -> str:
    with _emulated(emulator, function) as url:
        answer = httpx.post(url, content=json.dumps(event).encode(), timeout=60, trust_env=False)
    return _normal(answer.text)


@contextmanager
def _emulated(emulator: Path, function: Function) -> Iterator[str]:
    """The emulator with this function, and the address that invokes it."""
    port = free_ports(2)
    command = [str(emulator.resolve())]
    command += ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{port + 1}"]
    command += [sys.executable, "-P", "-m", "awslambdaric", function.handler]
    variables = {
        **os.environ,
        **function.variables,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(int(function.timeout_s)),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "LAMBDA_TASK_ROOT": str(function.code_dir),
        "PYTHONPATH": str(function.code_dir),
    }
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=function.code_dir, env=variables, stdout=output, stderr=output
        )
        url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        try:
            wait_until(lambda: _listens(url), 10, "the emulator listens")
            yield url
        finally:
            process.kill()
            process.wait()


def _listens(url: str) -> bool:
    try:
        httpx.get(url, trust_env=False)
    except httpx.TransportError:
        return False
    return True


def _normal(text: str) -> str:
    """Without what differs from run to run, and with JSON in one spelling."""
    text = _ID.sub("<id>", text)
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 160 else f"{text[:150]}… ({len(text)} characters)"


def _version(emulator: Path) -> str:
    done = subprocess.run(
        ["go", "version", "-m", str(emulator)], capture_output=True, text=True, check=False
    )
    found = re.search(r"mod\s+(\S+)\s+(\S+)", done.stdout)
    return f"{found[1]} {found[2]}" if found else "unknown"


if __name__ == "__main__":
    sys.exit(main())
