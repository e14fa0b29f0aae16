"""Asynchronous events: accepted, run, retried, ended, delivered. Time stands still until moved."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from local_stack.errors import FunctionNotFound, RuntimeFailed, Throttled
from local_stack.invoke import async_queue
from local_stack.invoke.async_lines import LINE_RUNNING_MAX
from local_stack.invoke.async_queue import AsyncQueue
from local_stack.invoke.lineage import ROUNDS_MAX
from local_stack.model import AsyncConfig, Destination
from local_stack.telemetry.metrics import Metrics
from tests.fakes.async_events import Call, FakeInvoker, FakeStore, FakeTopics
from tests.support.functions import a_function
from tests.support.virtual_time import virtual_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_stack.invoke.async_history import Ended
    from local_stack.invoke.async_policy import Event
    from local_stack.invoke.invoker import Invoker
    from tests.support.virtual_time import VirtualTimeLoop

TOPIC = Destination("kafka", "results")
THROTTLE = Throttled("ReservedFunctionConcurrentInvocationLimitExceeded")


class World:
    """A queue, and functions that the test answers."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.loop = loop
        self.store = FakeStore()
        self.topics = FakeTopics()
        self.metrics = Metrics()
        self.invoker = FakeInvoker()
        self.queue = self.make_queue()

    def functions(self, **configs: AsyncConfig) -> None:
        for name, config in configs.items():
            self.add(name, async_config=config)

    def add(self, name: str = "Hello", **fields: Any) -> None:
        self.invoker.pools |= FakeInvoker(a_function(name, **fields)).pools

    def make_queue(self, events: list[Event] | None = None, **options: Any) -> AsyncQueue:
        async def make() -> AsyncQueue:
            return AsyncQueue(
                cast("Invoker", self.invoker),
                self.store,
                self.metrics,
                events=events or [],
                topics=self.topics,
                **options,
            )

        self.metrics = Metrics()
        return self.loop.run(make())

    def put(self, request_id: str = "one", function: str = "Hello", **options: Any) -> None:
        payload = options.pop("payload", b'{"n": 1}')
        self.loop.run(self.queue.put(function, payload, request_id, **options))
        self.loop.settle()

    def the_call(self) -> Call:
        """The one invocation that runs."""
        self.loop.settle()
        [call] = self.invoker.running
        return call

    def fail(self) -> None:
        self.the_call().fail()
        self.loop.settle()

    def succeed(self, payload: bytes = b"null") -> None:
        self.the_call().succeed(payload)
        self.loop.settle()

    def refuse(self) -> None:
        self.the_call().refuse(THROTTLE)
        self.loop.settle()

    def ended(self) -> Ended:
        [ended] = self.queue.history.all()
        return ended

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with virtual_time(monkeypatch) as loop:
        world = World(loop)
        world.add()
        yield world


# --- accepting -------------------------------------------------------------------------------


def test_an_event_is_kept_and_then_run(world: World) -> None:
    world.put("one", qualifier="live", trace_id="Root=1")

    call = world.the_call()
    assert (call.function, call.payload) == ("Hello", b'{"n": 1}')
    assert call.options == {"request_id": "one", "trace_id": "Root=1", "qualifier": "live"}
    assert [event.request_id for event, _ in world.store.rows.values()] == ["one"]
    world.succeed()
    assert world.store.rows == {}
    assert (world.queue.waiting, world.ended().condition) == (0, "Success")


def test_an_event_for_nobody_is_refused(world: World) -> None:
    with pytest.raises(FunctionNotFound):
        world.put(function="Nobody")


def test_an_event_that_cannot_be_kept_is_refused_and_not_run(world: World) -> None:
    world.store.fails = True

    with pytest.raises(RuntimeFailed):
        world.put()

    assert (world.queue.waiting, world.invoker.calls) == (0, [])


def test_a_full_queue_refuses_one_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_queue, "QUEUE_MAX", 3)
    for number in range(3):
        world.put(str(number))

    with pytest.raises(Throttled) as caught:
        world.put("one too many")

    assert caught.value.reason == "CallerRateLimitExceeded"


def test_so_many_bytes_wait_and_not_one_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_queue, "QUEUE_BYTES_MAX", 8)
    world.put(payload=b'"12345"')
    world.put("two", payload=b"1")

    with pytest.raises(Throttled):
        world.put("three", payload=b"1")


def test_payloads_beyond_what_is_remembered_are_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_queue, "KEPT_BYTES_MAX", 5)
    world.put("one", payload=b"12345")
    world.put("two", payload=b"6")

    assert [call.payload for call in world.invoker.running] == [b"12345", b"6"]


def test_a_caller_that_goes_away_leaves_its_event(world: World) -> None:
    world.store.turns = 5
    task = world.loop.create_task(world.queue.put("Hello", b"1", "one"))
    world.loop.run(_one_turn())

    task.cancel()
    world.loop.settle()

    assert task.cancelled()
    assert world.the_call().request_id == "one"


async def _one_turn() -> None:
    """Let others begin."""


# --- retries ---------------------------------------------------------------------------------


def test_a_failed_event_is_tried_again_after_one_and_two_minutes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.put()

    for delay_s in (60, 120):
        world.fail()
        world.loop.advance(delay_s - 0.1)
        assert world.invoker.running == []
        world.loop.advance(0.2)
    world.fail()

    assert {call.request_id for call in world.invoker.calls} == {"one"}
    assert len(world.invoker.calls) == 3
    assert caplog.messages == ["event one of Hello failed: retries exhausted"]
    assert (world.ended().condition, world.ended().invoke_count) == ("RetriesExhausted", 3)
    assert (world.queue.waiting, world.store.rows) == (0, {})
    retried = world.count("lambda_async_events_retried_total", function="Hello", reason="error")
    assert retried == 2


def test_a_retry_that_works_is_the_last(world: World) -> None:
    world.put()
    world.fail()
    world.loop.advance(60.1)

    world.succeed()
    world.loop.advance(1000)

    assert len(world.invoker.calls) == 2


def test_a_function_without_retries_is_run_once(world: World) -> None:
    world.functions(Hello=AsyncConfig(retries_max=0))
    world.put()

    world.fail()

    assert world.ended().condition == "RetriesExhausted"


def test_a_throttled_event_is_tried_again_sooner_and_then_less_often(world: World) -> None:
    world.put()
    for delay_s in (1, 2, 4, 8):
        world.refuse()
        world.loop.advance(delay_s - 0.1)
        assert world.invoker.running == []
        world.loop.advance(0.2)

    world.succeed()

    assert world.ended().invoke_count == 1
    throttled = world.count(
        "lambda_async_events_retried_total", function="Hello", reason="throttle"
    )
    assert throttled == 4


def test_an_event_that_grows_too_old_is_dropped_and_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.functions(Hello=AsyncConfig(event_age_s_max=60))
    world.put()
    for _ in range(3):  # at 0, 32 and 64 s
        world.refuse()
        world.loop.advance(32)

    assert world.invoker.running == []
    assert caplog.messages == ["event one of Hello dropped: too old"]
    dropped = world.count(
        "lambda_async_events_dropped_total", function="Hello", reason="EventAgeExceeded"
    )
    assert dropped == 1


def test_waits_are_scaled_by_the_setting(world: World) -> None:
    world.queue = world.make_queue(scale=0.01)
    world.put()
    world.fail()

    world.loop.advance(0.61)

    assert world.the_call().request_id == "one"


def test_a_moved_clock_is_noticed_when_the_queue_is_told(world: World) -> None:
    ahead = [0.0]
    world.queue = world.make_queue(now=lambda: 1_795_521_600.0 + ahead[0])
    world.put()
    world.fail()

    ahead[0] = 59.0
    world.queue.wake()
    world.loop.settle()
    assert world.invoker.running == []
    ahead[0] = 60.0
    world.queue.wake()

    assert world.the_call().request_id == "one"


def test_a_function_that_is_switched_off_gets_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.add(reserved_concurrency=0)

    world.put()

    assert world.invoker.calls == []
    assert world.ended().condition == "ZeroReservedConcurrency"
    assert caplog.messages == ["event one of Hello dropped: the function's concurrency is 0"]


def test_a_function_that_is_switched_off_between_attempts_ends_its_events(world: World) -> None:
    world.put()
    world.fail()
    world.invoker.pools["Hello"].limit = 0

    world.loop.advance(61)

    assert (world.ended().condition, world.ended().invoke_count) == ("ZeroReservedConcurrency", 1)


# --- places ----------------------------------------------------------------------------------


def test_a_limited_function_is_not_throttled_by_its_own_events(world: World) -> None:
    world.add(reserved_concurrency=2)
    for number in range(10):
        world.put(str(number))

    while world.invoker.running:
        assert len(world.invoker.running) <= 2
        world.invoker.running[0].succeed()
        world.loop.settle()

    assert [call.request_id for call in world.invoker.calls] == [str(n) for n in range(10)]


def test_the_flood_of_one_function_holds_up_no_other(world: World) -> None:
    world.add("Other")
    for number in range(LINE_RUNNING_MAX + 5):
        world.put(str(number))
    world.put("other", "Other")

    running = [call.function for call in world.invoker.running]
    assert (running.count("Hello"), running.count("Other")) == (LINE_RUNNING_MAX, 1)


# --- destinations ----------------------------------------------------------------------------


def test_a_result_reaches_its_topic(world: World) -> None:
    world.functions(Hello=AsyncConfig(on_success=TOPIC))
    world.put()

    world.succeed(b'{"a": 1}')

    [(topic, value, key)] = world.topics.sent
    shown = json.loads(value)
    assert (topic, key) == ("results", b"one")
    assert shown["requestContext"]["condition"] == "Success"
    assert (shown["requestPayload"], shown["responsePayload"]) == ({"n": 1}, {"a": 1})
    assert (world.ended().delivered, world.queue.waiting, world.store.rows) == (True, 0, {})
    labels = {"function": "Hello", "destination": "kafka://results"}
    assert world.count("lambda_async_destination_deliveries_total", **labels) == 1


def test_a_failure_goes_to_the_destination_of_failures_only(world: World) -> None:
    world.functions(Hello=AsyncConfig(retries_max=0, on_success=TOPIC))
    world.put()
    world.fail()
    assert world.topics.sent == []

    world.functions(Hello=AsyncConfig(retries_max=0, on_failure=TOPIC))
    world.put("two")
    world.fail()
    assert [key for _, _, key in world.topics.sent] == [b"two"]


def test_a_record_is_an_event_of_the_function_it_goes_to(world: World) -> None:
    world.functions(
        Hello=AsyncConfig(on_success=Destination("function", "Other")), Other=AsyncConfig()
    )
    world.put()

    world.succeed()

    call = world.the_call()
    assert call.function == "Other"
    assert json.loads(call.payload)["requestContext"]["requestId"] == "one"
    assert call.request_id != "one"
    assert [event.function for event, _ in world.store.rows.values()] == ["Other"]
    world.succeed()
    assert world.store.rows == {}


def test_functions_that_send_each_other_their_results_are_stopped(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.functions(Hello=AsyncConfig(on_success=Destination("function", "Hello")))
    world.put()

    while world.invoker.running:
        world.succeed()

    assert len(world.invoker.calls) == ROUNDS_MAX + 1
    assert "this looks like a loop" in caplog.text
    assert world.queue.waiting == 0


def test_a_destination_that_is_away_is_tried_again_and_given_up(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.functions(Hello=AsyncConfig(on_success=TOPIC))
    world.topics.is_away = True
    world.put()
    world.succeed()
    assert world.topics.attempts == 1

    world.loop.advance(1 + 2 + 4 + 8 + 1)

    assert world.topics.attempts == 5
    assert "the record of event one of Hello does not reach kafka://results" in caplog.text
    assert (world.ended().delivered, world.queue.waiting, world.store.rows) == (False, 0, {})
    assert len(world.invoker.calls) == 1  # the function is not run again
    labels = {"function": "Hello", "destination": "kafka://results"}
    assert world.count("lambda_async_destination_failures_total", **labels) == 5


def test_a_destination_that_comes_back_gets_the_record(world: World) -> None:
    world.functions(Hello=AsyncConfig(on_success=TOPIC))
    world.topics.is_away = True
    world.put()
    world.succeed()

    world.topics.is_away = False
    world.loop.advance(1.1)

    assert [key for _, _, key in world.topics.sent] == [b"one"]
    assert world.ended().delivered


def test_a_record_too_large_for_its_destination_is_given_up_at_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.functions(Hello=AsyncConfig(on_success=TOPIC))
    world.put()

    world.succeed(json.dumps("x" * 1024 * 1024).encode())

    assert (world.topics.attempts, world.ended().delivered) == (0, False)
    assert "is over the limit of 1048576" in caplog.text


# --- ends and beginnings -----------------------------------------------------------------------


def test_what_runs_when_the_host_stops_runs_again_with_the_next(world: World) -> None:
    world.put("runs")
    world.put("fails")
    world.invoker.running[1].fail()
    world.loop.settle()

    world.loop.run(world.queue.close(grace_s=0))
    world.loop.settle()
    assert (world.store.closed, world.topics.closed) == (True, True)
    with pytest.raises(RuntimeFailed, match="stopping"):
        world.put("late")
    left = [event for event, _ in world.store.rows.values()]
    world.invoker.calls.clear()
    world.queue = world.make_queue(left)
    world.queue.start()
    world.loop.settle()

    assert [call.request_id for call in world.invoker.running] == ["runs"]
    world.succeed()
    world.loop.advance(60)
    assert [call.request_id for call in world.invoker.running] == ["fails"]
    world.put("new")
    assert len(world.store.rows) == 2  # and nobody's number is given again


def test_a_stop_waits_for_what_is_about_to_end(world: World) -> None:
    world.put()
    closing = world.loop.create_task(world.queue.close(grace_s=2.0))
    world.loop.advance(1)
    assert not closing.done()

    world.succeed()

    assert closing.done()
    assert world.store.rows == {}


def test_a_record_that_was_on_its_way_is_delivered_by_the_next_host(world: World) -> None:
    world.functions(Hello=AsyncConfig(on_success=TOPIC))
    world.topics.is_away = True
    world.put()
    world.succeed()
    world.loop.run(world.queue.close(grace_s=0))
    left = [event for event, _ in world.store.rows.values()]

    world.topics.is_away = False
    world.queue = world.make_queue(left)
    world.queue.start()
    world.loop.advance(2)

    assert [key for _, _, key in world.topics.sent] == [b"one"]
    assert len(world.invoker.calls) == 1


def test_events_of_a_function_that_is_gone_are_dropped(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.put()
    world.fail()
    world.invoker.pools.clear()

    world.loop.advance(61)

    assert caplog.messages == ["event one of Hello dropped: there is no such function"]
    assert world.store.rows == {}


def test_what_waits_is_counted(world: World) -> None:
    world.put()
    world.fail()
    world.loop.advance(30)

    assert world.count("lambda_async_events_accepted_total", function="Hello") == 1
    assert world.count("lambda_async_events_waiting") == 1
    assert world.count("lambda_async_oldest_seconds") == pytest.approx(30)
    assert (world.queue.waiting_of("Hello"), world.queue.waiting_of("Other")) == (1, 0)
    [event] = world.queue.events()
    assert event.request_id == "one"
