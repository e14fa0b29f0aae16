"""The processes of one environment, where the kernel refuses it a /tmp of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from local_stack.environments.launcher import Launcher
from local_stack.environments.roles import Process
from local_stack.environments.worker import Launch, Sandbox

if TYPE_CHECKING:
    from local_stack.model import Function

PID = 4_000_001


class FakeZygote:
    """Forks nothing, and remembers what it was asked for."""

    scratch_refusal = "unshare: Operation not permitted"

    def __init__(self) -> None:
        self.launches: list[Launch] = []
        self.descriptors: list[tuple[int, ...]] = []

    async def get(self, function: Function) -> FakeZygote:
        return self

    async def fork(self, launch: Launch, descriptors: tuple[int, ...], on_exit: object) -> int:
        self.launches.append(launch)
        self.descriptors.append(descriptors)
        return PID


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class FakeLog:
    write_fd = 17
    closed = False

    def close_write_end(self) -> None:
        self.closed = True


def _launch(tmp: Path | None) -> Launch:
    return Launch(
        environment={} if tmp is None else {"TMPDIR": str(tmp)},
        path=(),
        cwd="/",
        handler="app.handler",
        sandbox=Sandbox(tmp_mb=0, visible=(), read_only=(), bytecode="", data_bytes_max=1 << 30),
    )


def test_tmpdir_names_a_folder_that_lives_as_long_as_the_environment(tmp_path: Path) -> None:
    zygote, log = FakeZygote(), FakeLog()

    async def scenario() -> None:
        launcher = Launcher(
            cast("Function", None),
            cast("Any", zygote),
            cast("Any", log),
            _launch,
            Process,
            lambda _: None,
            tmp_path / "its",
        )
        assert (await launcher()).pid == PID
        assert log.closed
        (tmp_path / "its" / "left").touch()
        await launcher()
        assert (tmp_path / "its" / "left").exists()
        launcher.close()
        await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(scenario())

    folder = str(tmp_path / "its")
    assert [launch.environment["TMPDIR"] for launch in zygote.launches] == [folder, folder]
    assert zygote.descriptors == [(17,), (17,)]
    assert not (tmp_path / "its").exists()


def test_a_tmp_of_its_own_is_held_as_soon_as_the_process_says_so(tmp_path: Path) -> None:
    zygote, log = FakeZygote(), FakeLog()
    zygote.scratch_refusal = ""

    async def scenario() -> None:
        launcher = Launcher(
            cast("Function", None),
            cast("Any", zygote),
            cast("Any", log),
            _launch,
            Process,
            lambda _: None,
            tmp_path / "its",
        )
        before = _open_files()
        await launcher()
        # The process would keep its end open until it has its own /tmp: this one never was.
        for _ in range(5):
            await asyncio.sleep(0)
        assert _open_files() == before
        await launcher()
        launcher.close()
        assert _open_files() == before

    asyncio.run(scenario())

    assert [launch.joins for launch in zygote.launches] == [False, False]
    assert [len(descriptors) for descriptors in zygote.descriptors] == [2, 2]
    assert not (tmp_path / "its").exists()
