"""`local-stack generate-event`: prints events as the triggers would send them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from local_stack import generate_event
from local_stack.cli_project import DirOption, TemplateOption, running_settings
from local_stack.template.project import load_project

if TYPE_CHECKING:
    from pathlib import Path

    from local_stack.model import Template

app = typer.Typer(help="Print an event as a trigger would send it.", no_args_is_help=True)

MethodOption = Annotated[str, typer.Option("--method", "-X")]
BodyOption = Annotated[str, typer.Option("--body", "-d", help="Text of the body")]
HeaderOption = Annotated[
    list[str] | None, typer.Option("--header", "-H", help="name: value; may be repeated")
]
PathArgument = Annotated[str, typer.Argument(help="With its query, such as /api/games?limit=5")]


@app.command(name="http")
def http_event(
    path: PathArgument,
    method: MethodOption = "GET",
    body: BodyOption = "",
    header: HeaderOption = None,
    template: TemplateOption = None,
    directory: DirOption = None,
) -> None:
    """The event of an HTTP request, in the format of its route: 2.0, 1.0, or a REST API's."""
    found = _template(template, directory)
    headers = _pairs(header)
    _write(generate_event.http_event(found, method, path, headers=headers, body=body.encode()))


@app.command(name="function-url")
def function_url_event(
    name: Annotated[str, typer.Argument(help="The function's name")],
    path: PathArgument = "/",
    method: MethodOption = "GET",
    body: BodyOption = "",
    header: HeaderOption = None,
    template: TemplateOption = None,
    directory: DirOption = None,
) -> None:
    """The event of a request to a function URL."""
    found = _template(template, directory)
    headers = _pairs(header)
    _write(
        generate_event.function_url_event(
            found, name, method, path, headers=headers, body=body.encode()
        )
    )


@app.command(name="authorizer")
def authorizer_event(
    path: PathArgument,
    method: MethodOption = "GET",
    header: HeaderOption = None,
    template: TemplateOption = None,
    directory: DirOption = None,
) -> None:
    """What the Lambda authorizer of a route is asked."""
    found = _template(template, directory)
    headers = _pairs(header)
    _write(generate_event.authorizer_event_of(found, method, path, headers=headers))


@app.command(name="kafka")
def kafka_event(
    topic: Annotated[str, typer.Argument()],
    values: Annotated[list[str], typer.Argument(help="The records' values")],
    key: Annotated[str | None, typer.Option(help="The key of all of them")] = None,
    template: TemplateOption = None,
    directory: DirOption = None,
) -> None:
    """The event of a batch of Kafka records, as the topic's mapping sends it."""
    brokers = running_settings(template, directory).addresses()["kafka.bootstrap_servers"]
    found = _template(template, directory)
    records = [value.encode() for value in values]
    _write(generate_event.kafka_event(found, topic, records, key=key, brokers=brokers))


@app.command(name="schedule")
def schedule_event(
    name: Annotated[
        str | None, typer.Argument(help="Of the schedule, if there are several")
    ] = None,
    template: TemplateOption = None,
    directory: DirOption = None,
) -> None:
    """The event of a schedule."""
    _write(generate_event.schedule_event(_template(template, directory), name))


@app.command(name="async-destination")
def async_destination_event(
    name: Annotated[str, typer.Argument(help="The function that the event was for")],
    condition: Annotated[
        Literal["Success", "RetriesExhausted", "EventAgeExceeded", "ZeroReservedConcurrency"],
        typer.Option(help="How it ended"),
    ] = "RetriesExhausted",
    event: Annotated[str, typer.Option("--event", "-e", help="The event, as JSON")] = "{}",
    template: TemplateOption = None,
    directory: DirOption = None,
) -> None:
    """The record of an asynchronous event that ended, as a destination gets it."""
    found = _template(template, directory)
    _write(generate_event.async_destination_event(found, name, condition, event.encode()))


def _template(template: Path | None, directory: Path | None) -> Template:
    return load_project(running_settings(template, directory))


def _pairs(headers: list[str] | None) -> dict[str, str]:
    pairs = [item.partition(":") for item in headers or []]
    return {name.strip(): value.strip() for name, _, value in pairs}


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
