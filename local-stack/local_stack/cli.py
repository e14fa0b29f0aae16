"""`local-stack`: starts, stops, shows and asks the stack. Every expected failure is one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError
from rich.markup import escape

from local_stack import console, doctor, generate_event, lambda_client, logfiles
from local_stack.clock import monotonic
from local_stack.errors import LocalStackError
from local_stack.settings import Settings, find_project_dir, load_settings
from local_stack.stack import Stack
from local_stack.status import read_status
from local_stack.supervisor import Supervisor

app = typer.Typer(
    name="local-stack",
    help="Runs a SAM project on this machine: functions, HTTP API, events and the stores.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

events = typer.Typer(help="Print an event as a trigger would send it.", no_args_is_help=True)
app.add_typer(events, name="generate-event")

TemplateOption = Annotated[
    Path | None, typer.Option("--template", help="The SAM template [dim](template.yaml)[/dim]")
]
DirOption = Annotated[
    Path | None, typer.Option("--dir", help="Where data, logs and sockets go [dim](.stack)[/dim]")
]


@app.command()
def up(
    template: TemplateOption = None,
    directory: DirOption = None,
    replicas: Annotated[
        int | None, typer.Option(help="Function hosts behind Nginx [dim](1)[/dim]")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach/--attach", help="Return when ready, or follow the logs")
    ] = True,
) -> None:
    """Start everything in the background and return when it is ready."""
    settings = _settings(template, directory, replicas=replicas)
    started = monotonic()
    report = console.ConsoleReport()
    if Stack(settings).up(report):
        report.step("Ready", monotonic() - started)
    else:
        console.out.print("The stack is already running.")
    addresses = settings.addresses()
    console.out.print(f"HTTP API    {addresses['http.url']}")
    console.out.print(f"Lambda API  {addresses['lambda_api.url']}")
    if not detach:
        _attach(settings)


@app.command()
def down(template: TemplateOption = None, directory: DirOption = None) -> None:
    """Stop everything; data stays."""
    settings = _running_settings(template, directory)
    if not Stack(settings).down(console.ConsoleReport()):
        console.out.print("The stack is not running.")


@app.command()
def status(
    template: TemplateOption = None,
    directory: DirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs")] = False,
) -> None:
    """Show every part: state, pid, address, uptime, restarts, memory. Exit code 1 if one is not ready."""
    settings = _running_settings(template, directory)
    found = read_status(settings, Stack(settings).parts)
    if as_json:
        sys.stdout.write(found.as_json() + "\n")
    else:
        console.out.print(console.parts_table(found.parts))
        if found.functions:
            console.out.print()
            console.out.print(console.functions_table(found.functions))
    if not found.is_healthy:
        raise typer.Exit(1)


@app.command()
def logs(
    name: Annotated[str | None, typer.Argument(help="A part or a function; all if absent")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep showing new lines")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="From the end")] = 50,
    template: TemplateOption = None,
    directory: DirOption = None,
) -> None:
    """Show the logs of parts and functions."""
    found = logfiles.logs_of(_running_settings(template, directory), name)
    if lines:
        logfiles.show(found, lines, _write_line)
    if follow:
        logfiles.follow(found, _write_line)


@app.command()
def invoke(
    name: Annotated[str, typer.Argument(help="The function's name or ARN")],
    event: Annotated[
        str | None, typer.Option("--event", "-e", help="A JSON file, or - for standard input")
    ] = None,
    kind: Annotated[
        Literal["RequestResponse", "Event", "DryRun"], typer.Option("--type", help="How")
    ] = "RequestResponse",
    show_log: Annotated[bool, typer.Option("--log", help="Show the end of its log")] = False,
    template: TemplateOption = None,
    directory: DirOption = None,
) -> None:
    """Invoke a function through the Lambda API. Exit code 1 if it fails."""
    url = _running_settings(template, directory).addresses()["lambda_api.url"]
    answer = lambda_client.invoke(url, name, _event(event), kind, want_log=show_log)
    if answer.log:
        sys.stderr.write(answer.log)
    sys.stdout.buffer.write(answer.payload)
    if answer.payload and sys.stdout.isatty():
        sys.stdout.write("\n")
    if answer.function_error:
        console.err.print(f"[red]{name} failed[/red] ({answer.function_error})")
        raise typer.Exit(1)


@app.command(name="doctor")
def examine(template: TemplateOption = None, directory: DirOption = None) -> None:
    """Check what this machine and this project need."""
    findings = []
    for finding in doctor.examine(_running_settings(template, directory)):
        console.show_finding(finding)
        findings.append(finding)
    if not all(passed for _, passed, _ in findings):
        raise typer.Exit(1)


@events.command(name="http")
def http_event(
    path: Annotated[str, typer.Argument(help="With its query, such as /api/games?limit=5")],
    method: Annotated[str, typer.Option("--method", "-X")] = "GET",
    body: Annotated[str, typer.Option("--body", "-d", help="Text of the body")] = "",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="name: value; may be repeated")
    ] = None,
    template: TemplateOption = None,
    directory: DirOption = None,
) -> None:
    """The event of an HTTP request (HTTP API, payload format 2.0)."""
    found = Stack(_running_settings(template, directory)).template
    pairs = [item.partition(":") for item in header or []]
    headers = {name.strip(): value.strip() for name, _, value in pairs}
    _write_line(generate_event.http_event(found, method, path, headers=headers, body=body.encode()))


@events.command(name="kafka")
def kafka_event(
    topic: Annotated[str, typer.Argument()],
    values: Annotated[list[str], typer.Argument(help="The records' values")],
    key: Annotated[str | None, typer.Option(help="The key of all of them")] = None,
    template: TemplateOption = None,
    directory: DirOption = None,
) -> None:
    """The event of a batch of Kafka records."""
    servers = _running_settings(template, directory).addresses()["kafka.bootstrap_servers"]
    records = [value.encode() for value in values]
    _write_line(generate_event.kafka_event(topic, records, key=key, bootstrap_servers=servers))


@events.command(name="schedule")
def schedule_event(
    name: Annotated[
        str | None, typer.Argument(help="Of the schedule, if there are several")
    ] = None,
    template: TemplateOption = None,
    directory: DirOption = None,
) -> None:
    """The event of a schedule."""
    found = Stack(_running_settings(template, directory)).template
    _write_line(generate_event.schedule_event(found, name))


def main() -> None:
    """Entry point: expected failures are one line and exit code 1."""
    try:
        app()
    except LocalStackError as error:
        console.err.print(f"[red]error:[/red] {escape(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)  # the reader of our output has gone


def _settings(template: Path | None, directory: Path | None, **flags: Any) -> Settings:
    project_dir = find_project_dir(template.parent if template else Path.cwd())
    return load_settings(
        project_dir,
        {
            "template": template.resolve() if template else None,
            "stack_dir": directory.resolve() if directory else None,
            **flags,
        },
    )


def _running_settings(template: Path | None, directory: Path | None) -> Settings:
    """What the running stack was started with, or what `up` would start now."""
    settings = _settings(template, directory)
    if Supervisor(settings).is_running():
        try:
            return Settings.read(settings.run_dir / "settings.json")
        except (OSError, ValidationError):
            pass  # written by another version
    return settings


def _attach(settings: Settings) -> None:
    try:
        logfiles.follow(logfiles.logs_of(settings, None), _write_line)
    except KeyboardInterrupt:
        Stack(settings).down(console.ConsoleReport())


def _event(source: str | None) -> bytes:
    if source is None:
        return b"{}"
    if source == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        msg = f"cannot read the event {source}: {error.strerror}"
        raise LocalStackError(msg) from error


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
