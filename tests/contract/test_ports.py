"""Ports: one server each, and a host that finds its port taken."""

from __future__ import annotations

import socket

import pytest
import uvloop

from local_stack.errors import ServiceFailed
from local_stack.harness import process
from local_stack.harness.process import HostProcess, free_ports
from local_stack.http1 import HttpResponse, HttpServer
from local_stack.settings import load_settings
from tests.support.host import PROJECTS


def server() -> HttpServer:
    async def answer(_: object) -> HttpResponse:
        return HttpResponse(200)

    return HttpServer(answer, body_bytes_max=1, refuse=lambda status, _: HttpResponse(status))


def test_a_second_server_on_a_taken_port_is_refused() -> None:
    async def start_two() -> None:
        port = free_ports(1)
        first, second = server(), server()
        await first.start(port)
        try:
            with pytest.raises(OSError, match="address already in use"):
                await second.start(port)
        finally:
            await first.stop(0)
            if second._server is not None:
                await second.stop(0)

    uvloop.run(start_two())


def test_a_host_whose_port_was_taken_meanwhile_starts_on_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        choices = iter([taken - 1, free_ports(2)])
        monkeypatch.setattr(process, "free_ports", lambda _: next(choices))
        host = HostProcess(load_settings(PROJECTS / "tested", {"reload": False}))
        try:
            host.start()
            assert host.settings.ports.lambda_api != taken
        finally:
            host.stop()


def test_a_host_that_cannot_start_tells_why_and_leaves_nothing() -> None:
    settings = load_settings(PROJECTS / "tested", {"template": "nowhere.yaml", "reload": False})
    host = HostProcess(settings)
    try:
        with pytest.raises(ServiceFailed, match=r"(?s)cannot start.*nowhere\.yaml") as failed:
            host.start()
    finally:
        host.stop()

    assert "Traceback" not in str(failed.value)
    assert not host.settings.stack_dir.exists()


def test_free_ports_are_searched_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_is_free", lambda _: False)

    with pytest.raises(ServiceFailed, match="found no 2 free ports"):
        free_ports(2)
