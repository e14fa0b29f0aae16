"""Log lines of functions: how they are read, and where they go.

A function's standard output and error are one pipe, and so is what awslambdaric logs: it writes
records in frames, as to Lambda itself, into the same pipe, so that the order stays. Whatever a handler
wrote before it answered is in the pipe by then: draining it without waiting puts every line before
its END line.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING

from local_stack.telemetry.frames import Frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOGGER = logging.getLogger(__name__)
TAIL_BYTES_MAX = 4096  # X-Amz-Log-Result: "the last 4 KB of the execution log" (API_Invoke)
LINE_BYTES_MAX = 256 * 1024  # a longer line is cut into several, as CloudWatch's events are
READ_BYTES = 64 * 1024
DRAIN_READS_MAX = 64  # 4 MiB: what one drain may take before the loop gets its turn again
FLUSH_BYTES = 64 * 1024
FLUSH_SECONDS = 0.1


class LogFile:
    """One function's log file: buffered for a tenth of a second, rotated by size."""

    def __init__(self, path: Path, *, bytes_max: int, files_max: int) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._flush_due: asyncio.TimerHandle | None = None
        self._lost = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._size = path.stat().st_size

    def write(self, data: bytes) -> None:
        """Append whole lines; they are on disk after `FLUSH_SECONDS` at the latest."""
        self._buffer.append(data)
        self._buffered += len(data)
        if self._buffered >= FLUSH_BYTES:
            self.flush()
        elif self._flush_due is None:
            loop = asyncio.get_running_loop()
            self._flush_due = loop.call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what is buffered, and rotate when the file is full."""
        if self._flush_due is not None:
            self._flush_due.cancel()
            self._flush_due = None
        if not self._buffer:
            return
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._buffered = 0
        try:
            if self._size and self._size + len(data) > self._bytes_max:
                self._rotate()
            self._file.write(data)
        except (OSError, ValueError) as error:  # a full disk; ValueError: it could not be opened
            self._lose(len(data), error)
        else:
            self._size += len(data)

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._file.close()

    def _lose(self, size: int, error: Exception) -> None:
        """Lines that cannot be written are gone; whoever invokes must not notice."""
        if not self._lost:
            _LOGGER.warning("%s cannot be written, lines are lost: %s", self._path, error)
        self._lost += size
        with contextlib.suppress(OSError):
            self._file.close()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab", buffering=0)
            self._size = self._path.stat().st_size

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._files_max - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = (
                self._path if number == 1 else older.with_name(f"{self._path.name}.{number - 1}")
            )
            if newer.exists():
                newer.replace(older)
        if self._files_max == 1:
            self._path.unlink()
        self._file = self._path.open("ab", buffering=0)
        self._size = 0


class EnvironmentLog:
    """Reads the log pipe of one environment and hands whole lines on; a pipe for each process."""

    def __init__(self, file: LogFile, on_metrics: Callable[[bytes], None]) -> None:
        self._file = file
        self._on_metrics = on_metrics
        self._loop = asyncio.get_running_loop()
        self._partial = b""
        self._frames = Frames()
        self._tail: bytearray | None = None
        self._open()

    def _open(self) -> None:
        self._read_fd, self.write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        self._loop.add_reader(self._read_fd, self._on_readable)
        self._closed = False

    def reopen(self) -> None:
        """A new pipe for another process, after `close`."""
        assert self._closed
        self._open()

    def close_write_end(self) -> None:
        """After the fork: only the environment holds the write end."""
        write_fd, self.write_fd = self.write_fd, -1
        if write_fd >= 0:
            os.close(write_fd)

    def start_tail(self) -> None:
        """Keep the last 4 KB from now on, for `X-Amz-Log-Result`."""
        self._tail = bytearray()

    def take_tail(self) -> bytes:
        """What was kept since `start_tail`, and stop keeping."""
        tail, self._tail = self._tail, None
        return bytes(tail or b"")

    def line(self, data: bytes) -> None:
        """Lines of the platform's own (START, END, REPORT, …), or nothing."""
        if data:
            self._emit(data)

    def drain(self) -> None:
        """Take what the environment has written so far, without waiting."""
        for _ in range(DRAIN_READS_MAX):
            if not self._read():
                break
        if self._partial or self._frames.cut:
            # Printed without a newline: it still belongs before END.
            partial, self._partial = self._partial + self._frames.rest(), b""
            self._take(partial + b"\n")

    def close(self) -> None:
        """The process is gone: take the rest and close the pipe."""
        if self._closed:
            return
        self.drain()
        self._closed = True
        self._frames = Frames()
        self._loop.remove_reader(self._read_fd)
        os.close(self._read_fd)

    def _on_readable(self) -> None:
        if not self._closed and self._read() is None:
            # End of file: every holder of the write end is gone.
            self._loop.remove_reader(self._read_fd)

    def _read(self) -> int | None:
        """How much was taken: 0 when `drain` was here first, None at the end of the pipe."""
        if self._closed:
            return None
        try:
            data = os.read(self._read_fd, READ_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            return None
        size = len(data)
        if self._frames.concern(data):
            data = self._frames.text_of(data)
        self._take(self._partial + data if self._partial else data)
        return size

    def _take(self, data: bytes) -> None:
        end = data.rfind(b"\n") + 1
        lines, self._partial = data[:end], data[end:]
        if len(self._partial) > LINE_BYTES_MAX:
            lines += self._partial[:LINE_BYTES_MAX] + b"\n"
            self._partial = self._partial[LINE_BYTES_MAX:]
        if lines:
            self._emit(lines)
            if b'"_aws"' in lines:
                for line in lines.splitlines():
                    if line.startswith(b"{") and b'"_aws"' in line:
                        self._on_metrics(line)

    def _emit(self, data: bytes) -> None:
        self._file.write(data)
        if self._tail is not None:
            self._tail += data
            if len(self._tail) > TAIL_BYTES_MAX:
                del self._tail[:-TAIL_BYTES_MAX]
