"""Which records a mapping's `FilterCriteria` lets through. Pure.

Lambda developer guide, "Filtering events from Amazon MSK and self-managed Apache Kafka event
sources": a message whose format is not the pattern's (plain text against a JSON pattern, JSON
against a plain one, bytes that are no UTF-8) is judged by its metadata alone, so it passes when
the pattern asks for nothing else. AWS promises `value` only; key and metadata are judged here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local_stack.template.event_patterns import (
    Number,
    compile_fields,
    compile_rules,
    read_json,
    read_pattern,
)
from local_stack.triggers.kafka.event import timestamp_type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local_stack.triggers.kafka.event import Record

    Passes = Callable[[Record], bool]

_DATA = ("key", "value")


def read_filters(patterns: Sequence[str]) -> Passes | None:
    """What tells whether a record passes any of `patterns`; None when there are none."""
    if not patterns:
        return None
    filters = [_filter(read_pattern(text)) for text in patterns]
    return lambda record: any(passes(record) for passes in filters)


def _filter(pattern: Mapping[str, Any]) -> Passes:
    metadata = {name: wanted for name, wanted in pattern.items() if name not in _DATA}
    of_metadata = compile_fields(metadata, "") if metadata else None
    document_of = _whole if "$or" in pattern else _metadata  # its branches may ask for anything
    of_key = _data(pattern["key"], "key") if "key" in pattern else None
    of_value = _data(pattern["value"], "value") if "value" in pattern else None

    def passes(record: Record) -> bool:
        return (
            (of_metadata is None or of_metadata(document_of(record)))
            and (of_key is None or of_key(record.key))
            and (of_value is None or of_value(record.value))
        )

    return passes


def _data(wanted: Any, name: str) -> Callable[[bytes | None], bool]:
    """Judges bytes that are plain text (a list of rules) or JSON (an object of fields)."""
    if isinstance(wanted, dict):
        fields = compile_fields({name: wanted}, "")
        return lambda data: (document := _document(data)) is None or fields({name: document})
    rules = compile_rules(wanted, name)
    return lambda data: (text := _plain(data)) is None or rules(text)


def _document(data: bytes | None) -> Mapping[str, Any] | None:
    """The JSON object in `data`, or None when there is none."""
    try:
        document = read_json((data or b"").decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _plain(data: bytes | None) -> str | None:
    """The text in `data`, or None when it is missing, JSON or no UTF-8."""
    if data is None or _document(data) is not None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _metadata(record: Record) -> Mapping[str, Any]:
    return {
        "topic": record.topic,
        "partition": Number(str(record.partition)),
        "offset": Number(str(record.offset)),
        "timestamp": Number(str(record.timestamp)),
        "timestampType": timestamp_type(record),
    }


def _whole(record: Record) -> Mapping[str, Any]:
    """The record with key and value as JSON, else as text; neither is a field that is missing."""
    whole = dict(_metadata(record))
    for name, data in (("key", record.key), ("value", record.value)):
        found = _document(data)
        shown: Any = _plain(data) if found is None else found
        if shown is not None:
            whole[name] = shown
    return whole
