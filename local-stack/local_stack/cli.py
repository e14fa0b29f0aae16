"""`local-stack`: starts, stops, shows and asks the stack. Every expected failure is one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from local_stack import cli_events, console, doctor, lambda_client, logfiles, one_call
from local_stack.cli_project import (
    DirOption,
    TemplateOption,
    find_running,
    find_settings,
    running_settings,
)
from local_stack.clock import monotonic
from local_stack.command_options import (
    OVERRIDES,
    debug_ports,
    join_overrides,
    parameter_overrides,
)
from local_stack.errors import LocalStackError
from local_stack.stack import Stack
from local_stack.status import read_status
from local_stack.template.environment import read_env_vars
from local_stack.template.explain import remarks

if TYPE_CHECKING:
    from local_stack.settings import Settings

app = typer.Typer(
    name="local-stack",
    help="Runs a SAM project on this machine: functions, HTTP API, events and the stores.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.add_typer(cli_events.app, name="generate-event")

OverridesOption = Annotated[
    list[str] | None,
    typer.Option(OVERRIDES, help="Parameters of the template: Name=Value …", metavar="NAME=VALUE"),
]
EnvVarsOption = Annotated[
    Path | None, typer.Option("--env-vars", help="Variables of functions: SAM CLI's JSON file")
]
SkipOption = Annotated[
    bool | None,
    typer.Option(
        "--skip-unsupported",
        help="Leave out of the template what cannot be run here",
        show_default=False,
    ),
]


@app.command()
def up(
    template: TemplateOption = None,
    directory: DirOption = None,
    overrides: OverridesOption = None,
    env_vars: EnvVarsOption = None,
    skip_unsupported: SkipOption = None,
    replicas: Annotated[
        int | None, typer.Option(help="Function hosts behind Nginx [dim](1)[/dim]")
    ] = None,
    debug: Annotated[
        list[str] | None,
        typer.Option(help="A debugger may attach to this function", metavar="NAME:PORT"),
    ] = None,
    freeze: Annotated[
        bool | None,
        typer.Option(
            "--freeze",
            help="Stop environments between invocations, as AWS does",
            show_default=False,
        ),
    ] = None,
    reload: Annotated[
        bool | None,
        typer.Option(
            "--reload/--no-reload", help="Run a file as soon as it is saved", show_default=False
        ),
    ] = None,
    warm: Annotated[
        bool | None,
        typer.Option(
            "--warm/--no-warm",
            help="Fork environments, or start an interpreter for each",
            show_default=False,
        ),
    ] = None,
    kafka: Annotated[
        str | None,
        typer.Option(help="The broker: embedded or apache [dim](embedded)[/dim]"),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach/--attach", help="Return when ready, or follow the logs")
    ] = True,
) -> None:
    """Start everything in the background and return when it is ready."""
    settings = find_settings(
        template,
        directory,
        replicas=replicas,
        kafka=kafka,
        debug=debug_ports(debug or []) or None,
        freeze=freeze,
        reload=reload,
        warm=warm,
        **_of_template(overrides, env_vars, skip_unsupported),
    )
    started = monotonic()
    report = console.ConsoleReport()
    stack = Stack(settings)
    for remark in remarks(stack.template):
        report.note(remark)
    if stack.up(report):
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
    settings = running_settings(template, directory)
    if not Stack(settings).down(console.ConsoleReport()):
        console.out.print("The stack is not running.")


@app.command()
def status(
    template: TemplateOption = None,
    directory: DirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs")] = False,
) -> None:
    """Show every part: state, pid, address, uptime, restarts, memory. Exit code 1 if one is not ready."""
    settings = running_settings(template, directory)
    found = read_status(settings, Stack(settings).parts)
    if as_json:
        sys.stdout.write(found.as_json() + "\n")
    else:
        console.out.print(console.parts_table(found.parts))
        if found.functions:
            console.out.print()
            console.out.print(console.functions_table(found.functions))
        for note in found.notes:
            console.ConsoleReport().note(note)
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
    settings = running_settings(template, directory)
    if lines:
        logfiles.show(logfiles.logs_of(settings, name), lines, _write_line)
    if follow:
        logfiles.follow(lambda: logfiles.logs_of(settings, name), _write_line)


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
    overrides: OverridesOption = None,
    env_vars: EnvVarsOption = None,
    skip_unsupported: SkipOption = None,
) -> None:
    """Invoke a function through the Lambda API. Exit code 1 if it fails.

    Without a running stack a host is started for this one call; the stores are not.
    """
    options = _of_template(overrides, env_vars, skip_unsupported)
    settings, runs = find_running(template, directory, **options)
    payload = _event(event)
    if runs:
        url = settings.addresses()["lambda_api.url"]
        answer = lambda_client.invoke(url, name, payload, kind, want_log=show_log)
    else:
        answer = one_call.invoke(settings, name, payload, kind, want_log=show_log, say=_note)
    if answer.log:
        sys.stderr.write(answer.log)
    sys.stdout.buffer.write(answer.payload)
    if answer.payload and sys.stdout.isatty():
        sys.stdout.write("\n")
    if answer.function_error:
        console.err.print(f"[red]{name} failed[/red] ({answer.function_error})")
        raise typer.Exit(1)


@app.command(name="doctor")
def examine(
    template: TemplateOption = None,
    directory: DirOption = None,
    overrides: OverridesOption = None,
    env_vars: EnvVarsOption = None,
    skip_unsupported: SkipOption = None,
) -> None:
    """Check what this machine and this project need, and explain the template."""
    options = _of_template(overrides, env_vars, skip_unsupported)
    settings, _ = find_running(template, directory, **options)
    findings = []
    for finding in doctor.examine(settings):
        console.show_finding(finding)
        findings.append(finding)
    if not all(passed for _, passed, _ in findings):
        raise typer.Exit(1)


def main() -> None:
    """Entry point: expected failures are one line and exit code 1."""
    try:
        app(join_overrides(sys.argv[1:]))
    except LocalStackError as error:
        console.err.print(f"[red]error:[/red] {escape(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)  # the reader of our output has gone


def _of_template(
    overrides: list[str] | None, env_vars: Path | None, skip_unsupported: bool | None
) -> dict[str, Any]:
    """What the options about the template are as settings; None: not given."""
    return {
        "parameters": parameter_overrides(overrides) if overrides else None,
        "env_vars": read_env_vars(env_vars) if env_vars else None,
        "skip_unsupported": skip_unsupported,
    }


def _attach(settings: Settings) -> None:
    try:
        logfiles.follow(lambda: logfiles.logs_of(settings, None), _write_line)
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


def _note(text: str) -> None:
    console.err.print(f"[yellow]![/yellow] {escape(text)}")


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
