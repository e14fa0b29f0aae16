"""Which project and which settings a command works with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from local_stack.settings import Settings, find_project_dir, load_settings
from local_stack.supervisor import Supervisor

TemplateOption = Annotated[
    Path | None, typer.Option("--template", help="The SAM template [dim](template.yaml)[/dim]")
]
DirOption = Annotated[
    Path | None, typer.Option("--dir", help="Where data, logs and sockets go [dim](.stack)[/dim]")
]


def find_settings(template: Path | None, directory: Path | None, **flags: Any) -> Settings:
    """The settings of the project that `template`, or the current folder, belongs to."""
    project_dir = find_project_dir(template.parent if template else Path.cwd())
    return load_settings(
        project_dir,
        {
            "template": template.resolve() if template else None,
            "stack_dir": directory.resolve() if directory else None,
            **flags,
        },
    )


def find_running(
    template: Path | None, directory: Path | None, **flags: Any
) -> tuple[Settings, bool]:
    """What the running stack was started with and True, or what `up` would start and False."""
    settings = find_settings(template, directory, **flags)
    if Supervisor(settings).is_running():
        try:
            return Settings.read(settings.run_dir / "settings.json"), True
        except (OSError, ValidationError):
            return settings, True  # written by another version
    return settings, False


def running_settings(template: Path | None, directory: Path | None) -> Settings:
    """What the running stack was started with, or what `up` would start now."""
    return find_running(template, directory)[0]
