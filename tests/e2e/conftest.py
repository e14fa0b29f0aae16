"""Fixtures of the end-to-end tests, which import nothing of the application or the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import betting
from tests.support.stack import running_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.betting import Platform
    from tests.support.stack import StackUnderTest


@pytest.fixture(scope="session")
def stack() -> Iterator[StackUnderTest]:
    """The whole stack, shared, with two function hosts behind Nginx: what holds on two holds on one."""
    with running_stack(LOCAL_STACK_REPLICAS="2") as running:
        yield running


@pytest.fixture(scope="session")
def platform(stack: StackUnderTest) -> Iterator[Platform]:
    """The platform that the end-to-end tests share: make users of your own, leave it healthy."""
    yield from betting.connected(stack)
