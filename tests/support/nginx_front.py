"""The real Nginx with the rendered configuration, in front of hosts that only record."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from local_stack.model import Api, Route, Template
from local_stack.services import nginx
from local_stack.settings import Settings
from tests.support.functions import a_function
from tests.support.ports import free_ports
from tests.support.services import running_process
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY_BYTES_MAX = 65536
LONG_ANSWER = json.dumps({"items": list(range(2000))}).encode()
ROUTES = [
    Route("POST", "/api/bet"),
    Route("GET", "/api/bets/{userId}"),
    Route("GET", "/files/{path+}"),
]


def a_template(*apis: Api, routes: list[Route] = ROUTES, **function: Any) -> Template:
    """A template with one function that answers the routes."""
    one = replace(a_function("Hello", **function), routes=tuple(routes))
    return Template(Path("/template.yaml"), {"Hello": one}, {api.id: api for api in apis})


@dataclass
class Host:
    """A host that records what reaches it and answers as it was told to."""

    port: int
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)
    drop_connection: bool = False  # read the request, answer nothing


@contextmanager
def running_host(port: int) -> Iterator[Host]:
    host = Host(port)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            host.requests.append((self.command, self.path, headers, body))
            host.connections.add(self.client_address[1])
            if host.drop_connection:
                self.close_connection = True
                return
            answer = LONG_ANSWER if "long" in self.path else b'{"ok": true}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("X-Request-Id", "the host's own")
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_OPTIONS = do_PROPFIND = _answer  # noqa: N815 - the library's names

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Front:
    """A running Nginx and the hosts behind it: [HTTP API, Lambda API] of each."""

    settings: Settings
    hosts: list[tuple[Host, Host]]

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        api: str = "http",
    ) -> tuple[HTTPResponse, bytes]:
        port = self.settings.ports.http if api == "http" else self.settings.ports.lambda_api
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()


@contextmanager
def running_front(
    folder: Path,
    *,
    replicas: int = 1,
    style: str = "problem",
    silent: int | None = None,
    template: Template | None = None,
) -> Iterator[Front]:
    """Nginx in front of `replicas` hosts; number `silent` (from 0) does not run."""
    first = free_ports(2 + 2 * replicas)
    settings = Settings.model_validate(
        {
            "project_dir": folder,
            "stack_dir": folder,
            "replicas": replicas,
            "gateway_errors": style,
            "ports": {"http": first, "lambda_api": first + 1, "hosts": first + 2},
            "limits": {"http_body_bytes": BODY_BYTES_MAX},
        }
    )
    (folder / "tmp").mkdir()
    config = folder / "nginx.conf"
    config.write_text(nginx.render_template(settings, template or a_template()))
    with ExitStack() as stack:
        enter = stack.enter_context
        hosts = []
        for index in range(replicas):
            http_port, api_port = settings.host_ports(index + 1)
            if index != silent:
                hosts.append((enter(running_host(http_port)), enter(running_host(api_port))))
        log = folder / "nginx.log"
        process = enter(running_process(nginx.command(config=config, folder=folder), log))

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return nginx.is_ready(settings.ports.http) and nginx.is_ready(first + 1)

        wait_until(is_ready, 10, "Nginx answers")
        yield Front(settings, hosts)
