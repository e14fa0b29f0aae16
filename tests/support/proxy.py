"""A TCP proxy between a client and a server, to fake outages: stopped, or deaf."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 65_536


class Proxy:
    """Passes bytes on until told otherwise; always on the same port."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listening = threading.Event()
        self._hearing = threading.Event()
        self._hearing.set()
        self._sockets: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def start(self) -> None:
        """Listen, and pass on."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections and break those that are open."""
        self._hearing.set()
        if self._listener is not None:
            # Closing alone does not wake the thread that waits in accept().
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """Break the connections that are open; new ones are welcome."""
        for connection in list(self._sockets):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def deafen(self) -> None:
        """Keep connections open, take new ones, and pass nothing on."""
        self._hearing.clear()

    def hear(self) -> None:
        """Pass on again, also what came while deaf."""
        self._hearing.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                return
            self._sockets |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                self._hearing.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()
        self._sockets.discard(source)


@contextmanager
def running_proxy(target_port: int) -> Iterator[Proxy]:
    """A proxy in front of a port of this machine; stopped at the end."""
    proxy = Proxy(target_port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
