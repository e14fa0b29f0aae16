"""Reads the settings of a Kafka mapping that have a shape of their own."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from local_stack.model import AccessKind, Destination, SourceAccess
from local_stack.template.event_patterns import BadPattern, read_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local_stack.template.place import Place

    Position = Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]

FILTERS_MAX = 10  # five, and ten on request
POLLERS_MIN_MAX = 200
POLLERS_MAX_MAX = 10_000
_KAFKA = "kafka://"
_TOPIC = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,248}")
_INTEGER = re.compile(r"-?[0-9]{1,9}")
_KINDS: Mapping[str, AccessKind] = {
    "BASIC_AUTH": "BASIC_AUTH",
    "SASL_SCRAM_256_AUTH": "SASL_SCRAM_256_AUTH",
    "SASL_SCRAM_512_AUTH": "SASL_SCRAM_512_AUTH",
    "CLIENT_CERTIFICATE_TLS_AUTH": "CLIENT_CERTIFICATE_TLS_AUTH",
    "SERVER_ROOT_CA_CERTIFICATE": "SERVER_ROOT_CA_CERTIFICATE",
}
_PASSWORDS = ("BASIC_AUTH", "SASL_SCRAM_256_AUTH", "SASL_SCRAM_512_AUTH")
_NETWORK = ("VPC_SUBNET", "VPC_SECURITY_GROUP")  # of AWS: nothing to honour on one machine
_SCHEMA_REGISTRY = "schema registries do not run here"
# What AWS lets a filter ask of a record: its value; the rest is judged here as well.
_FILTERABLE = frozenset(
    ["$or", "key", "offset", "partition", "timestamp", "timestampType", "topic", "value"]
)


def whole_number(place: Place, what: str, value: Any, low: int, high: int) -> int:
    """`value` as an int within these bounds, which may be below zero."""
    text = str(value)
    if _INTEGER.fullmatch(text) is None:
        place.fail(what, f"{value!r} is not a whole number")
    if not low <= int(text) <= high:
        place.fail(what, f"is from {low} to {high}")
    return int(text)


def refuse_queue_mode(place: Place, config: Mapping[str, Any]) -> None:
    """Raise for Queue mode and schema registries, by name."""
    mode = config.get("ConsumptionMode")
    if mode == "Queue":
        place.unsupported("ConsumptionMode", "Queue mode (Kafka share groups) does not run here")
    if mode not in (None, "Stream"):
        place.fail("ConsumptionMode", f"{mode!r} is neither Stream nor Queue")
    if config.get("SchemaRegistryConfig"):
        place.unsupported("SchemaRegistryConfig", _SCHEMA_REGISTRY)


def read_position(place: Place, properties: Mapping[str, Any]) -> tuple[Position, float | None]:
    """Where a new group starts, and for AT_TIMESTAMP from which second since 1970."""
    position = properties.get("StartingPosition")
    given = properties.get("StartingPositionTimestamp")
    if position in (None, "TRIM_HORIZON"):
        return "TRIM_HORIZON", None
    if position == "LATEST":
        return "LATEST", None
    if position != "AT_TIMESTAMP":
        place.fail(
            "StartingPosition", f"{position!r} is none of TRIM_HORIZON, LATEST, AT_TIMESTAMP"
        )
    if given is None:
        place.fail("StartingPosition", "AT_TIMESTAMP needs StartingPositionTimestamp")
    return "AT_TIMESTAMP", _seconds(place, "StartingPositionTimestamp", given)


def read_failure_destination(
    place: Place, properties: Mapping[str, Any], topic: str
) -> Destination | None:
    """The topic of `DestinationConfig.OnFailure`: another one of the same cluster."""
    config = place.mapping("DestinationConfig", properties.get("DestinationConfig"))
    place.inside("DestinationConfig", config).only(config, frozenset({"OnFailure"}))
    what = "DestinationConfig.OnFailure"
    on_failure = place.mapping(what, config.get("OnFailure"))
    given = place.text(what, on_failure.get("Destination"))
    if not given:
        return None
    if ":lambda:" in given:
        place.fail(what, "a Kafka mapping has no function as its destination")
    if not given.startswith(_KAFKA):
        place.unsupported(what, f"{given!r}: only kafka://topic runs here")
    name = given.removeprefix(_KAFKA)
    if _TOPIC.fullmatch(name) is None:
        place.fail(what, f"{name!r} is no name of a topic")
    if name == topic:
        place.fail(what, "is the source topic itself: what fails would come again for ever")
    return Destination("kafka", name)


def read_filters(place: Place, properties: Mapping[str, Any]) -> tuple[str, ...]:
    """The patterns of `FilterCriteria`, checked."""
    criteria = place.mapping("FilterCriteria", properties.get("FilterCriteria"))
    what = "FilterCriteria.Filters"
    filters = criteria.get("Filters") or []
    if not isinstance(filters, list) or len(filters) > FILTERS_MAX:
        place.fail(what, f"is a list of {FILTERS_MAX} filters at most")
    patterns = []
    for item in filters:
        pattern = place.mapping(what, item).get("Pattern")
        if not isinstance(pattern, str):
            place.fail(what, "a Pattern is a JSON text")
        try:
            fields = read_pattern(pattern)
        except BadPattern as error:
            place.fail(what, str(error))
        unknown = sorted(set(fields) - _FILTERABLE)
        if unknown:
            place.fail(what, f"a Kafka record has no {unknown[0]!r} to filter by")
        patterns.append(pattern)
    return tuple(patterns)


def read_pollers(place: Place, properties: Mapping[str, Any]) -> tuple[int, int]:
    """The least and the most pollers of `ProvisionedPollerConfig`."""
    what = "ProvisionedPollerConfig"
    config = place.mapping(what, properties.get(what))
    inner = place.inside(what, config)
    inner.only(config, frozenset({"MinimumPollers", "MaximumPollers", "PollerGroupName"}))
    least, most = config.get("MinimumPollers"), config.get("MaximumPollers")
    low = 1 if least is None else whole_number(inner, "MinimumPollers", least, 1, POLLERS_MIN_MAX)
    high = 200 if most is None else whole_number(inner, "MaximumPollers", most, 1, POLLERS_MAX_MAX)
    if low > high:
        inner.fail("MinimumPollers", "is more than MaximumPollers")
    return low, high


def read_access(place: Place, properties: Mapping[str, Any]) -> tuple[SourceAccess, ...]:
    """How the mapping signs in; the secrets are named, not read."""
    what = "SourceAccessConfigurations"
    found = []
    items = properties.get(what) or []
    if not isinstance(items, list):
        place.fail(what, "is a list")
    for item in items:
        entry = place.mapping(what, item)
        kind = place.text(what, entry.get("Type"))
        if kind in _NETWORK:
            continue
        if kind not in _KINDS:
            place.unsupported(what, f"{kind!r} does not run here")
        uri = place.text(what, entry.get("URI"))
        if not uri:
            place.fail(what, f"{kind} has no URI")
        found.append(SourceAccess(_KINDS[kind], uri))
    if len([access for access in found if access.kind in _PASSWORDS]) > 1:
        place.fail(what, f"only one of {', '.join(_PASSWORDS)}")
    return tuple(found)


def _seconds(place: Place, what: str, value: Any) -> float:
    """Seconds since 1970: as a number, as CloudFormation has it, or as an ISO 8601 time."""
    try:
        return float(value)
    except (TypeError, ValueError):
        pass
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        place.fail(what, f"{value!r} is no time: seconds since 1970, or 2026-01-31T12:00:00Z")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
