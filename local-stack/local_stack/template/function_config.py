"""Reads what a function says beside its code: asynchronous events, URL, logging, architecture.

SAM specification: EventInvokeConfiguration, FunctionUrlConfig; CloudFormation: LoggingConfig.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from local_stack.model import AsyncConfig, Destination, FunctionUrl, Logging
from local_stack.template.cors import read_cors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local_stack.template.place import Place

_KAFKA = "kafka://"
_INVOKE_KNOWN = frozenset(["DestinationConfig", "MaximumEventAgeInSeconds", "MaximumRetryAttempts"])
_URL_KNOWN = frozenset(["AuthType", "Cors", "InvokeMode"])
_LOGGING_KNOWN = frozenset(["ApplicationLogLevel", "LogFormat", "LogGroup", "SystemLogLevel"])
_APPLICATION_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_SYSTEM_LEVELS = ("DEBUG", "INFO", "WARN")
RETRIES_MAX = 2
EVENT_AGE_S_MIN, EVENT_AGE_S_MAX = 60, 21_600


def read_async_config(place: Place, value: Any) -> AsyncConfig:
    """`EventInvokeConfig`, unresolved; a destination is a function, or `kafka://topic`."""
    given = place.mapping("EventInvokeConfig", value)
    inner = place.inside("EventInvokeConfig", given)
    inner.only(given, _INVOKE_KNOWN)
    destinations = inner.mapping("DestinationConfig", given.get("DestinationConfig"))
    retries = inner.value("MaximumRetryAttempts", given)
    age = inner.value("MaximumEventAgeInSeconds", given)
    default = AsyncConfig()
    return AsyncConfig(
        retries_max=default.retries_max
        if retries is None
        else inner.integer("MaximumRetryAttempts", retries, 0, RETRIES_MAX),
        event_age_s_max=default.event_age_s_max
        if age is None
        else inner.integer("MaximumEventAgeInSeconds", age, EVENT_AGE_S_MIN, EVENT_AGE_S_MAX),
        on_success=_destination(inner, destinations, "OnSuccess"),
        on_failure=_destination(inner, destinations, "OnFailure"),
    )


def _destination(place: Place, destinations: Mapping[str, Any], name: str) -> Destination | None:
    what = f"DestinationConfig.{name}"
    given = place.mapping(what, destinations.get(name))
    if not given:
        return None
    inner = place.inside(what, given)
    with place.source.leaving_out():
        kind = inner.text("Type", inner.value("Type", given))
        if kind not in ("", "Lambda", "Kafka"):
            inner.unsupported("Type", f"{kind} is no destination here; Lambda and kafka:// are")
        target = inner.text("Destination", inner.value("Destination", given))
        if target.startswith(_KAFKA) and target != _KAFKA:
            return Destination("kafka", target.removeprefix(_KAFKA))
        if target.startswith("arn:aws:lambda:") and ":function:" in target:
            return Destination("function", target.split(":function:")[1].partition(":")[0])
        if target.startswith("arn:"):
            inner.unsupported("Destination", f"{target} is neither a function nor kafka://topic")
        inner.fail("Destination", "is a function's ARN or kafka://topic")
    return None


def read_url(place: Place, value: Any) -> FunctionUrl | None:
    """`FunctionUrlConfig`."""
    if value is None:
        return None
    given = place.mapping("FunctionUrlConfig", value)
    inner = place.inside("FunctionUrlConfig", given)
    inner.only(given, _URL_KNOWN)
    auth = inner.one_of("AuthType", given.get("AuthType"), ("NONE", "AWS_IAM"))
    with place.source.leaving_out():
        if given.get("InvokeMode", "BUFFERED") != "BUFFERED":
            inner.unsupported("InvokeMode", "responses are not streamed here, but BUFFERED")
    return FunctionUrl(
        auth_type=cast("Literal['NONE', 'AWS_IAM']", auth),
        cors=read_cors(inner, "Cors", given.get("Cors")),
    )


def read_logging(place: Place, value: Any) -> Logging:
    """`LoggingConfig`; levels are taken in JSON format only, as on AWS."""
    given = place.mapping("LoggingConfig", value)
    if not given:
        return Logging()
    inner = place.inside("LoggingConfig", given)
    for key in given:
        if key not in _LOGGING_KNOWN:
            inner.fail(key, f"known are {', '.join(sorted(_LOGGING_KNOWN))}")
    log_format = inner.one_of("LogFormat", given.get("LogFormat", "Text"), ("Text", "JSON"))
    application, system = given.get("ApplicationLogLevel"), given.get("SystemLogLevel")
    if log_format == "Text" and (application or system):
        inner.fail("LogFormat", "log levels need LogFormat: JSON")
    group = given.get("LogGroup")
    return Logging(
        format=cast("Literal['Text', 'JSON']", log_format),
        application_level=None
        if application is None
        else inner.one_of("ApplicationLogLevel", application, _APPLICATION_LEVELS),
        system_level=None
        if system is None
        else inner.one_of("SystemLogLevel", system, _SYSTEM_LEVELS),
        group=None if group is None else inner.text("LogGroup", group),
    )


def read_architecture(place: Place, value: Any) -> str:
    """`Architectures`: one of Lambda's two."""
    listed = place.texts("Architectures", value)
    if not listed:
        return "x86_64"
    if len(listed) != 1:
        place.fail("Architectures", "is a list of one")
    return place.one_of("Architectures", listed[0], ("x86_64", "arm64"))
