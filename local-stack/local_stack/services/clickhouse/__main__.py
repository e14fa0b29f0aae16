"""Serves one data folder: `python -m local_stack.services.clickhouse --port N --data DIR`.

Loopback only, and without users: any name and password is taken and none is checked, so whoever
can open a socket here can do what this process can. On SIGTERM it stops accepting, lets requests
in flight finish, closes the engine and returns 0.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import ipaddress
import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from local_stack.errors import LocalStackError, ServiceFailed
from local_stack.services.clickhouse.engine import Engine
from local_stack.services.clickhouse.limits import Limits
from local_stack.services.clickhouse.server import serve

if TYPE_CHECKING:
    from collections.abc import Sequence

LOGGER = logging.getLogger("local_stack.services.clickhouse")


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop; the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    options = _parser().parse_args(argv)
    limits = Limits(**{f.name: getattr(options, f.name) for f in dataclasses.fields(Limits)})
    try:
        listener = _bind(options.host, options.port)
        engine = Engine.open(options.data)
    except LocalStackError as error:
        sys.stderr.write(f"clickhouse: {error}\n")
        return 1
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ended = runner.run(serve(engine, listener, limits, options.data))
    if not ended:
        LOGGER.error("queries did not end in time; leaving without closing the engine")
        os._exit(1)
    engine.close()
    LOGGER.info("stopped")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="local_stack.services.clickhouse", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    for limit in dataclasses.fields(Limits):
        assert limit.default is not dataclasses.MISSING
        flag = "--limit-" + limit.name.replace("_", "-")
        kind = type(limit.default)
        parser.add_argument(flag, dest=limit.name, type=kind, default=limit.default)
    return parser


def _bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet. Raises `ServiceFailed`."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        msg = f"--host {host}: only a loopback address is served, as there is no authentication"
        raise ServiceFailed(msg)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((str(address), port))
    except OSError as error:
        listener.close()
        msg = f"port {port} of {host} cannot be used: {error.strerror}"
        raise ServiceFailed(msg) from error
    return listener


if __name__ == "__main__":
    sys.exit(main())
