"""The host that contract tests share: starting one for each file would take most of their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.host import PROJECTS, RunningHost, running_host

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def host() -> Iterator[RunningHost]:
    """A host for tests/projects/runtime. Environments may be killed; the host stays as it is."""
    with running_host(
        PROJECTS / "runtime",
        preload=("httpx",),
        hidden_packages=("yaml",),
        allowed_hosts=("place-bet",),
    ) as host:
        yield host
