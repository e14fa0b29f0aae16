"""How much memory an environment uses, and what happens when it is more than its `MemorySize`.

Counted are the anonymous pages that the environment's process has for itself, and those of every
process that its handler started. Pages that it still shares with the zygote are not: on AWS the
interpreter and its libraries count too, some tens of MB.

A reading is cheap because it is a subtraction: `/proc/<pid>/statm` (1 µs) minus what is shared with
the zygote, which `smaps_rollup` (0.3 ms) told when the environment became ready. Whoever seems to be
over its limit is read exactly before anything is done about it. Busy environments are read every
`SAMPLE_S`; what is taken and given back between two readings is not seen. Filling pages costs the
kernel 0.4 to 2 GB/s, so an environment gets at most 100 MB past its limit before it is seen; a single
allocation that no machine of its size could hold is refused at once (`data_bytes_max`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE_S = 0.05  # a tick with 20 busy environments takes 0.1 ms
# Of address space, not memory: 1,024 threads have 8 MB of stack each, and touch little of it.
_DATA_MARGIN_BYTES = 9 << 30
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MB = 1 << 20


def data_bytes_max(memory_mb: int) -> int:
    """RLIMIT_DATA of an environment: more than this is `MemoryError`, at once."""
    return 2 * memory_mb * _MB + _DATA_MARGIN_BYTES


class MemorySampler:
    """Reads the environments that are busy. One a host; lives on one event loop."""

    def __init__(self) -> None:
        self._busy: set[MemoryMeter] = set()
        self._timer: asyncio.TimerHandle | None = None

    def meter(self, pid: int, limit_mb: int, on_exceeded: Callable[[], None]) -> MemoryMeter:
        """A meter for the environment of process `pid`; `on_exceeded` is called at most once."""
        return MemoryMeter(pid, limit_mb, on_exceeded, self)

    def add(self, meter: MemoryMeter) -> None:
        """Read this one at every tick from now on."""
        self._busy.add(meter)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SAMPLE_S, self._tick)

    def discard(self, meter: MemoryMeter) -> None:
        """Not any more."""
        self._busy.discard(meter)

    def _tick(self) -> None:
        self._timer = None
        for meter in list(self._busy):
            meter.sample()
        if self._busy:
            self._timer = asyncio.get_running_loop().call_later(SAMPLE_S, self._tick)


class MemoryMeter:
    """The memory of one environment. Made by `MemorySampler.meter`.

    `begin` when init or an invocation starts, `settle` when init is over, `end` when that or an
    invocation is answered, `close` when the process has ended.
    """

    def __init__(
        self, pid: int, limit_mb: int, on_exceeded: Callable[[], None], sampler: MemorySampler
    ) -> None:
        self._pid = pid
        self._limit_bytes = limit_mb * _MB
        self._on_exceeded: Callable[[], None] | None = on_exceeded
        self._sampler = sampler
        self._statm = _open(f"/proc/{pid}/statm")
        self._shared_bytes = 0  # anonymous, and the zygote's as well
        self._peak_bytes = 0
        self._nothing_new_bytes = 0  # an invocation that ends with no more need not be looked at
        self._children_seen = False
        self._exact_at_bytes = 0  # the process had so much when it was last read exactly
        self.used_mb = 0  # the most that was seen, as `Max Memory Used` says it

    def begin(self) -> None:
        """Watch: code of the function runs."""
        self._sampler.add(self)

    def end(self) -> int:
        """It has been answered: read once more, stop watching. The most that was seen, in MB.

        The last reading may find too much, and then `on_exceeded` is called from here.
        """
        self._sampler.discard(self)
        anonymous = self._anonymous_bytes()
        if anonymous > self._nothing_new_bytes:
            self._judge(anonymous, 0)
        return self.used_mb

    def settle(self) -> None:
        """Find out what is shared with the zygote: once, when the environment is ready."""
        self._read_exactly()

    def close(self) -> None:
        """The process has ended."""
        self._sampler.discard(self)
        self._on_exceeded = None
        if self._statm >= 0:
            os.close(self._statm)
            self._statm = -1

    def sample(self) -> None:
        """Read it and what it started."""
        children = descendants(self._pid)
        self._children_seen = bool(children)
        if not self._exact_at_bytes:  # still in its init: what is shared is not known yet
            self._read_exactly()
        self._judge(self._anonymous_bytes(), sum(map(private_bytes, children)))

    def _judge(self, anonymous: int, children_bytes: int) -> None:
        total = anonymous + children_bytes
        if total > self._limit_bytes and abs(anonymous - self._exact_at_bytes) > _MB:
            self._read_exactly()
        used = max(0, anonymous - self._shared_bytes) + children_bytes
        if used > self._peak_bytes:
            self._note(used)
        if used > self._limit_bytes and self._on_exceeded is not None:
            on_exceeded, self._on_exceeded = self._on_exceeded, None
            self._sampler.discard(self)
            on_exceeded()

    def _note(self, peak_bytes: int) -> None:
        self._peak_bytes = peak_bytes
        self._nothing_new_bytes = min(peak_bytes + self._shared_bytes, self._limit_bytes)
        self.used_mb = min(-(-peak_bytes // _MB), self._limit_bytes // _MB)

    def _read_exactly(self) -> None:
        """Measure what is shared. Not while it has children: they share pages with it, too."""
        if self._children_seen:
            return
        anonymous = self._anonymous_bytes()
        private = private_bytes(self._pid)
        if anonymous and private:
            self._exact_at_bytes = anonymous
            self._shared_bytes = max(0, anonymous - private)
            self._note(max(self._peak_bytes, private))

    def _anonymous_bytes(self) -> int:
        """Resident anonymous pages of the process; 0 when it has just ended."""
        try:
            fields = os.pread(self._statm, 128, 0).split(None, 3)
            return (int(fields[1]) - int(fields[2])) * _PAGE_BYTES
        except (OSError, IndexError):
            return 0


def private_bytes(pid: int) -> int:
    """What would become free if process `pid` ended; 0 if it has."""
    text = _read(f"/proc/{pid}/smaps_rollup")
    total_kb = 0
    for line in text.splitlines():
        if line.startswith((b"Private_Dirty:", b"Swap:")):
            total_kb += int(line.split()[1])
    return total_kb * 1024


def descendants(pid: int) -> list[int]:
    """Every process that `pid` started, and those that these did."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        children = _children(parent)
        found += children
        waiting += children
    return found


def _children(pid: int) -> list[int]:
    """Children of every thread of `pid`: the kernel keeps them by thread."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - many times a second
    except OSError:
        return []
    texts = (_read(f"/proc/{pid}/task/{thread}/children") for thread in threads)
    return [int(child) for text in texts for child in text.split()]


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _read(path: str) -> bytes:
    with contextlib.suppress(OSError), open(path, "rb") as file:  # noqa: PTH123 - as above
        return file.read()
    return b""
