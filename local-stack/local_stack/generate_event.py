"""Builds events as the triggers send them, for `local-stack invoke` and for tests."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from local_stack import clock
from local_stack.errors import LocalStackError
from local_stack.http1 import HttpRequest
from local_stack.triggers.http import event as http_events
from local_stack.triggers.http.routes import Router
from local_stack.triggers.kafka import event as kafka_events
from local_stack.triggers.schedule import event as schedule_events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local_stack.model import Template


def http_event(
    template: Template, method: str, target: str, *, headers: Mapping[str, str], body: bytes
) -> str:
    """The event of an HTTP request. Raises `LocalStackError` when no route answers it."""
    address = urlsplit(target)
    method = method.upper()
    match = Router(template.functions.values()).match(method, address.path)
    if match is None:
        routes = sorted(r.key for f in template.functions.values() for r in f.routes)
        msg = f"no route answers {method} {address.path}; there are {', '.join(routes)}"
        raise LocalStackError(msg)
    given = {name.lower(): value for name, value in headers.items()}
    defaults = {"host": "127.0.0.1", "user-agent": "local-stack"}
    if body:
        defaults |= {"content-type": "application/json", "content-length": str(len(body))}
    request = HttpRequest(
        method=method,
        path=address.path,
        query=address.query,
        protocol="HTTP/1.1",
        headers=[(k.encode(), v.encode("latin-1")) for k, v in {**defaults, **given}.items()],
        body=body,
        client_ip="127.0.0.1",
    )
    event = http_events.build_event(
        request,
        request_id=str(uuid.uuid4()),
        source_ip="127.0.0.1",
        route_key=match.route.key,
        path_parameters=match.path_parameters,
        stage=template.stage,
        now=clock.now(),
    )
    return json.dumps(event, indent=2)


def kafka_event(
    topic: str, values: Sequence[bytes], *, key: str | None, bootstrap_servers: str
) -> str:
    """The event of one batch: `values` as records of partition 0, from offset 0."""
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
    event = json.loads(kafka_events.build_event(records, bootstrap_servers.split(",")))
    return json.dumps(event, indent=2)


def schedule_event(template: Template, name: str | None) -> str:
    """The event of a schedule's next tick; the name may be left out when there is only one."""
    known = {schedule.name: schedule for schedule in template.schedules}
    if name is None and len(known) == 1:
        (name,) = known
    if name not in known:
        msg = f"no schedule is named {name!r}; there are {', '.join(known) or 'none'}"
        raise LocalStackError(msg)
    payload = schedule_events.build_event(known[name], event_id=str(uuid.uuid4()), now=clock.now())
    return json.dumps(json.loads(payload), indent=2)
