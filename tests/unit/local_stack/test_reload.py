"""The watcher, on real folders: what it reports, what it does not, and when it gives up."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import watchfiles

from local_stack.reload import Reloader
from tests.support.functions import a_function

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from pathlib import Path

    import pytest

SOON_S = 5.0


class Watched:
    """A project of two functions with one layer, and what the watcher reported."""

    def __init__(self, folder: Path, folders_max: int = 100) -> None:
        self.folder = folder
        for name in ("first", "second", "layer"):
            (folder / name).mkdir()
        self.template = folder / "template.yaml"
        self.template.write_text("Resources: {}")
        functions = [
            a_function(name, code_dir=folder / name.lower(), layer_paths=(folder / "layer",))
            for name in ("First", "Second")
        ]
        self.reports: list[set[str]] = []
        self._news = asyncio.Event()
        self.reloader = Reloader(
            {function.name: function for function in functions},
            self.template,
            ignored=[],
            folders_max=folders_max,
            changed=self._take,
        )

    def _take(self, names: Collection[str]) -> None:
        self.reports.append(set(names))
        self._news.set()

    async def reported(self, names: set[str]) -> None:
        """Wait for a report of exactly these functions, and forget it."""
        async with asyncio.timeout(SOON_S):
            while names not in self.reports:
                self._news.clear()
                await self._news.wait()
        self.reports.clear()

    async def until_watched(self, folder: Path, *, is_watched: bool) -> None:
        """Wait until the watcher has, or has no more, a watch on `folder`."""
        async with asyncio.timeout(SOON_S):
            # The watcher has no event for this.
            while (str(folder) in self.reloader._watched) is not is_watched:  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def settled(self) -> None:
        """Wait until nothing is left to report but what is saved from now on."""
        reports: list[set[str]] = []
        while reports != [{"Second"}]:
            save(self.folder / "second" / "app.py")
            reports = await self.next_reports()

    async def next_reports(self) -> list[set[str]]:
        """Wait until something is reported, and forget it."""
        async with asyncio.timeout(SOON_S):
            while not self.reports:
                self._news.clear()
                await self._news.wait()
        reports, self.reports = self.reports, []
        return reports


def save(path: Path) -> None:
    path.write_text("saved")


@asynccontextmanager
async def watching(folder: Path, **arguments: int) -> AsyncIterator[Watched]:
    watched = Watched(folder, **arguments)
    await watched.reloader.start()
    try:
        yield watched
    finally:
        await watched.reloader.close()


def test_a_save_is_reported_for_the_function_whose_code_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watching(tmp_path) as watched:
            (tmp_path / "first" / "app.py").write_text("1")
            await watched.reported({"First"})
            (tmp_path / "layer" / "names.py").write_text("1")
            await watched.reported({"First", "Second"})

    asyncio.run(scenario())


def test_a_file_that_is_replaced_or_removed_is_a_save_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watching(tmp_path) as watched:
            code = tmp_path / "first" / "app.py"
            unfinished = tmp_path / "first" / "app.py.tmp"
            unfinished.write_text("2")
            unfinished.replace(code)
            await watched.reported({"First"})
            code.unlink()
            await watched.reported({"First"})

    asyncio.run(scenario())


def test_a_burst_of_saves_is_one_report(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watching(tmp_path) as watched:
            for index in range(100):
                (tmp_path / "first" / f"m{index}.py").write_text("1")
                (tmp_path / "second" / f"m{index}.py").write_text("1")
            await watched.reported({"First", "Second"})
            (tmp_path / "second" / "last.py").write_text("1")
            await watched.reported({"Second"})

    asyncio.run(scenario())


def test_what_editors_and_python_write_is_not_reported(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watching(tmp_path) as watched:
            cache = tmp_path / "first" / "__pycache__"
            cache.mkdir()
            (cache / "app.cpython-311.pyc").write_bytes(b"1")
            for name in (".app.py.swp", "app.py~", "4913", ".#app.py"):
                (tmp_path / "first" / name).write_text("1")

            (tmp_path / "second" / "app.py").write_text("1")
            assert await watched.next_reports() == [{"Second"}]

    asyncio.run(scenario())


def test_a_folder_that_is_new_is_watched_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watching(tmp_path) as watched:
            package = tmp_path / "first" / "package"
            package.mkdir()
            (package / "early.py").write_text("1")
            await watched.reported({"First"})
            await watched.until_watched(package, is_watched=True)
            await watched.settled()
            (package / "late.py").write_text("1")
            await watched.reported({"First"})

    asyncio.run(scenario())


def test_code_that_a_build_removes_and_makes_again_is_watched(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watching(tmp_path) as watched:
            code = tmp_path / "first"
            code.rmdir()
            await watched.reported({"First"})
            await watched.until_watched(code, is_watched=False)
            code.mkdir()
            await watched.until_watched(code, is_watched=True)
            await watched.settled()
            (code / "app.py").write_text("1")
            await watched.reported({"First"})

    asyncio.run(scenario())


def test_a_template_that_differs_is_noted_until_it_is_as_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with watching(tmp_path) as watched:
            before = watched.template.read_text()
            watched.template.write_text("Resources: {More: {}}")
            (tmp_path / "first" / "app.py").write_text("1")
            assert await watched.next_reports() == [{"First"}]
            assert watched.reloader.template_changed
            watched.template.write_text(before)
            (tmp_path / "first" / "app.py").write_text("1")
            assert await watched.next_reports() == [{"First"}]
            assert not watched.reloader.template_changed

    asyncio.run(scenario())
    assert "template.yaml has changed: `local-stack down`, then `up`, to apply it" in caplog.text


def test_without_a_watch_left_it_warns_and_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Exhausted:
        """What `awatch` does when the kernel has no watch left."""

        def __init__(self, *_: object, **__: object) -> None:
            pass

        async def __anext__(self) -> None:
            raise OSError("OS file watch limit reached")

    monkeypatch.setattr(watchfiles, "awatch", Exhausted)

    async def scenario() -> None:
        async with watching(tmp_path) as watched:
            assert watched.reloader.state == "off: OS file watch limit reached"

    asyncio.run(scenario())
    assert "reload is off, what is saved needs a restart" in caplog.text


def test_more_folders_than_allowed_are_not_watched_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with watching(tmp_path, folders_max=3) as watched:
            assert watched.reloader.state == "on"
        assert "in more than" not in caplog.text

    async def one_less() -> None:
        folder = tmp_path / "other"
        folder.mkdir()
        async with watching(folder, folders_max=2) as watched:
            (folder / "first" / "app.py").write_text("1")
            await watched.reported({"First"})

    asyncio.run(scenario())
    asyncio.run(one_less())
    assert "the code is in more than 2 folders" in caplog.text
