"""Whatever happens, and in whatever order: an accepted event ends once, and is never lost."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from typing_extensions import override

from local_stack.errors import Throttled
from local_stack.invoke.async_lines import LINE_RUNNING_MAX
from local_stack.invoke.async_queue import AsyncQueue
from local_stack.model import AsyncConfig, Destination
from local_stack.telemetry.metrics import Metrics
from tests.fakes.async_events import FakeInvoker, FakeStore, FakeTopics
from tests.support.functions import a_function
from tests.support.virtual_time import VirtualTimeLoop, virtual_time

if TYPE_CHECKING:
    from local_stack.invoke.invoker import Invoker

TOPIC = Destination("kafka", "ended")
FUNCTIONS = [
    a_function("Plain"),
    a_function("OneByOne", reserved_concurrency=1),
    a_function("Told", async_config=AsyncConfig(on_success=TOPIC, on_failure=TOPIC)),
    a_function("Brief", async_config=AsyncConfig(retries_max=1, event_age_s_max=60)),
]
NAMES = [function.name for function in FUNCTIONS]
ATTEMPTS = {"Plain": 3, "OneByOne": 3, "Told": 3, "Brief": 2}


class QueueMachine(RuleBasedStateMachine):
    """Callers, functions that work, fail or are throttled, time, and hosts that die."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._time = virtual_time(self._patch)
        self.loop: VirtualTimeLoop = self._time.__enter__()
        self.store = FakeStore()
        self.topics = FakeTopics()
        self.invoker = FakeInvoker(*FUNCTIONS)
        self.accepted: dict[str, str] = {}  # request id → function
        self.ended: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()  # by the function, worked or failed
        self.queue = self._host()

    @override
    def teardown(self) -> None:
        self._drain()
        self._time.__exit__(None, None, None)
        self._patch.undo()

    def _host(self) -> AsyncQueue:
        async def make() -> AsyncQueue:
            events = [event for event, _ in self.store.rows.values()]
            invoker = cast("Invoker", self.invoker)
            return AsyncQueue(invoker, self.store, Metrics(), events=events, topics=self.topics)

        queue = self.loop.run(make())
        queue.start()
        self.loop.settle()
        return queue

    @rule(name=st.sampled_from(NAMES))
    def put(self, name: str) -> None:
        request_id = f"id-{len(self.accepted)}"
        self.loop.run(self.queue.put(name, b"{}", request_id))
        self.accepted[request_id] = name
        self.loop.settle()

    @precondition(lambda self: self.invoker.running)
    @rule(number=st.integers(0, 99), how=st.sampled_from(["works", "fails", "is throttled"]))
    def end(self, number: int, how: str) -> None:
        running = self.invoker.running
        call = running[number % len(running)]
        if how == "is throttled":
            call.refuse(Throttled("ConcurrentInvocationLimitExceeded"))
        else:
            self.answered[call.request_id] += 1
            call.succeed() if how == "works" else call.fail()
        self.loop.settle()

    @rule(seconds=st.sampled_from([0.5, 1.0, 30.0, 61.0, 400.0]))
    def advance(self, seconds: float) -> None:
        self.loop.advance(seconds)

    @rule(away=st.booleans())
    def set_broker(self, away: bool) -> None:
        self.topics.is_away = away

    @rule()
    def kill_the_host(self) -> None:
        self._remember()
        self.loop.run(self.queue.close(grace_s=0))
        self.invoker.calls.clear()
        self.queue = self._host()

    def _remember(self) -> None:
        self.ended.update(ended.request_id for ended in self.queue.history.all())

    def _drain(self) -> None:
        """Everything works from now on: nothing may be left."""
        self.topics.is_away = False
        for _ in range(10_000):
            if not self.queue.waiting:
                break
            for call in self.invoker.running:
                call.succeed()
            self.loop.advance(400.0)
        assert self.queue.waiting == 0
        assert self.store.rows == {}
        self._remember()
        assert dict(self.ended) == dict.fromkeys(self.accepted, 1)

    @invariant()
    def what_waits_is_on_disk(self) -> None:
        assert {event.id for event in self.queue.events()} == set(self.store.rows)

    @invariant()
    def no_function_has_more_places_than_it_may(self) -> None:
        running = Counter(call.function for call in self.invoker.running)
        assert running["OneByOne"] <= 1
        assert max(running.values(), default=0) <= LINE_RUNNING_MAX

    @invariant()
    def no_event_has_more_attempts_than_it_may(self) -> None:
        for request_id, count in self.answered.items():
            assert count <= ATTEMPTS[self.accepted[request_id]]


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
