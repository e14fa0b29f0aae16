"""The door to the environments: who is let in, and who waits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from local_stack.errors import FunctionNotFound, Throttled
from local_stack.invoke.invoker import Invoker, new_trace_id
from local_stack.settings import Limits
from local_stack.telemetry.metrics import Metrics
from tests.fakes.environments import FakeStarter
from tests.support.functions import a_function
from tests.support.virtual_time import virtual_time

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from local_stack.environments.invocation import Outcome
    from tests.fakes.environments import FakeRuntime
    from tests.support.virtual_time import VirtualTimeLoop


class World:
    """An invoker for one function, `Hello`, that takes one call at a time."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.loop = loop
        self.metrics = Metrics()
        self.starter = FakeStarter(self.metrics)
        self.invoker: Invoker = loop.run(self._make())

    async def _make(self) -> Invoker:
        function = a_function(reserved_concurrency=1, provisioned_concurrency=1, timeout_s=900.0)
        return Invoker({"Hello": function}, self.starter, Limits(), self.metrics)

    def call(self, name: str = "Hello", **arguments: Any) -> asyncio.Task[Outcome]:
        task = self.loop.create_task(self.invoker.invoke(name, b"{}", **arguments))
        self.loop.settle()
        return task

    @property
    def runtime(self) -> FakeRuntime:
        return self.starter.runtimes[-1]

    def finish(self) -> str:
        """End what runs, and return the id it ran under."""
        invocation = self.runtime.invocation
        assert invocation is not None
        self.runtime.finish()
        self.loop.settle()
        return invocation.request_id


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with virtual_time(monkeypatch) as loop:
        yield World(loop)


def _warm(world: World) -> None:
    world.loop.call_soon(world.invoker.start)
    world.loop.settle()
    world.runtime.next()


# --- invoking --------------------------------------------------------------------------------


def test_an_unknown_function_is_not_found_in_lambdas_words(world: World) -> None:
    task = world.call("Nobody")

    with pytest.raises(FunctionNotFound) as caught:
        task.result()
    assert str(caught.value) == (
        "Function not found: arn:aws:lambda:us-east-1:000000000000:function:Nobody:$LATEST"
    )


def test_an_invocation_carries_what_its_caller_said(world: World) -> None:
    _warm(world)

    world.call(request_id="mine", trace_id="Root=1", client_context='{"a": 1}', want_tail=True)

    invocation = world.runtime.invocation
    assert invocation is not None
    assert (invocation.request_id, invocation.trace_id) == ("mine", "Root=1")
    assert (invocation.client_context, invocation.want_tail) == ('{"a": 1}', True)


def test_an_invocation_without_ids_gets_new_ones(world: World) -> None:
    _warm(world)
    ids = []
    for _ in range(2):
        world.call()
        invocation = world.runtime.invocation
        assert invocation is not None
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", invocation.request_id)
        ids.append((invocation.request_id, invocation.trace_id))
        world.finish()

    assert ids[0][0] != ids[1][0]
    assert ids[0][1] != ids[1][1]


def test_a_trace_id_has_the_form_of_x_ray() -> None:
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Sampled=0", new_trace_id())


def test_who_waits_gives_up_after_its_time(world: World) -> None:
    _warm(world)
    world.call()
    waits, does_not = world.call(wait_s=5.0), world.call()

    with pytest.raises(Throttled):
        does_not.result()
    world.loop.advance(4.999)
    assert not waits.done()
    world.loop.advance(0.002)
    with pytest.raises(Throttled):
        waits.result()
    assert world.invoker.pools["Hello"].waiting == 0


def test_who_was_served_in_time_does_not_give_up(world: World) -> None:
    _warm(world)
    world.call()
    waits = world.call(wait_s=5.0)
    world.finish()
    world.loop.advance(100)
    assert not waits.done()

    world.finish()

    assert waits.result().function_error is None


def test_a_caller_that_goes_away_leaves_the_line(world: World) -> None:
    _warm(world)
    world.call()
    waits = world.call(wait_s=5.0)

    waits.cancel()
    world.loop.settle()

    assert world.invoker.pools["Hello"].waiting == 0


def test_provisioned_environments_survive_the_reaper(world: World) -> None:
    _warm(world)

    world.loop.advance(Limits().environment_idle_seconds * 2)

    assert len(world.starter.runtimes) == 1
    assert world.runtime.environment.state == "ready"
