"""Which asynchronous event is started next."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from local_stack.invoke.async_lines import LINE_RUNNING_MAX, RUNNING_MAX, Lines


def _lines(**places: int) -> Lines:
    return Lines(lambda name: places.get(name, LINE_RUNNING_MAX))


def _ids(lines: Lines, now_s: float = 0.0) -> list[int]:
    return [event_id for _, event_id in lines.take(now_s)]


def test_an_event_waits_for_its_time() -> None:
    lines = _lines()
    lines.add("a", 1, 10.0)

    assert _ids(lines, 9.999) == []
    assert lines.next_due_s == 10.0
    assert _ids(lines, 10.0) == [1]
    assert lines.next_due_s is None


def test_the_oldest_of_a_line_is_first() -> None:
    lines = _lines(a=1)
    for event_id in (3, 1, 2):
        lines.add("a", event_id, float(event_id))

    assert _ids(lines, 5.0) == [1]
    lines.done("a")
    assert _ids(lines, 5.0) == [2]


def test_lines_take_turns() -> None:
    lines = _lines()
    for event_id in range(4):
        lines.add("a", event_id, 0.0)
    lines.add("b", 10, 0.0)

    assert [line for line, _ in lines.take(0.0)] == ["a", "b", "a", "a", "a"]


def test_a_line_has_no_more_places_than_it_can_use() -> None:
    lines = _lines(a=2)
    for event_id in range(5):
        lines.add("a", event_id, 0.0)
    lines.add("b", 10, 0.0)

    assert sorted(_ids(lines)) == [0, 1, 10]


def test_one_line_never_takes_every_place_and_all_of_them_have_a_limit() -> None:
    lines = Lines(lambda _name: 10_000)
    for event_id in range(LINE_RUNNING_MAX + 1):
        lines.add("flood", event_id, 0.0)
    assert len(_ids(lines)) == LINE_RUNNING_MAX

    for event_id in range(1000, 1000 + RUNNING_MAX):
        lines.add(f"line {event_id}", event_id, 0.0)
    assert len(_ids(lines)) == RUNNING_MAX - LINE_RUNNING_MAX


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), max_size=60),
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 5)),
)
def test_every_event_is_started_once_and_no_line_is_overfilled(
    added: list[tuple[str, int]], places: dict[str, int]
) -> None:
    lines = Lines(lambda name: places.get(name, 3))
    for event_id, (name, due) in enumerate(added):
        lines.add(name, event_id, float(due))
    running: Counter[str] = Counter()
    started: list[int] = []
    for now in range(21 + len(added)):
        for name, event_id in lines.take(float(now)):
            assert added[event_id][1] <= now
            running[name] += 1
            assert running[name] <= places.get(name, 3)
            started.append(event_id)
        for name in [name for name in running if running[name]]:
            running[name] -= 1
            lines.done(name)

    assert sorted(started) == list(range(len(added)))
