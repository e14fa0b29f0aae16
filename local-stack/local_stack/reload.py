"""Reload: watches the code of functions, and says whose code has changed.

One watcher a host. watchfiles waits in a thread of its own, which hands over sets of paths and
touches nothing else; everything here runs on the host's event loop. Folders are watched one by one
and not by the tree, so that virtual environments and caches beside the code cost nothing.

Never a reason for a host to stop: without inotify it says so, and goes on without reload.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from local_stack.code_folders import CodeFolders, is_code

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from watchfiles import Change

    from local_stack.model import Function

    Changes = set[tuple[Change, str]]

_LOGGER = logging.getLogger(__name__)
# A burst of saves is one change: it ends when nothing was written for so long …
QUIET_MS = 50
# … but a checkout that takes longer must not keep the old code alive for ever.
BURST_MS_MAX = 200
RETRY_SECONDS = 0.1  # a folder went away between looking and watching
_SHOWN_MAX = 3  # files that the log names


class Reloader:
    """Watches until `close`; `changed` gets the names of the functions whose code was saved."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        template: Path,
        *,
        ignored: Collection[Path],
        folders_max: int,
        changed: Callable[[Collection[str]], None],
    ) -> None:
        self.state = "starting"  # then: on, or why it is off
        self._folders = CodeFolders(functions.values(), ignored)
        self._folders_max = folders_max
        self._changed = changed
        self._template = template
        self._template_then = _content(template)
        self._said_too_many = False
        self._watched: frozenset[str] = frozenset()
        self._upcoming: asyncio.Future[Changes] | None = None
        self._task: asyncio.Task[None] | None = None
        self.template_changed = False

    async def start(self) -> None:
        """Begin; returns when what is saved from now on is seen."""
        watching = asyncio.Event()
        self._task = asyncio.create_task(self._run(watching))
        waiting = asyncio.create_task(watching.wait())
        await asyncio.wait({self._task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, watching: asyncio.Event) -> None:
        """Watch until cancelled; begin anew whenever folders have come or gone."""
        try:
            while True:
                try:
                    await self._watch(watching)
                except FileNotFoundError:
                    await asyncio.sleep(RETRY_SECONDS)
        except Exception as error:  # whatever it is, the host goes on, and says so
            self.state = f"off: {error}"
            _LOGGER.warning(
                "reload is off, what is saved needs a restart: %s", error, exc_info=True
            )
        finally:
            await self._forget(self._upcoming)

    async def _watch(self, watching: asyncio.Event) -> None:
        """Report what is saved, until there are other folders than those that are watched."""
        from watchfiles import awatch  # deferred: 44 ms, while the zygote starts

        before, self._watched = self._watched, await self._find()
        changes = awatch(
            *self._watched,
            self._template.parent,
            watch_filter=self._counts,
            step=QUIET_MS,
            debounce=BURST_MS_MAX,
            recursive=False,
        )
        previous, self._upcoming = self._upcoming, asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)  # it watches from its first step on
        if not self._upcoming.done():
            self.state = "on"
            watching.set()
        if previous is not None:
            await self._hand_over(previous, before)
        while await self._find() == self._watched:
            self._take(await self._upcoming)
            self._upcoming = asyncio.ensure_future(anext(changes))

    async def _hand_over(self, previous: asyncio.Future[Changes], before: frozenset[str]) -> None:
        """Nothing that was saved between two watchers is lost.

        The one before reports what it still has; and what was saved in folders that are new, before
        they were watched, nobody has seen.
        """
        try:
            await asyncio.wait({previous}, timeout=(QUIET_MS + BURST_MS_MAX) / 1000)
            if previous.done() and previous.exception() is None:
                self._take(previous.result())
        finally:
            await self._forget(previous)
        self._report(self._affected(self._watched ^ before), [])

    @staticmethod
    async def _forget(upcoming: asyncio.Future[Changes] | None) -> None:
        if upcoming is not None:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)

    async def _find(self) -> frozenset[str]:
        found = await asyncio.to_thread(self._folders.find, self._folders_max)
        if not (found.complete or self._said_too_many):
            self._said_too_many = True
            _LOGGER.warning(
                "the code is in more than %d folders; reload watches the first of them "
                "(limits.watched_folders)",
                self._folders_max,
            )
        return frozenset(found.folders)

    def _take(self, batch: Changes) -> None:
        paths = sorted(path for _, path in batch)
        if str(self._template) in paths:
            self._look_at_template()
        self._report(self._affected(paths), paths)

    def _affected(self, paths: Iterable[str]) -> set[str]:
        return set[str]().union(*(self._folders.affected(path) for path in paths))

    def _report(self, names: Collection[str], paths: Sequence[str]) -> None:
        if not names:
            return
        if paths:
            shown = ", ".join(Path(path).name for path in paths[:_SHOWN_MAX])
            more = f" and {len(paths) - _SHOWN_MAX} more" if len(paths) > _SHOWN_MAX else ""
            _LOGGER.info("saved %s%s: new code for %s", shown, more, ", ".join(sorted(names)))
        self._changed(sorted(names))

    def _counts(self, _change: Change, path: str) -> bool:
        """Whether watchfiles shall wake us for `path`."""
        if path == str(self._template):
            return True
        return is_code(path.rpartition("/")[2]) and bool(self._folders.affected(path))

    def _look_at_template(self) -> None:
        self.template_changed = _content(self._template) != self._template_then
        if self.template_changed:
            _LOGGER.warning(
                "%s has changed: `local-stack down`, then `up`, to apply it", self._template.name
            )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
