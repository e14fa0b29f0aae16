"""Which zygote a function is forked from, and what happens when one does not start."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from local_stack import clock
from local_stack.errors import RuntimeFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from local_stack.environments.worker import Zygote
    from local_stack.model import Function

RETRY_S_MAX = 30.0  # a zygote that keeps failing is tried again after 1, 2, 4 … seconds
SHORT_LIFE_S = 5.0  # one that died so soon has failed, too


class Key(NamedTuple):
    """What a zygote is for: a search path, and the state of the copies that lie on it."""

    paths: tuple[str, ...] = ()
    state: int = 0


SHARED = Key()


class Zygotes:
    """The shared zygote, and those of functions with copies of their own."""

    def __init__(self, make: Callable[[Sequence[str]], Zygote]) -> None:
        """`make` makes one, not started yet, with these folders in front of its search path."""
        self._make = make
        self._tasks: dict[Key, asyncio.Task[Zygote]] = {}
        self._keys: dict[str, Key] = {}  # by function, while its code stays the same
        self._outdated: dict[str, Key] = {}
        self._changes: Counter[str] = Counter()
        self._started: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}

    async def warm_up(self, functions: Sequence[Function]) -> None:
        """Have every zygote ready that these functions need, side by side."""
        await asyncio.gather(*(self.get(function) for function in functions))

    async def get(self, function: Function) -> Zygote:
        """The shared zygote, or for a function with copies of its own one for itself.

        Otherwise a built package would silently run with the stack's libraries. What the shared
        one says it has imported decides: more than is named in `preload` comes along with it.
        Raises `RuntimeFailed`.
        """
        shared = await self._zygote(SHARED)
        key = self._keys.get(function.name)
        while key is None:
            changes = self._changes[function.name]
            found = await asyncio.to_thread(key_of, function, shared.modules)
            if self._changes[function.name] != changes:
                continue  # a file was saved while they were looked at
            key = self._keys[function.name] = found
            self._retire(self._outdated.pop(function.name, SHARED))
        return shared if key == SHARED else await self._zygote(key)

    def code_changed(self, name: str) -> None:
        """Whose copies function `name` uses is decided anew when it is started next.

        A zygote that has imported copies that are not the same any more ends with the last of its
        environments; the shared one holds no function's code.
        """
        self._changes[name] += 1
        key = self._keys.pop(name, None)
        if key is not None:
            self._outdated[name] = key

    async def close(self) -> None:
        """End every zygote, and with them every environment that still lives."""
        tasks, self._tasks = self._tasks, {}
        ready = [task.result() for task in tasks.values() if task.done() and _alive(task)]
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*(zygote.stop() for zygote in ready))

    def _retire(self, key: Key) -> None:
        """Let the zygote for `key` end, if nobody is forked from it any more."""
        if key == SHARED or key in self._keys.values() or key in self._outdated.values():
            return
        task = self._tasks.pop(key, None)
        if task is not None:
            task.add_done_callback(_retire_started)

    async def _zygote(self, key: Key) -> Zygote:
        task = self._tasks.get(key)
        if task is None or (task.done() and not _alive(task)):
            if task is not None:
                self._look_back(key, task)
            self._started[key] = clock.monotonic()
            task = asyncio.create_task(self._start(key))
            self._tasks[key] = task
        return await asyncio.shield(task)

    def _look_back(self, key: Key, task: asyncio.Task[Zygote]) -> None:
        """Refuse to start another one too soon after some that failed in a row."""
        lived_s = clock.monotonic() - self._started[key]
        error = None if task.cancelled() else task.exception()
        if error is None and lived_s > SHORT_LIFE_S:
            self._failures[key] = 0
            return
        failures = self._failures.get(key, 0)
        wait_s = min(RETRY_S_MAX, 2.0 ** (failures - 1)) if failures else 0.0
        if lived_s < wait_s:
            again = f"tried again in {wait_s - lived_s:.0f} s"
            msg = f"{error or 'the zygote ended soon after its start'}; {again}"
            raise RuntimeFailed(msg)
        self._failures[key] = failures + 1

    async def _start(self, key: Key) -> Zygote:
        zygote = self._make(key.paths)
        await zygote.start()
        return zygote


def search_path(function: Function) -> list[str]:
    """What goes in front of `sys.path`: the code, then its layers, as on AWS."""
    return [str(function.code_dir), *(str(path) for path in function.layer_paths)]


def key_of(function: Function, imported: Collection[str]) -> Key:
    """Which zygote `function` needs, when the shared one has `imported` or hides these."""
    copies = own_copies(function, imported)
    if not copies:
        return SHARED
    files = sorted(entry for copy in copies for entry in _files(copy))
    return Key(tuple(search_path(function)), hash(tuple(files)))


def own_copies(function: Function, imported: Collection[str]) -> list[str]:
    """What the function or a layer of it brings although it is imported already.

    Packages, single files and compiled modules.
    """
    return [
        entry.path
        for folder in search_path(function)
        for entry in _entries(folder)
        if entry.name.partition(".")[0] in imported
    ]


def _files(path: str) -> Iterator[tuple[str, int, int]]:
    """Every file of a copy, with its time and size."""
    entries = list(_entries(path))
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)
        elif not entry.name.endswith(".pyc"):
            yield from _state(entry.path)
    if not entries:
        yield from _state(path)


def _state(path: str) -> Iterator[tuple[str, int, int]]:
    with contextlib.suppress(OSError):  # a link to nowhere, or gone meanwhile
        status = os.stat(path)  # noqa: PTH116 - of thousands of files
        yield path, status.st_mtime_ns, status.st_size


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:  # a file, or gone
        return


def _retire_started(task: asyncio.Task[Zygote]) -> None:
    if _alive(task):
        task.result().retire()


def _alive(task: asyncio.Task[Zygote]) -> bool:
    return not task.cancelled() and task.exception() is None and task.result().alive
