"""Reads the schedules of a template: `Schedule` and `ScheduleV2` events of functions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from local_stack.model import Schedule
from local_stack.template.event_places import events_of
from local_stack.template.schedule_expression import BadExpression, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local_stack.template.event_places import SamEvent
    from local_stack.template.place import Place
    from local_stack.template.source import Source

# Retries are those of EventBridge when it cannot reach Lambda: here a run that was not possible is
# followed by the next tick.
_COMMON = frozenset({"Description", "Input", "Name", "RetryPolicy", "State"})
_OF_RULE = _COMMON | {"Enabled", "Schedule", "RoleArn"}
_OF_SCHEDULER = _COMMON | {
    "EndDate",
    "FlexibleTimeWindow",  # every schedule runs as if it were OFF
    "GroupName",
    "KmsKeyArn",
    "OmitName",
    "PermissionsBoundary",
    "RoleArn",
    "ScheduleExpression",
    "ScheduleExpressionTimezone",
    "StartDate",
}
INPUT_BYTES_MAX = 256 * 1024  # of Scheduler; of a rule's target it is 8 KiB
_RULE_INPUT_BYTES_MAX = 8192
_WINDOW_MINUTES_MAX = 1440


def read_schedules(source: Source, names: Mapping[str, str]) -> Iterator[Schedule]:
    """Every schedule; `names` maps logical ids of functions to their names."""
    for event in events_of(source, "Schedule", "ScheduleV2"):
        with source.leaving_out():
            if event.kind == "Schedule":
                yield _rule(event, names[event.function_id])
            else:
                yield _scheduler(event, names[event.function_id])


def _rule(event: SamEvent, function: str) -> Schedule:
    place, properties = event.properties()
    place.only(properties, _OF_RULE)
    enabled = properties.get("Enabled")
    enabled = enabled.lower() if isinstance(enabled, str) else enabled
    return Schedule(
        name=place.text("Name", properties.get("Name"), f"{event.function_id}{event.name}"),
        function=function,
        expression=_expression(place, "Schedule", properties, "rule"),
        enabled=place.boolean("Enabled", enabled, default=True) and _is_on(place, properties),
        input_json=_input(place, properties, _RULE_INPUT_BYTES_MAX),
    )


def _scheduler(event: SamEvent, function: str) -> Schedule:
    place, properties = event.properties()
    place.only(properties, _OF_SCHEDULER)
    _check_window(place, properties)
    starts, ends = (_moment(place, properties, name) for name in ("StartDate", "EndDate"))
    if starts is not None and ends is not None and starts >= ends:
        place.fail("EndDate", "is not after StartDate")
    return Schedule(
        name=place.text("Name", properties.get("Name"), f"{event.function_id}{event.name}"),
        function=function,
        expression=_expression(place, "ScheduleExpression", properties, "scheduler"),
        enabled=_is_on(place, properties),
        input_json=_input(place, properties, INPUT_BYTES_MAX),
        kind="scheduler",
        timezone=_timezone(place, properties),
        group=place.text("GroupName", properties.get("GroupName"), "default"),
        starts=starts,
        ends=ends,
    )


def _expression(
    place: Place, what: str, properties: Mapping[str, Any], kind: Literal["rule", "scheduler"]
) -> str:
    text = place.text(what, properties.get(what))
    try:
        parse(text, kind)
    except BadExpression as error:
        place.fail(what, str(error), error.hint)
    return text


def _is_on(place: Place, properties: Mapping[str, Any]) -> bool:
    state = properties.get("State")
    if state is None:
        return True
    # The third is a rule's: enabled for CloudTrail's management events too.
    known = ("ENABLED", "DISABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS")
    return place.one_of("State", state, known) != "DISABLED"


def _input(place: Place, properties: Mapping[str, Any], bytes_max: int) -> str | None:
    text = properties.get("Input")
    if text is None:
        return None
    try:
        json.loads(text)
    except (TypeError, ValueError):
        place.fail("Input", "is a JSON text")
    assert isinstance(text, str)
    if len(text.encode()) > bytes_max:
        place.fail("Input", f"has {bytes_max} bytes at most")
    return text


def _timezone(place: Place, properties: Mapping[str, Any]) -> str:
    what = "ScheduleExpressionTimezone"
    name = place.text(what, properties.get(what), "UTC")
    try:
        ZoneInfo(name)
    except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
        place.fail(what, f"{name!r} is no time zone")
    except KeyError:
        place.fail(what, f"{name!r} is no time zone of this machine", "such as Europe/Madrid")
    return name


def _moment(place: Place, properties: Mapping[str, Any], what: str) -> datetime | None:
    """`StartDate` or `EndDate`: ISO 8601, in UTC when it names no zone."""
    text = place.text(what, properties.get(what))
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        place.fail(what, f"{text!r} is no time", "2026-01-31T12:00:00Z")
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check_window(place: Place, properties: Mapping[str, Any]) -> None:
    what = "FlexibleTimeWindow"
    window = place.mapping(what, properties.get(what))
    if not window:
        return
    inner = place.inside(what, window)
    mode = window.get("Mode")
    mode = "OFF" if mode is False else mode  # OFF without quotes is `false` in YAML 1.1
    if inner.one_of("Mode", mode, ("OFF", "FLEXIBLE")) == "FLEXIBLE":
        minutes = window.get("MaximumWindowInMinutes")
        inner.integer("MaximumWindowInMinutes", minutes, 1, _WINDOW_MINUTES_MAX)
