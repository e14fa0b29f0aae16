"""Builds events as the triggers send them, for `local-stack generate-event` and for tests.

Every event comes from the builder that the runtime itself uses, so it cannot be another one.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from local_stack import clock
from local_stack.environments.invocation import Outcome
from local_stack.errors import LocalStackError
from local_stack.http1 import HttpRequest
from local_stack.invoke.async_policy import Condition, Event, Settled
from local_stack.invoke.destinations import record
from local_stack.model import VERSION, LambdaAuthorizer
from local_stack.triggers.http.call import Call, split_headers
from local_stack.triggers.http.event import render_event
from local_stack.triggers.http.function_url import url_targets
from local_stack.triggers.http.identity import authorizer_event, identity_values
from local_stack.triggers.http.integration import event_of
from local_stack.triggers.http.routes import Match, Router
from local_stack.triggers.kafka import event as kafka_events
from local_stack.triggers.schedule import event as schedule_events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local_stack.model import Template

ATTEMPTS = 3  # that an event has behind it when its retries are exhausted
# An example of what a function answers, or raises, in the record of an asynchronous event.
_ANSWER = b"null"
_ERROR = {"errorMessage": "an example", "errorType": "ValueError", "stackTrace": []}


def http_event(
    template: Template, method: str, target: str, *, headers: Mapping[str, str], body: bytes
) -> str:
    """The event of an HTTP request, in the format of its route.

    Raises `LocalStackError` when no route answers it.
    """
    call, match = _routed(template, method, target, headers, body)
    return _pretty(event_of(call, match))


def function_url_event(
    template: Template,
    name: str,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
) -> str:
    """The event of a request to a function URL. Raises `LocalStackError` for a function without."""
    targets = url_targets(template.functions.values())
    found = next((item for item in targets.values() if item.function.name == name), None)
    if found is None:
        known = ", ".join(item.function.name for item in targets.values()) or "none"
        msg = f"{name} has no FunctionUrlConfig; functions with one: {known}"
        raise LocalStackError(msg)
    host = f"{name.lower()}.lambda-url.localhost"
    call = _call(method, target, {"host": host, **headers}, body)
    return _pretty(render_event(call, found.fixed, call.request.path, None, ""))


def authorizer_event_of(
    template: Template, method: str, target: str, *, headers: Mapping[str, str]
) -> str:
    """What the Lambda authorizer of a route is asked about a request.

    Raises `LocalStackError` when the route has none, or when the request lacks what identifies
    the caller: the authorizer would not be asked then.
    """
    call, match = _routed(template, method, target, headers, b"")
    authorizer = match.target.authorizer
    if not isinstance(authorizer, LambdaAuthorizer):
        msg = f"{match.route.key} has no Lambda authorizer"
        raise LocalStackError(msg)
    values = identity_values(authorizer.identity_sources, call, match)
    if values is None:
        wanted = ", ".join(authorizer.identity_sources)
        msg = f"{authorizer.name} is asked only with {wanted}: add it, such as -H 'authorization: abc'"
        raise LocalStackError(msg)
    return json.dumps(authorizer_event(authorizer, call, match, values), indent=2)


def kafka_event(
    template: Template, topic: str, values: Sequence[bytes], *, key: str | None, brokers: str
) -> str:
    """The event of one batch: `values` as records of partition 0, from offset 0.

    A mapping of that topic decides its form and its brokers; without one, `brokers` does.
    """
    records = [
        kafka_events.Record(
            topic=topic,
            partition=0,
            offset=offset,
            timestamp=clock.epoch_ms(),
            timestamp_type=0,
            key=None if key is None else key.encode(),
            value=value,
            headers=(),
        )
        for offset, value in enumerate(values)
    ]
    source = next((item for item in template.kafka_sources if item.topic == topic), None)
    servers = brokers.split(",") if source is None else source.bootstrap_servers
    arn = None if source is None else source.source_arn
    return _pretty(kafka_events.build_event(records, servers, arn))


def schedule_event(template: Template, name: str | None) -> str:
    """The event of a schedule's next tick; the name may be left out when there is only one."""
    known = {schedule.name: schedule for schedule in template.schedules}
    if name is None and len(known) == 1:
        (name,) = known
    if name not in known:
        msg = f"no schedule is named {name!r}; there are {', '.join(known) or 'none'}"
        raise LocalStackError(msg)
    payload = schedule_events.build_event(known[name], event_id=str(uuid.uuid4()), now=clock.now())
    return _pretty(payload)


def async_destination_event(template: Template, name: str, condition: str, payload: bytes) -> str:
    """The record of an asynchronous event of function `name` that ended in `condition`."""
    if name not in template.functions:
        msg = f"no function is named {name}; there are {', '.join(template.functions)}"
        raise LocalStackError(msg)
    try:
        json.loads(payload)
    except ValueError as error:
        msg = f"the event is not JSON: {error}"
        raise LocalStackError(msg) from error
    ended = Condition(condition)
    now_s = clock.epoch_ms() / 1000
    request_id = str(uuid.uuid4())
    event = Event(1, request_id, name, now_s, now_s, len(payload))
    outcome: Outcome | None = None
    if ended is Condition.SUCCESS:
        outcome = Outcome(request_id, _ANSWER)
    elif ended is Condition.RETRIES_EXHAUSTED:
        event = Event(1, request_id, name, now_s, now_s, len(payload), invoke_count=ATTEMPTS - 1)
        raised = {**_ERROR, "requestId": request_id}
        outcome = Outcome(request_id, json.dumps(raised).encode(), "Unhandled")
    return _pretty(record(event, payload, Settled(ended, outcome), VERSION, now_s))


def _routed(
    template: Template, method: str, target: str, headers: Mapping[str, str], body: bytes
) -> tuple[Call, Match]:
    call = _call(method, target, headers, body)
    router = Router(template.functions.values(), template.apis, stage=template.stage)
    match = router.match(call.request.method, call.request.path)
    if match is None:
        routes = sorted(r.key for f in template.functions.values() for r in f.routes)
        known = ", ".join(routes) or "none"
        msg = f"no route answers {call.request.method} {call.request.path}; there are {known}"
        raise LocalStackError(msg)
    return call, match


def _call(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Call:
    address = urlsplit(target)
    given = {name.lower(): value for name, value in headers.items()}
    defaults = {"host": "127.0.0.1", "user-agent": "local-stack"}
    if body:
        defaults |= {"content-type": "application/json", "content-length": str(len(body))}
    request = HttpRequest(
        method=method.upper(),
        path=address.path,
        query=address.query,
        protocol="HTTP/1.1",
        headers=[(k.encode(), v.encode("latin-1")) for k, v in {**defaults, **given}.items()],
        body=body,
        client_ip="127.0.0.1",
    )
    return Call(request, *split_headers(request.headers), str(uuid.uuid4()), clock.epoch_ms())


def _pretty(payload: bytes) -> str:
    event: Any = json.loads(payload)
    return json.dumps(event, indent=2)
