"""What style asks of the code and neither ruff nor import-linter can say."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
FOLDERS = ("functions", "shared", "local-stack/local_stack")
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
APP_LINES_MAX = 50  # 40, and what the formatter spreads: an import or an error a line

# The modules that hold all of AWS's detail or the rules of betting, and are tested without a socket.
PURE_NAMES = frozenset(
    {"batch", "event", "events", "errors", "expression", "model", "outcome", "problems", "retry"}
    | {"routes"}
)
IMPURE_MODULES = frozenset(
    {"asyncio", "logging", "os", "socket", "subprocess", "threading", "time"}
)
# Who may start processes: environments, what runs the stores, and what runs a host alone.
STARTS_PROCESSES = (
    "local-stack/local_stack/environments/",
    "local-stack/local_stack/harness/process.py",
    "local-stack/local_stack/services/",
    "local-stack/local_stack/preflight.py",
    "local-stack/local_stack/supervisor.py",
)


def _modules() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py"))


def _name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _tree(path: Path) -> ast.Module:
    return ast.parse(_text(path))


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _imports(tree: ast.AST) -> Iterator[str]:
    """Top-level names of imported modules, but for those that only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]
        yield from _imports(node)


def test_a_module_has_at_most_400_lines() -> None:
    lengths = {_name(path): len(_text(path).splitlines()) for path in _modules()}
    assert {name: count for name, count in lengths.items() if count > MODULE_LINES_MAX} == {}


def test_a_function_has_at_most_70_lines() -> None:
    too_long = [
        f"{_name(path)}:{node.lineno} {node.name}"
        for path in _modules()
        for node in _functions(path)
        if (node.end_lineno or node.lineno) - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert too_long == []


def test_a_package_module_holds_a_docstring_at_most() -> None:
    packages = [path for path in _modules() if path.name == "__init__.py"]
    bodies = {_name(path): _tree(path).body for path in packages}
    full = [
        name
        for name, body in bodies.items()
        if len(body) > 1 or not all(isinstance(node, ast.Expr) for node in body)
    ]
    assert full == []


def test_imports_inside_functions_are_marked_as_deferred() -> None:
    unmarked = []
    for path in _modules():
        lines = _text(path).splitlines()
        for function in _functions(path):
            found = [n for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)]
            # One mark stands for the imports that follow it.
            if found and "# deferred:" not in "\n".join(
                lines[found[0].lineno - 2 : found[-1].end_lineno]
            ):
                unmarked.append(f"{_name(path)}:{found[0].lineno}")
    assert unmarked == []


def test_only_the_chosen_few_start_processes() -> None:
    others = [path for path in _modules() if not _name(path).startswith(STARTS_PROCESSES)]
    assert [_name(path) for path in others if "subprocess" in set(_imports(_tree(path)))] == []


def test_pure_modules_touch_nothing() -> None:
    pure = [
        path
        for path in _modules()
        if path.stem in PURE_NAMES and not {"services", "functions"} & set(path.parts)
    ]
    assert len(pure) >= 10
    touching = {_name(path): set(_imports(_tree(path))) & IMPURE_MODULES for path in pure}
    assert {name: modules for name, modules in touching.items() if modules} == {}


def test_only_the_database_module_commits() -> None:
    others = [
        path
        for path in _modules()
        if not _name(path).startswith(("shared/postgres.py", "local-stack/"))  # offsets, there
    ]
    assert [_name(path) for path in others if ".commit(" in _text(path)] == []


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("functions/*/app.py")), ids=_name)
def test_a_function_is_one_short_file_with_a_handler(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= APP_LINES_MAX
    assert "handler" in text
    assert [p.name for p in path.parent.iterdir() if p.suffix == ".py"] == ["app.py"]
    assert "from ." not in text


def test_end_to_end_tests_know_only_the_outside() -> None:
    ours = {"functions", "shared", "local_stack"}
    modules = sorted((REPOSITORY / "tests" / "e2e").rglob("*.py"))
    assert [_name(path) for path in modules if ours & set(_imports(_tree(path)))] == []


_NOT_FOR_MONEY = ("kafka", "clickhouse_connect", "shared.kafka", "shared.clickhouse")
COLD_START_FENCES = {
    "place_bet": _NOT_FOR_MONEY,
    "deposit_funds": _NOT_FOR_MONEY,
    "get_wallet": _NOT_FOR_MONEY,
    "list_user_bets": _NOT_FOR_MONEY,
    "sink_bet_events": ("fastapi", "mangum", "psycopg", "shared.postgres"),
}


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("functions/*/app.py")), ids=_name)
def test_importing_a_function_opens_nothing_and_loads_only_what_it_uses(path: Path) -> None:
    """Clients are made on first use: environments are forked, and many functions never query.

    A lazy import can hide from a static check, so this asks a fresh process.
    """
    fence = COLD_START_FENCES.get(path.parent.name, ())
    code = (
        "import sys, threading, runpy, psutil; sys.path.insert(0, '.'); "
        f"runpy.run_path({str(path)!r}); "
        f"loaded = sorted(set({fence!r}) & set(sys.modules)); assert not loaded, loaded; "
        "assert threading.active_count() == 1, threading.enumerate(); "
        "assert not psutil.Process().net_connections(), psutil.Process().net_connections()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
