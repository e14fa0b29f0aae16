"""`local-stack doctor`: everything that `up` needs, checked one by one."""

from __future__ import annotations

import platform
import sys
from functools import partial
from typing import TYPE_CHECKING

from local_stack import preflight
from local_stack.errors import LocalStackError, SettingsError
from local_stack.parts import Part, brought, parts_of
from local_stack.supervisor import Supervisor
from local_stack.template.explain import explain, summary
from local_stack.template.project import load_project
from local_stack.triggers.http.routes import Router

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local_stack.model import Template
    from local_stack.settings import Settings

DISK_BYTES_MIN = 1024**3

Finding = tuple[str, bool, str]  # what was looked at, whether it is fine, what was seen


def examine(settings: Settings) -> Iterator[Finding]:
    """Check after check; one that fails does not keep the rest from running."""
    yield _finding("Python", _python)
    yield _finding("Platform", _platform)
    yield _finding("Machine", preflight.machine)
    yield _finding("Own /tmp", preflight.own_tmp)
    if settings.reload:
        yield _finding("Reload", preflight.inotify)
    template, findings = _template(settings)
    yield from findings
    parts: list[Part] = []
    if template is not None:
        try:
            parts = parts_of(settings, template)
        except LocalStackError as error:
            yield ("Parts", False, str(error))
    yield _finding("Folder", lambda: _folder(settings, parts))
    running = settings.run_dir.exists() and Supervisor(settings).is_running()
    yield ("Stack", True, "running" if running else "not running")
    yield from _programs(parts)
    yield _finding("User change", lambda: preflight.check_user_change(settings, parts))
    for store in brought(settings):
        yield (store.name, store.is_ready(), f"from {store.setting}")
    if not running:
        for part in parts:
            for port in part.ports:
                name = f"Port {port.number}"
                yield _finding(name, partial(preflight.check_ports, [port]), part.title)


def _finding(name: str, check: Callable[[], object], fine: str = "") -> Finding:
    passed, said = preflight.outcome(check)
    return name, passed, said or fine


def _python() -> str:
    preflight.check_python(sys.version_info[:2], sys.executable)
    return f"{platform.python_version()} at {sys.executable}"


def _platform() -> str:
    glibc = preflight.glibc_version()
    preflight.check_platform(platform.system(), platform.machine(), glibc)
    version = ".".join(str(part) for part in glibc or ())
    return f"{platform.system()} {platform.machine()}, glibc {version}"


def _template(settings: Settings) -> tuple[Template | None, list[Finding]]:
    """What the template comes to; all that does not run is named, not just the first of it."""
    try:
        template = load_project(settings, skip_unsupported=True)
    except LocalStackError as error:
        return None, [("Template", False, str(error))]
    left_out = settings.skip_unsupported
    findings: list[Finding] = [("Template", left_out or not template.skipped, summary(template))]
    findings += [(line.kind, line.runs or left_out, line.text) for line in explain(template)]
    functions = template.functions.values()
    findings += [("Warning", True, text) for text in Router(functions, template.apis).warnings]
    return template, findings


def _folder(settings: Settings, parts: list[Part]) -> str:
    Supervisor(settings).check_folder()
    preflight.make_folders(settings, parts)
    free = preflight.disk_free_bytes(settings.stack_dir)
    if free < DISK_BYTES_MIN:
        msg = f"{settings.stack_dir} has {free // 1024**2} MB left: free some, or name another folder with LOCAL_STACK_DIR"
        raise SettingsError(msg)
    return f"{settings.stack_dir}, {free // 1024**3} GB free"


def _programs(parts: list[Part]) -> Iterator[Finding]:
    for part in parts:
        if part.program is not None:
            check = partial(preflight.check_program, part.title, part.program)
            yield _finding(part.title, check)
