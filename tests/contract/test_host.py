"""A function host as a process: how it starts, stops, and is killed."""

from __future__ import annotations

import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from local_stack.telemetry.source_metrics import EventSourceMetrics
from tests.support.host import (
    PROJECTS,
    RunningHost,
    is_alive,
    running_host,
    running_hosts,
    waiting_call,
)
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path


# --- the host --------------------------------------------------------------------------------


def test_a_polite_stop_lets_requests_finish_and_takes_no_more(tmp_path: Path) -> None:
    with running_host(PROJECTS / "runtime") as host, ThreadPoolExecutor(1) as callers:
        call = waiting_call(host, callers, tmp_path)

        host.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not _accepts(host), 5, "the host takes no more connections")
        (tmp_path / "go").touch()

        assert isinstance(call.result().value, int)
        assert host.process.wait(10) == 0


def test_a_signal_to_the_whole_group_lets_requests_finish_too(tmp_path: Path) -> None:
    with running_host(PROJECTS / "runtime") as host, ThreadPoolExecutor(1) as callers:
        call = waiting_call(host, callers, tmp_path)

        for zygote in host.zygotes():
            zygote.send_signal(signal.SIGTERM)
            zygote.send_signal(signal.SIGINT)
        host.process.send_signal(signal.SIGINT)
        wait_until(lambda: not _accepts(host), 5, "the host takes no more connections")
        (tmp_path / "go").touch()

        assert isinstance(call.result().value, int)


def test_a_host_that_is_killed_leaves_nobody_behind(tmp_path: Path) -> None:
    with running_host(PROJECTS / "runtime") as host, ThreadPoolExecutor(1) as callers:
        call = waiting_call(host, callers, tmp_path)
        started = host.descendants()
        assert len(started) >= 2

        host.process.kill()
        host.process.wait()

        assert call.exception() is not None
        wait_until(lambda: not any(map(is_alive, started)), 5, "everything has ended")


def test_a_package_that_cannot_be_preloaded_is_named_and_harmless(tmp_path: Path) -> None:
    with running_host(PROJECTS / "runtime", preload=("nonesuch",)) as host:
        assert host.invoke("Echo", 1).value == 1
        assert "nonesuch cannot be preloaded: ModuleNotFoundError: No module named" in host.output()


def test_every_host_tells_the_sum_of_all_hosts() -> None:
    with running_hosts(2, PROJECTS / "runtime") as [one, other]:
        for host in (one, one, other):
            host.invoke("Echo")

        for host in (one, other):
            assert '\nlambda_invocations_total{function="Echo"} 3.0\n' in host.metrics()

        other.process.kill()
        other.process.wait()
        assert '\nlambda_invocations_total{function="Echo"} 2.0\n' in one.metrics()
        assert "host 2 does not answer for its metrics" in one.output()


def test_a_host_tells_of_the_event_sources_too(host: RunningHost) -> None:
    metrics = EventSourceMetrics()
    metrics.dropped.labels("Orders").inc(3)

    metrics.write(host.settings.run_dir, 1)
    try:
        assert '\nkafka_source_dropped_total{source="Orders"} 3.0\n' in host.metrics()
    finally:
        (host.settings.run_dir / "event-sources-1.prom").unlink()


def test_a_port_that_is_taken_is_named_with_its_remedy(host: RunningHost) -> None:
    second = subprocess.run(
        host.command, env=host.environment, capture_output=True, text=True, timeout=30, check=False
    )

    assert second.returncode == 1
    assert re.search(
        r"^error: port \d+ is taken .*\[tool.local-stack.ports\] hosts$",
        second.stderr,
        re.MULTILINE,
    )
    assert "Traceback" not in second.stderr
    assert host.invoke("Echo", 1).value == 1


def test_a_template_that_cannot_be_honoured_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text("Resources: [\n")

    with pytest.raises(AssertionError) as caught, running_host(tmp_path):
        pass

    assert "error: template.yaml:2: " in str(caught.value)
    assert "Traceback" not in str(caught.value)


def _accepts(host: RunningHost) -> bool:
    try:
        httpx.get(f"{host.lambda_url}/_local_stack/ready", trust_env=False)
    except httpx.TransportError:
        return False
    return True
