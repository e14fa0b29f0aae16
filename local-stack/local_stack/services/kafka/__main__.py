"""Runs the embedded broker and gives it back its topics.

    python -m local_stack.services.kafka --binary TANSU --host H --port N --data DIR

It lives and dies with the broker: either one ending ends the other. The broker loses everything
when it stops; consumers and producers find their topics again with the partitions they had, because
all of them are created in the first request after its port opens. Should a client's request still
have come first and auto-created one with another number, the broker is started afresh.
Standard library only: this process stays for as long as the broker does.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from local_stack.clock import monotonic
from local_stack.errors import ServiceFailed
from local_stack.services import launch
from local_stack.services.kafka.broker import READY_FILE
from local_stack.services.kafka.protocol import Connection
from local_stack.services.kafka.topics import RememberedTopics

if TYPE_CHECKING:
    from collections.abc import Sequence

OPEN_WAIT_S = 10.0
CONNECT_PAUSE_S = 0.001  # the port opens 2 ms after the start; the race is about who asks first
RESTORE_ATTEMPTS_MAX = 20
_STOP = (signal.SIGTERM, signal.SIGINT)
_WAKE = {*_STOP, signal.SIGCHLD}
POLL_S = 0.25  # how long a new topic may stay unremembered; a poll costs 0.4 ms


class TopicsLost(Exception):
    """A client was faster and a topic exists with the wrong number of partitions."""


class Wrapper:
    """One broker process at a time, and what it should contain."""

    def __init__(self, binary: Path, host: str, port: int, data_dir: Path) -> None:
        self._binary = binary
        self._host = host
        self._port = port
        self._ready = data_dir / READY_FILE
        self._remembered = RememberedTopics(data_dir / "topics.json")
        self._broker: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Run until told to stop (0) or the broker ends (its code)."""
        try:
            with self._started() as connection:
                self._ready.touch()
                return self._watch(connection)
        except InterruptedError:
            return 0
        finally:
            self._ready.unlink(missing_ok=True)
            self._kill()

    def _started(self) -> Connection:
        for _ in range(RESTORE_ATTEMPTS_MAX):
            self._ready.unlink(missing_ok=True)
            self._check_port_is_free()
            self._spawn()
            connection = self._connect()
            try:
                self._restore(connection)
            except TopicsLost as lost:
                sys.stderr.write(f"{lost}; starting the broker afresh\n")
                connection.close()
                self._kill()
                continue
            return connection
        msg = f"clients kept creating topics first, {RESTORE_ATTEMPTS_MAX} times: stop them"
        raise ServiceFailed(msg)

    def _check_port_is_free(self) -> None:
        """Before the start, or we would take whoever answers there for our broker."""
        try:
            Connection(self._host, self._port).close()
        except OSError:
            return
        msg = f"port {self._port} is taken by another program"
        raise ServiceFailed(msg)

    def _spawn(self) -> None:
        url = f"tcp://{self._host}:{self._port}"
        argv = [str(self._binary), "--listener-url", url, "--advertised-listener-url", url]
        self._broker = subprocess.Popen(  # noqa: S603 - our own binary, no shell
            launch.command(argv, death_signal="KILL"), stdin=subprocess.DEVNULL
        )

    def _connect(self) -> Connection:
        deadline = monotonic() + OPEN_WAIT_S
        while not _told_to_stop(CONNECT_PAUSE_S):
            self._check_alive()
            try:
                return Connection(self._host, self._port)
            except OSError:
                if monotonic() > deadline:
                    msg = f"the broker did not open its port within {OPEN_WAIT_S:g} s"
                    raise ServiceFailed(msg) from None
        raise InterruptedError

    def _restore(self, connection: Connection) -> None:
        wanted = self._remembered.topics
        if not wanted:
            return
        connection.create(wanted)
        present = connection.topics()
        wrong = self._remembered.wrong_in(present)
        missing = wanted.keys() - present.keys()
        if wrong or missing:
            names = ", ".join(sorted(wrong.keys() | missing))
            msg = f"topics {names} did not come back with the partitions they had"
            raise TopicsLost(msg)

    def _watch(self, connection: Connection) -> int:
        while not _told_to_stop(POLL_S):
            assert self._broker is not None
            code = self._broker.poll()
            if code is not None:
                sys.stderr.write(f"the broker ended with code {code}\n")
                return code if code > 0 else 1
            try:
                self._remembered.update(connection.topics())
            except OSError:
                self._broker.wait(timeout=OPEN_WAIT_S)
        return 0

    def _check_alive(self) -> None:
        assert self._broker is not None
        code = self._broker.poll()
        if code is not None:
            msg = f"the broker ended with code {code} while starting"
            raise ServiceFailed(msg)

    def _kill(self) -> None:
        if self._broker is not None and self._broker.poll() is None:
            self._broker.kill()
            self._broker.wait()


def _told_to_stop(wait_s: float) -> bool:
    """Wait for SIGTERM or SIGINT; the end of the broker ends the wait too.

    The signals are blocked and taken here, so none arrives in the middle of something. The broker
    inherits the blocked mask, which does not matter: it has nothing to save and is only ever killed.
    """
    received = signal.sigtimedwait(_WAKE, wait_s)
    return received is not None and received.si_signo in _STOP


def main(argv: Sequence[str]) -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="local_stack.services.kafka")
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args(argv)
    options.data.mkdir(parents=True, exist_ok=True)
    wrapper = Wrapper(options.binary, options.host, options.port, options.data)
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAKE)
    try:
        return wrapper.run()
    except (ServiceFailed, OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"Kafka cannot run: {error}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
