"""Which zygote a function is forked from, and how one that fails is tried again."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, cast

import pytest

from local_stack import clock
from local_stack.environments.zygotes import SHORT_LIFE_S, Zygotes, own_copies
from local_stack.errors import RuntimeFailed
from local_stack.model import Function

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from local_stack.environments.worker import Zygote


class FakeZygote:
    """A zygote that has imported `idna`, or cannot start."""

    modules = frozenset({"idna"})

    def __init__(self, paths: Sequence[str], error: str = "") -> None:
        self.paths = tuple(paths)
        self.alive = False
        self.retired = False
        self._error = error

    async def start(self) -> None:
        if self._error:
            raise RuntimeFailed(self._error)
        self.alive = True

    async def stop(self) -> None:
        self.alive = False

    def retire(self) -> None:
        self.retired = True


class World:
    """Zygotes that are made of nothing, and a clock that a test moves."""

    def __init__(self) -> None:
        self.made: list[FakeZygote] = []
        self.error = ""
        self.now = 1000.0
        self.zygotes = Zygotes(self._make)

    def _make(self, paths: Sequence[str]) -> Zygote:
        self.made.append(FakeZygote(paths, self.error))
        return cast("Zygote", self.made[-1])


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(clock, "monotonic", lambda: world.now)
    return world


def _function(folder: Path, *layers: Path) -> Function:
    return Function(
        logical_id=folder.name,
        name=folder.name,
        handler="app.handler",
        runtime="python3.11",
        code_dir=folder,
        layer_paths=layers,
    )


@pytest.mark.parametrize(
    "name",
    [
        "idna/__init__.py",
        "idna.py",
        "idna.cpython-311-x86_64-linux-gnu.so",
        "idna.abi3.so",
        "idna/a_part_of_a_namespace.py",
    ],
)
def test_a_copy_is_found_in_every_form_that_python_imports(tmp_path: Path, name: str) -> None:
    code, layer = tmp_path / "code", tmp_path / "layer"
    code.mkdir()
    (layer / name).parent.mkdir(parents=True)
    (layer / name).touch()
    (code / "idna-3.7.dist-info").mkdir()

    assert own_copies(_function(code, layer), {"idna"}) == [str(layer / name.partition("/")[0])]
    assert own_copies(_function(code), {"idna"}) == []
    assert own_copies(_function(code, tmp_path / "gone"), {"idna"}) == []


def test_functions_share_a_zygote_unless_one_brings_its_own_copies(
    world: World, tmp_path: Path
) -> None:
    one, other, own = (tmp_path / name for name in ("one", "other", "own"))
    for folder in (one, other, own):
        folder.mkdir()
    (own / "idna.py").touch()

    async def scenario() -> None:
        await world.zygotes.warm_up([_function(one), _function(other), _function(own)])

    asyncio.run(scenario())

    assert [zygote.paths for zygote in world.made] == [(), (str(own),)]


def test_a_zygote_is_kept_while_its_copies_are_the_same(world: World, tmp_path: Path) -> None:
    (tmp_path / "idna.py").touch()
    function = _function(tmp_path)

    async def scenario() -> None:
        first = await world.zygotes.get(function)
        (tmp_path / "app.py").touch()
        world.zygotes.code_changed(function.name)
        assert await world.zygotes.get(function) is first

        (tmp_path / "idna.py").write_text("VALUE = 1")
        world.zygotes.code_changed(function.name)
        assert await world.zygotes.get(function) is not first

    asyncio.run(scenario())

    assert [zygote.retired for zygote in world.made] == [False, True, False]


def test_a_zygote_that_ends_is_started_again_for_the_next_fork(
    world: World, tmp_path: Path
) -> None:
    async def scenario() -> None:
        await world.zygotes.get(_function(tmp_path))
        world.made[0].alive = False
        world.now += SHORT_LIFE_S + 1
        await world.zygotes.get(_function(tmp_path))

    asyncio.run(scenario())

    assert len(world.made) == 2


def test_a_zygote_that_keeps_failing_is_tried_less_and_less_often(
    world: World, tmp_path: Path
) -> None:
    function = _function(tmp_path)
    world.error = "no memory"
    tried_at: list[float] = []

    async def scenario() -> None:
        started = world.now
        for _ in range(400):
            before = len(world.made)
            with pytest.raises(RuntimeFailed, match="no memory"):
                await world.zygotes.get(function)
            if len(world.made) > before:
                tried_at.append(world.now - started)
            world.now += 0.25
        world.error = ""
        world.now += 30
        assert (await world.zygotes.get(function)).alive

    asyncio.run(scenario())

    waits = [after - before for before, after in itertools.pairwise(tried_at)]
    assert waits == [0.25, 1, 2, 4, 8, 16, 30, 30]


def test_a_link_to_nowhere_in_a_copy_is_passed_over(world: World, tmp_path: Path) -> None:
    (tmp_path / "idna").mkdir()
    (tmp_path / "idna" / "gone.py").symlink_to(tmp_path / "nowhere")
    (tmp_path / "idna" / "round").symlink_to(tmp_path / "idna")

    asyncio.run(world.zygotes.warm_up([_function(tmp_path)]))

    assert [zygote.paths for zygote in world.made] == [(), (str(tmp_path),)]
