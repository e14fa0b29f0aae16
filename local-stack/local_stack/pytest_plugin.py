"""Fixtures of `local_stack.testing`, loaded by `pytest_plugins = ["local_stack.testing"]`.

Not an entry point: a project that has the runtime installed and does not ask for the plugin pays
nothing, and no test run of it changes. Works under pytest-xdist: every worker has a host of its
own, on ports and in a folder of its own.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from local_stack.testing import LocalStack

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

_STARTED = pytest.StashKey[dict[str, int]]()
LOG_BYTES_MAX = 8 * 1024  # of a function, in the report of a test that failed


def pytest_addoption(parser: pytest.Parser) -> None:
    """`local_stack_template` in pytest's configuration names the template."""
    text = "SAM template that the fixture local_stack runs, relative to pytest's rootdir"
    parser.addini("local_stack_template", text, default="template.yaml")


@pytest.fixture(scope="session")
def local_stack_options() -> dict[str, Any]:
    """Override it in a `conftest.py`: arguments of `LocalStack.start`, such as `parameters`."""
    return {}


@pytest.fixture(scope="session")
def local_stack_factory() -> Iterator[Callable[..., LocalStack]]:
    """`LocalStack.start` for several templates; all of them are stopped at the end of the session."""
    with ExitStack() as stops:

        def start(*arguments: Any, **options: Any) -> LocalStack:
            return stops.enter_context(LocalStack.start(*arguments, **options))

        yield start


@pytest.fixture(scope="session")
def local_stack_session(
    request: pytest.FixtureRequest,
    local_stack_factory: Callable[..., LocalStack],
    local_stack_options: dict[str, Any],
) -> LocalStack:
    """The template of the project, running for the whole session."""
    options = dict(local_stack_options)
    named = options.pop("template", request.config.getini("local_stack_template"))
    return local_stack_factory(request.config.rootpath / named, **options)


@pytest.fixture
def local_stack(local_stack_session: LocalStack, request: pytest.FixtureRequest) -> LocalStack:
    """The same, without the faults, events, records and clock of the tests before."""
    local_stack_session.reset()
    request.node.stash[_STARTED] = local_stack_session.log_sizes()
    return local_stack_session


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed shows what its functions logged meanwhile."""
    report = yield
    started = item.stash.get(_STARTED, None)
    if started is not None and report.when == "call" and report.failed:
        stack: LocalStack = item.funcargs["local_stack"]  # type: ignore[attr-defined]
        for name, size in stack.log_sizes().items():
            since = started.get(name, 0)
            if size > since:
                text = stack.logs(name, since=max(since, size - LOG_BYTES_MAX))
                report.sections.append((f"Log of {name}", text))
    return report
