"""Time is taken from one place, and a deadline leaves its margin."""

from __future__ import annotations

from datetime import UTC, datetime

from shared import clock
from shared.clock import Deadline
from tests.support.aws_events import FakeContext
from tests.support.clock import FakeClock


def test_system_time_is_utc_and_moves() -> None:
    before = clock.monotonic_s()
    assert clock.now().tzinfo is UTC
    assert abs((clock.now() - datetime.now(UTC)).total_seconds()) < 5
    assert clock.monotonic_s() > before


def test_a_used_clock_is_put_back() -> None:
    fake = FakeClock(wall=0.0, monotonic=7.0)
    with clock.use(fake):
        assert clock.now() == datetime(1970, 1, 1, tzinfo=UTC)
        assert clock.monotonic_s() == 7.0
    assert clock.wall_s() > 1e9


def test_a_deadline_ends_its_margin_before_the_invocation() -> None:
    fake = FakeClock()
    with clock.use(fake):
        deadline = Deadline.of(FakeContext(remaining_ms=10_000), margin_s=4)
        assert deadline.remaining_s() == 6
        fake.advance(5.9)
        assert not deadline.passed()
        fake.advance(0.2)
        assert deadline.passed()
        assert deadline.remaining_s() == 0


def test_a_deadline_within_the_margin_has_passed() -> None:
    with clock.use(FakeClock()):
        assert Deadline.of(FakeContext(remaining_ms=100), margin_s=1).passed()
