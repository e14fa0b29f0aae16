"""The door to the environments: who is let in, who waits, and asynchronous events."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from local_stack.errors import FunctionNotFound, Throttled
from local_stack.invoke.async_queue import (
    EVENT_AGE_S_MAX,
    QUEUE_MAX,
    RETRY_DELAYS_S,
    AsyncQueue,
)
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
        self.queue: AsyncQueue = loop.run(self._make_queue())

    async def _make(self) -> Invoker:
        function = a_function(reserved_concurrency=1, provisioned_concurrency=1, timeout_s=900.0)
        return Invoker({"Hello": function}, self.starter, Limits(), self.metrics)

    async def _make_queue(self) -> AsyncQueue:
        return AsyncQueue(self.invoker)

    def call(self, name: str = "Hello", **arguments: Any) -> asyncio.Task[Outcome]:
        task = self.loop.create_task(self.invoker.invoke(name, b"{}", **arguments))
        self.loop.settle()
        return task

    def put(self, request_id: str) -> None:
        async def put() -> None:
            self.queue.put("Hello", b"{}", request_id)

        self.loop.run(put())
        self.loop.settle()

    @property
    def runtime(self) -> FakeRuntime:
        return self.starter.runtimes[-1]

    def finish(self, *, fails: bool = False) -> str:
        """End what runs, and return the id it ran under."""
        invocation = self.runtime.invocation
        assert invocation is not None
        if fails:
            self.runtime.environment.errored(invocation.request_id, b"{}")
            self.runtime.next()
        else:
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


# --- asynchronous events ---------------------------------------------------------------------


def test_an_event_is_accepted_at_once_and_run(world: World) -> None:
    _warm(world)

    world.put("one")

    assert world.queue.waiting == 1
    assert world.finish() == "one"
    assert world.queue.waiting == 0


def test_an_event_for_nobody_is_refused(world: World) -> None:
    with pytest.raises(FunctionNotFound):
        world.queue.put("Nobody", b"{}", "one")


def test_a_failed_event_is_tried_again_after_one_and_two_minutes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    _warm(world)
    world.put("one")
    began, times = world.loop.time(), []

    for delay_s in (*RETRY_DELAYS_S, None):
        times.append(world.loop.time() - began)
        assert world.finish(fails=True) == "one"
        if delay_s is not None:
            world.loop.advance(delay_s - 0.1)
            assert len(world.runtime.delivered) == len(times)
            world.loop.advance(0.2)

    assert times == [0, pytest.approx(60.1), pytest.approx(180.2)]
    assert world.queue.waiting == 0
    assert caplog.messages == ["event one of Hello failed: retries exhausted"]
    world.loop.advance(1000)
    assert len(world.runtime.delivered) == 3


def test_a_retry_that_works_is_the_last(world: World) -> None:
    _warm(world)
    world.put("one")
    world.finish(fails=True)
    world.loop.advance(60.1)

    world.finish()
    world.loop.advance(1000)

    assert len(world.runtime.delivered) == 2
    assert world.queue.waiting == 0


def test_a_throttled_event_is_tried_again_sooner_and_then_less_often(world: World) -> None:
    _warm(world)
    world.call()  # takes the only environment, for a while
    world.put("one")

    world.loop.advance(1 + 2 + 4 + 8 - 0.1)
    world.finish()
    assert len(world.runtime.delivered) == 1
    world.loop.advance(0.2)

    assert world.finish() == "one"


def test_an_event_that_grows_too_old_is_dropped_and_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    _warm(world)
    world.runtime.environment.function.timeout_s  # noqa: B018 - longer than any event lives
    world.invoker.pools["Hello"].limit = 0
    world.runtime.exit(-9)
    world.put("one")

    world.loop.advance(EVENT_AGE_S_MAX + 1)

    assert world.queue.waiting == 0
    assert caplog.messages == ["event one of Hello dropped: too old"]


def test_a_full_queue_refuses_one_more(world: World) -> None:
    _warm(world)
    world.queue._waiting = QUEUE_MAX - 1

    world.put("last")
    with pytest.raises(Throttled) as caught:
        world.queue.put("Hello", b"{}", "one too many")

    assert caught.value.reason == "CallerRateLimitExceeded"


def test_closing_drops_what_waits(world: World) -> None:
    _warm(world)
    world.put("runs")
    world.put("throttled")

    world.loop.run(world.queue.close())
    world.loop.advance(1000)

    assert [i.request_id for i in world.runtime.delivered] == ["runs"]
