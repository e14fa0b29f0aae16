"""What the documentation says is there, and what is there is said: names, settings, links, examples."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel
from typer.main import get_command

from local_stack import cli
from local_stack.services import nginx
from local_stack.settings import Settings
from local_stack.template.loader import read_yaml
from local_stack.triggers.http import errors as gateway
from shared import settings as function_settings
from shared.betting import analytics, list_games, list_user_bets, metrics, model
from shared.errors import BettingError
from shared.http_app import BODY_BYTES_MAX
from shared.outbox import RELAY_LOCK
from shared.postgres import LOCK_TIMEOUT_MS
from shared.problems import status_of
from tests.chaos import table as faults
from tests.support import described

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
CODE = ("Makefile", "local-stack/local_stack", "shared", "functions")
PYPROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
MAKEFILE = (REPOSITORY / "Makefile").read_text()
# Kinds of errors, and errors that no HTTP route raises.
NOT_OVER_HTTP = {
    *("betting_error", "rejected", "malformed", "not_found", "conflict", "unprocessable"),
    *("unavailable", "bet_not_found", "kafka_unavailable", "out_of_time", "poison_record"),
}


def page(name: str) -> str:
    return (REPOSITORY / "docs" / name).read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def table_rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table."""
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("|---"):
            cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
            yield [cell.strip() for cell in cells]


def quoted(text: str) -> set[str]:
    """Everything in backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


# ---- links, paths, commands ----


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), f"{target} does not exist"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), f"{target} has no such heading"


def test_no_page_names_a_place_of_one_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    ends = (".md", ".json", ".yaml", ".toml", ".j2", ".txt", ".js", ".in", "Makefile")
    private = re.compile(r"(?<![\w.])/(?:work|home/\w+|root|Users)/|site-packages/|dist-packages/")
    found = [
        name
        for name in tracked
        if name.endswith(ends)
        and (REPOSITORY / name).is_file()
        and private.search((REPOSITORY / name).read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_make_target_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):.*## ", MAKEFILE, re.MULTILINE))
    text = path.read_text(encoding="utf-8")
    for call in re.findall(r"(?:`|^)make ((?:[a-z0-9-]+ ?)+)", text, re.MULTILINE):
        assert set(call.split()) <= targets, f"make {call}"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_command_of_local_stack_exists(path: Path) -> None:
    commands = set(get_command(cli.app).commands)  # type: ignore[attr-defined]
    text = path.read_text(encoding="utf-8")
    called = set(re.findall(r"(?:`|bin/)local-stack ([a-z][a-z-]*)", text))
    assert called <= commands


def test_every_command_and_option_of_local_stack_is_explained() -> None:
    for text in (page("local-stack.md"), page("operations.md")):
        for command in get_command(cli.app).commands:  # type: ignore[attr-defined]
            assert f"`local-stack {command}" in text, command


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_file_that_is_named_exists(path: Path) -> None:
    folders = ("tests/", "docs/", "shared/", "functions/", "local-stack/", "nginx/", "k6/")
    text = path.read_text(encoding="utf-8")
    for word in re.findall(r"(?<![\w./-])[\w./-]+", text):
        if word.startswith(folders) and re.search(r"\.\w+$", word):
            assert (REPOSITORY / word).exists(), word


def test_decisions_are_numbered_one_after_the_other() -> None:
    paths = sorted((REPOSITORY / "docs" / "adr").glob("*.md"))
    for number, path in enumerate(paths, 1):
        assert path.name.startswith(f"{number:04}-")
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {number:04} ")
        for part in ("**Context.**", "**Decision.**", "**Consequences.**"):
            assert part in text, f"{path.name} has no {part}"


def test_every_dependency_is_justified() -> None:
    rows = " ".join(row[0] for row in table_rows(page("dependencies.md")))
    for wanted in PYPROJECT["project"]["optional-dependencies"].values():
        for requirement in wanted:
            name = re.split(r"[\[=<>~! ]", requirement)[0].lower()
            assert re.search(rf"(?<![\w-]){name}(?![\w-])", rows.lower()), name


# ---- docs/operations.md ----


def settings_of(owner: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and default of every setting of the runtime."""
    for name, field in owner.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_of(kind, f"{prefix}{name}.")
        elif name != "project_dir":
            yield prefix + name, field.default


def test_every_setting_is_in_the_table_with_its_default() -> None:
    rows = {row[0].strip("`"): row for row in table_rows(page("operations.md"))}
    for name, default in settings_of(Settings):
        _, sources, told, *_ = rows[name]
        shown = ".stack" if name == "stack_dir" else default
        if isinstance(shown, bool):
            shown = f"`{str(shown).lower()}`"
        elif isinstance(shown, str | int | float | Path):
            number = isinstance(shown, int | float)
            shown = f"`{shown:.15g}`" if number else f"`{shown}`"
        else:
            shown = "none"
        assert told == shown, name
        group, _, leaf = name.partition(".")
        if group in ("ports", "limits"):
            assert sources == f"`LOCAL_STACK_{group.upper()[:-1]}_{leaf.upper()}`"


def test_every_variable_that_the_runtime_reads_is_explained_and_no_other() -> None:
    source = (REPOSITORY / "local-stack/local_stack/settings.py").read_text()
    read = set(re.findall(r'"(LOCAL_STACK_[A-Z_]+[A-Z])"', source))
    names = dict(settings_of(Settings))
    read |= {
        f"LOCAL_STACK_{group}_{name.partition('.')[2].upper()}"
        for group, prefix in (("PORT", "ports."), ("LIMIT", "limits."))
        for name in names
        if name.startswith(prefix)
    }
    for path in PAGES:
        said = set(re.findall(r"LOCAL_STACK_[A-Z_]+[A-Z]", path.read_text(encoding="utf-8")))
        assert said <= read, name_of(path)
    assert read <= quoted(page("operations.md"))


def test_every_parameter_of_the_template_is_in_the_table() -> None:
    rows = {row[0].strip("`"): row for row in table_rows(page("operations.md"))}
    for name, parameter in read_yaml(REPOSITORY / "template.yaml")["Parameters"].items():
        default = parameter.get("Default", "none")
        told = rows[name][2]
        assert told == (f"`{default}`" if default not in ("none", "") else told)
        assert told.strip("`") == str(default or "empty")
        for value in parameter.get("AllowedValues", ()):
            assert f"`{value}`" in rows[name][3]


def test_every_variable_that_functions_read_is_explained() -> None:
    text = page("operations.md")
    for kind in vars(function_settings).values():
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for field in kind.model_fields.values():
                assert f"`{field.alias}`" in text


def test_every_metric_is_in_the_table() -> None:
    text = page("operations.md")
    said = quoted(text)
    files = ("telemetry/metrics.py", "invoke/async_metrics.py")
    source = "".join((REPOSITORY / "local-stack/local_stack" / name).read_text() for name in files)
    runtime = set(re.findall(r'"(lambda_[a-z_]+)"', source))
    counted = {
        name
        for path in (REPOSITORY / "shared").rglob("*.py")
        for name in re.findall(r'\bcount\("(\w+)"', path.read_text())
    }
    assert metrics._FAMILIES.keys() <= said
    assert len(runtime) >= 7
    assert all(name in said or f"{name}_total" in said for name in runtime)
    assert counted <= said


def test_messages_that_are_explained_are_said_somewhere() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for place in CODE
        for path in (
            [REPOSITORY / place]
            if (REPOSITORY / place).is_file()
            else sorted((REPOSITORY / place).rglob("*.py"))
        )
    )
    section = page("operations.md").partition("## Troubleshooting")[2]
    messages = [row[0].strip("`") for row in table_rows(section)][1:]
    assert len(messages) > 15
    assert [message for message in messages if message not in code] == []


def test_what_can_be_lost_is_said() -> None:
    text = page("operations.md")
    assert "\n## What can be lost\n" in text
    assert str(RELAY_LOCK) in text


# ---- docs/http-api.md ----


def test_every_route_has_its_section() -> None:
    sections = set(re.findall(r"^## `([A-Z]+ /[^`]+)`$", page("http-api.md"), re.MULTILINE))
    assert sections == {f"{method} {path}" for method, path in described.routes()}
    listed = {row[0].partition("`](")[0].strip("[`") for row in table_rows(page("http-api.md"))}
    assert sections <= listed


def test_every_error_code_is_in_the_table_with_its_status() -> None:
    told: dict[str, set[int]] = {}
    for row in table_rows(page("http-api.md")):
        if row[0].isdigit():
            told.setdefault(row[1].strip("`"), set()).add(int(row[0]))
    real: dict[str, set[int]] = {"internal_error": {500}}
    for kind in _all_errors(BettingError):
        if kind.code not in NOT_OVER_HTTP:
            real.setdefault(kind.code, set()).add(status_of(kind).value)
    for status, code, _ in gateway._PROBLEMS.values():
        real.setdefault(code, set()).add(status)
    for status, (code, _) in gateway._REFUSALS.items():
        real.setdefault(code, set()).add(status)
    for _, status, _, code in nginx._HTTP_ERRORS:
        real.setdefault(code, set()).add(status)
    assert told == real


def _all_errors(kind: type[BettingError]) -> Iterator[type[BettingError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__.startswith("shared.errors"):
            yield from _all_errors(below)


def test_the_limits_are_those_of_the_code() -> None:
    rows = {row[0]: row[1] for row in table_rows(page("http-api.md")) if len(row) > 1}
    limits = Settings.model_validate({"project_dir": ".", "stack_dir": "."}).limits
    assert rows["body"] == f"{BODY_BYTES_MAX:,} bytes"
    assert PYPROJECT["tool"]["local-stack"]["limits"]["http_body_bytes"] == BODY_BYTES_MAX
    assert rows["`amount` of a bet"] == f"{model.AMOUNT_MIN} to {model.AMOUNT_MAX:,}"
    assert rows["`amount` of a deposit"] == f"{model.AMOUNT_MIN} to {model.DEPOSIT_MAX:,}"
    assert rows["`odds`"] == f"{model.ODDS_MIN} to {model.ODDS_MAX}"
    assert rows["balance"] == f"below {model.BALANCE_LIMIT:,}"
    assert rows["`betValue`"] == f"{model.BET_VALUE_CHARACTERS_MAX} characters"
    assert rows["`limit`"] == f"1 to {list_user_bets.LIMIT_MAX}"
    assert rows["`offset`"] == f"0 to {list_user_bets.OFFSET_MAX:,}"
    assert rows["periods of analytics"] == f"{analytics.PERIODS_MAX:,}"
    assert rows["games listed"] == f"{list_games.GAMES_MAX}"
    assert rows["wait for the first request with a key"] == f"{LOCK_TIMEOUT_MS / 1000:g} s"
    assert rows["wait for a free environment"] == (
        f"{limits.http_wait_seconds:g} s, {limits.http_waiters} callers a function"
    )


def examples() -> list[tuple[str, str, str, str | None, Any]]:
    """What kind, method, path, status and body of every JSON example."""
    found = re.findall(
        r"^```json (request|answer) ([A-Z]+) (\S+)(?: (\d+))?\n(.*?)^```$",
        page("http-api.md"),
        re.MULTILINE | re.DOTALL,
    )
    return [(*head, json.loads(body, parse_float=Decimal)) for *head, body in found]


def test_there_are_examples_of_every_route_but_metrics() -> None:
    shown = {(method, path) for _, method, path, _, _ in examples()}
    assert shown == described.routes() - {("GET", "/metrics")}


@pytest.mark.parametrize("example", examples(), ids=lambda e: " ".join(filter(None, e[:4])))
def test_examples_are_as_the_document_describes(example: tuple[Any, ...]) -> None:
    kind, method, path, status, body = example
    operation = described.document()["paths"][path][method.lower()]
    content = (operation["requestBody"] if kind == "request" else operation["responses"][status])[
        "content"
    ]
    problem = kind == "answer" and status != "200"
    described.check_body(
        body, content["application/problem+json" if problem else "application/json"]
    )


def test_the_table_of_faults_is_what_was_recorded() -> None:
    shown = faults.PAGE.read_text().partition(faults.BEGIN)[2].partition(faults.END)[0]

    assert shown.strip() == faults.render().strip(), "run: make chaos"
