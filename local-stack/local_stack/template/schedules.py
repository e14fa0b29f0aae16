"""Reads the schedules of a template: `Schedule` events of functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_stack.model import Schedule
from local_stack.template.events import check_json, is_enabled, refuse_unknown, sam_events

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local_stack.template.source import Source

_SCHEDULE_HONOURED = frozenset({"Description", "Enabled", "Input", "Name", "Schedule", "State"})


def read_schedules(source: Source, names: Mapping[str, str]) -> Iterator[Schedule]:
    """Every `Schedule` event; `names` maps logical ids of functions to their names."""
    for logical_id, path, event, properties in sam_events(source, "Schedule"):
        refuse_unknown(source, event, path, properties, _SCHEDULE_HONOURED)
        raw_input = properties.get("Input")
        if raw_input is not None:
            check_json(source, event, path, raw_input)
        yield Schedule(
            name=str(properties.get("Name", path.split(".")[1] + path.rsplit(".", 1)[1])),
            function=names[logical_id],
            expression=str(properties.get("Schedule", "")),
            enabled=is_enabled(properties) and properties.get("State") != "DISABLED",
            input_json=raw_input,
        )
