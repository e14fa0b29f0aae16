"""Where log lines go, and what becomes of a pipe that a function writes to."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from local_stack.telemetry.logs import (
    LINE_BYTES_MAX,
    READ_BYTES,
    TAIL_BYTES_MAX,
    EnvironmentLog,
    LogFile,
)
from tests.support.virtual_time import virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.virtual_time import VirtualTimeLoop


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualTimeLoop]:
    with virtual_time(monkeypatch) as loop:
        yield loop


# --- the file --------------------------------------------------------------------------------


class LogFolder:
    """A log file in a folder of its own."""

    def __init__(self, loop: VirtualTimeLoop, folder: Path, *, bytes_max: int, files_max: int):
        self.loop = loop
        self.path = folder / "functions" / "F.log"
        self.file = LogFile(self.path, bytes_max=bytes_max, files_max=files_max)

    def write(self, data: bytes) -> None:
        async def write() -> None:
            self.file.write(data)

        self.loop.run(write())

    def names(self) -> list[str]:
        return sorted(path.name for path in self.path.parent.iterdir())

    def text(self, name: str = "F.log") -> bytes:
        return (self.path.parent / name).read_bytes()


@pytest.fixture
def folder(loop: VirtualTimeLoop, tmp_path: Path) -> Iterator[LogFolder]:
    folder = LogFolder(loop, tmp_path, bytes_max=10, files_max=3)
    yield folder
    folder.file.close()


def test_lines_are_on_disk_within_a_tenth_of_a_second(folder: LogFolder) -> None:
    folder.write(b"one\n")
    folder.write(b"two\n")
    assert folder.text() == b""

    folder.loop.advance(0.1)

    assert folder.text() == b"one\ntwo\n"


def test_a_lot_is_on_disk_at_once(folder: LogFolder) -> None:
    folder.write(b"x" * 70_000)

    assert len(folder.text()) == 70_000


def test_a_folder_that_was_removed_is_made_again(
    folder: LogFolder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write(b"x" * 70_000)
    shutil.rmtree(folder.path.parent)
    folder.file._bytes_max = 1  # so that it has to be rotated

    folder.write(b"lost" * 20_000)
    folder.write(b"kept" * 20_000)

    assert folder.text() == b"kept" * 20_000
    assert "lines are lost" in caplog.text


def test_closing_loses_nothing(folder: LogFolder) -> None:
    folder.write(b"last words\n")
    folder.file.close()

    assert folder.text() == b"last words\n"


def test_a_file_that_is_full_is_rotated(folder: LogFolder) -> None:
    for line in (b"0123456789", b"a\n", b"b\n"):
        folder.write(line)
        folder.loop.advance(0.1)

    assert folder.names() == ["F.log", "F.log.1"]
    assert folder.text("F.log.1") == b"0123456789"
    assert folder.text() == b"a\nb\n"


def test_a_file_exactly_full_is_not_rotated_before_the_next_line(folder: LogFolder) -> None:
    for line in (b"01234", b"56789"):
        folder.write(line)
        folder.loop.advance(0.1)

    assert folder.names() == ["F.log"]


def test_no_more_files_are_kept_than_were_asked_for(folder: LogFolder) -> None:
    for number in range(6):
        folder.write(b"%d123456789" % number)
        folder.loop.advance(0.1)

    assert folder.names() == ["F.log", "F.log.1", "F.log.2"]
    assert folder.text() == b"5123456789"
    assert folder.text("F.log.2") == b"3123456789"


def test_a_single_file_starts_anew(loop: VirtualTimeLoop, tmp_path: Path) -> None:
    folder = LogFolder(loop, tmp_path, bytes_max=10, files_max=1)
    for line in (b"0123456789", b"a"):
        folder.write(line)
        loop.advance(0.1)

    assert (folder.names(), folder.text()) == (["F.log"], b"a")
    folder.file.close()


def test_a_file_that_was_there_is_continued(loop: VirtualTimeLoop, tmp_path: Path) -> None:
    first = LogFolder(loop, tmp_path, bytes_max=100, files_max=3)
    first.write(b"first\n")
    first.file.close()
    second = LogFolder(loop, tmp_path, bytes_max=100, files_max=3)
    second.write(b"second\n")
    second.file.close()

    assert second.text() == b"first\nsecond\n"


# --- the pipe --------------------------------------------------------------------------------


class Pipe:
    """The log of one environment, and the end that the environment writes to."""

    def __init__(self, loop: VirtualTimeLoop, folder: Path) -> None:
        self.loop = loop
        self.file = LogFile(folder / "F.log", bytes_max=10**9, files_max=3)
        self.metrics: list[bytes] = []
        self.log: EnvironmentLog = loop.run(self._make())
        self._write_fd = os.dup(self.log.write_fd)
        self.log.close_write_end()

    async def _make(self) -> EnvironmentLog:
        return EnvironmentLog(self.file, self.metrics.append)

    def prints(self, data: bytes) -> None:
        """Write, and read as the loop does: a pipe holds only 64 KB."""
        while data:
            data = data[os.write(self._write_fd, data[:16_384]) :]
            self.loop.settle()

    def drain(self) -> None:
        self._in_loop(self.log.drain)

    def end_log(self) -> None:
        self._in_loop(self.log.close)

    def line(self, data: bytes) -> None:
        self._in_loop(self.log.line, data)

    def _in_loop(self, function: Callable[..., None], *arguments: bytes) -> None:
        self.loop.call_soon(function, *arguments)
        self.loop.settle()

    def text(self) -> bytes:
        self.file.flush()
        return self.file._path.read_bytes()

    def ends(self) -> None:
        if self._write_fd >= 0:
            os.close(self._write_fd)
            self._write_fd = -1

    def close(self) -> None:
        self.ends()
        self.end_log()
        self.file.close()


@pytest.fixture
def pipe(loop: VirtualTimeLoop, tmp_path: Path) -> Iterator[Pipe]:
    pipe = Pipe(loop, tmp_path)
    yield pipe
    pipe.close()


def test_whole_lines_are_handed_on_and_parts_wait_for_their_end(pipe: Pipe) -> None:
    pipe.prints(b"one\ntw")
    assert pipe.text() == b"one\n"

    pipe.prints(b"o\n")

    assert pipe.text() == b"one\ntwo\n"


def test_what_was_printed_without_a_newline_stands_before_the_end_line(pipe: Pipe) -> None:
    os.write(pipe._write_fd, b"no newline")

    pipe.drain()
    pipe.line(b"END\n")

    assert pipe.text() == b"no newline\nEND\n"


def test_binary_stays_binary(pipe: Pipe) -> None:
    pipe.prints(bytes(range(256)) + b"\n")

    assert pipe.text() == bytes(range(256)) + b"\n"


def test_draining_an_empty_pipe_does_not_wait(pipe: Pipe) -> None:
    pipe.drain()

    assert pipe.text() == b""


def test_lines_still_arrive_after_somebody_drained_first(pipe: Pipe) -> None:
    """The loop may learn of lines that `drain` has taken by the time it comes to read them."""

    def somebody_is_first() -> None:
        os.write(pipe._write_fd, b"one\n")
        pipe.log.drain()
        pipe.log._on_readable()

    pipe._in_loop(somebody_is_first)
    pipe.prints(b"two\n")

    assert pipe.text() == b"one\ntwo\n"


def test_a_line_longer_than_the_bound_is_cut(pipe: Pipe) -> None:
    pipe.prints(b"x" * (LINE_BYTES_MAX * 2 + 5) + b"\nnext\n")

    lines = pipe.text().splitlines()
    assert lines.pop() == b"next"
    assert sum(len(line) for line in lines) == LINE_BYTES_MAX * 2 + 5
    assert all(len(line) <= LINE_BYTES_MAX + READ_BYTES for line in lines)


def test_the_tail_is_the_last_4_kb_since_it_was_asked_for(pipe: Pipe) -> None:
    pipe.prints(b"before\n")
    pipe.log.start_tail()
    pipe.line(b"START\n")
    pipe.prints(b"during\n")

    assert pipe.log.take_tail() == b"START\nduring\n"
    pipe.prints(b"after\n")
    assert pipe.log.take_tail() == b""


@pytest.mark.parametrize("more", [0, 1])
def test_the_tail_holds_4096_bytes_and_not_one_more(pipe: Pipe, more: int) -> None:
    pipe.log.start_tail()
    for number in range(64):
        pipe.prints(b"%063d\n" % number)
    pipe.prints(b"x" * more)
    pipe.drain()

    tail = pipe.log.take_tail()

    assert len(tail) == TAIL_BYTES_MAX
    assert tail.startswith(b"0" * 63 + b"\n") == (more == 0)


def test_metrics_among_the_lines_are_taken_and_logged(pipe: Pipe) -> None:
    document = b'{"_aws": {"Timestamp": 1}, "a": 1}'

    pipe.prints(b"text\n" + document + b'\nnot "_aws" json\n{"other": 1}\n')

    assert pipe.metrics == [document]
    assert document in pipe.text()


def test_a_metric_printed_in_parts_is_taken_whole(pipe: Pipe) -> None:
    pipe.prints(b'{"_aws": {"Times')
    pipe.prints(b'tamp": 1}}\n')

    assert pipe.metrics == [b'{"_aws": {"Timestamp": 1}}']


def test_a_metric_printed_without_a_newline_is_taken_at_the_end(pipe: Pipe) -> None:
    os.write(pipe._write_fd, b'{"_aws": {}}')

    pipe.drain()

    assert pipe.metrics == [b'{"_aws": {}}']


def test_the_end_of_a_process_brings_the_rest(pipe: Pipe) -> None:
    os.write(pipe._write_fd, b"last words")
    pipe.ends()

    pipe.end_log()
    pipe.end_log()

    assert pipe.text() == b"last words\n"


def test_the_end_of_the_pipe_is_not_read_again_and_again(pipe: Pipe) -> None:
    pipe.ends()
    pipe.loop.settle()

    # Still watched, a pipe at its end would be readable in every turn of the loop.
    with pytest.raises(KeyError):
        pipe.loop._selector.get_key(pipe.log._read_fd)  # type: ignore[attr-defined]


# --- records in frames -----------------------------------------------------------------------


def _frame(record: bytes) -> bytes:
    return b"\xa5\x5a\x00\x17" + len(record).to_bytes(4, "big") + bytes(8) + record


def test_records_in_frames_stand_among_what_is_printed(pipe: Pipe) -> None:
    pipe.prints(b"before\n" + _frame(b"[ERROR] X: y\nTraceback") + _frame(b"[INFO]\n") + b"after\n")

    assert pipe.text() == b"before\n[ERROR] X: y\nTraceback\n[INFO]\nafter\n"


def test_a_record_larger_than_the_pipe_arrives_whole(pipe: Pipe) -> None:
    record = b"x" * (LINE_BYTES_MAX // 2) + b"\n" + b"y" * (LINE_BYTES_MAX // 2)
    pipe.prints(_frame(record) + b"after\n")

    assert pipe.text() == record + b"\nafter\n"


def test_a_process_that_dies_within_a_record_spoils_nothing_of_the_next(pipe: Pipe) -> None:
    pipe.prints(_frame(b"never complete")[:-4])
    pipe.ends()
    pipe.end_log()

    pipe._in_loop(pipe.log.reopen)
    os.write(pipe.log.write_fd, b"the next process\n")
    pipe.log.close_write_end()
    pipe.loop.settle()

    assert pipe.text() == b"never comp\nthe next process\n"


def test_the_write_end_is_closed_once(pipe: Pipe) -> None:
    pipe.log.close_write_end()
    pipe.log.close_write_end()

    assert pipe.log.write_fd == -1
