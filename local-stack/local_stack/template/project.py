"""The template of a project, read with everything that the settings say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_stack.template.loader import load_template
from local_stack.template.samconfig import find_samconfig, read_samconfig

if TYPE_CHECKING:
    from local_stack.model import Template
    from local_stack.settings import Settings


def load_project(settings: Settings, *, skip_unsupported: bool | None = None) -> Template:
    """The project's template; parameters of the settings win over those of `samconfig.toml`.

    `skip_unsupported` overrides the setting. Raises `TemplateError` and `SettingsError`.
    """
    path = settings.template_path
    found = settings.samconfig or find_samconfig(path.parent, settings.project_dir)
    return load_template(
        path,
        settings.resolved_parameters(),
        skip_unsupported=settings.skip_unsupported
        if skip_unsupported is None
        else skip_unsupported,
        env_vars=settings.env_vars,
        samconfig=read_samconfig(found) if found else None,
        jwks=settings.jwks,
        cache=settings.stack_dir / "code",
    )
