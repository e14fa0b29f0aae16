"""The conformance table is true: every row's test exists, every break can be made, the docs show it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.conformance.__main__ import RECORD
from tests.conformance.rows import PARTS, ROWS, Row, read_rows
from tests.conformance.scenarios import SCENARIOS
from tests.conformance.table import BEGIN, END, PAGE, render

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return read_rows()


def _names(path: Path) -> set[str]:
    """Functions of a test module, and methods as `Class::method` (state machines as `Class`)."""
    tree = ast.parse(path.read_text())
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{m.name}" for m in node.body if isinstance(m, ast.FunctionDef)}
        if isinstance(node, ast.Assign):  # `TestThing = Machine.TestCase`
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def test_every_part_has_rows(rows: list[Row]) -> None:
    assert {path.stem for path in ROWS.glob("*.toml")} == PARTS.keys()
    assert {row.part for row in rows} == PARTS.keys()


def test_the_test_of_every_row_exists(rows: list[Row]) -> None:
    missing = []
    for row in rows:
        if row.test is None:
            continue
        path, _, name = row.test.partition("::")
        function = name.partition("[")[0]
        file = REPOSITORY / path
        if not file.exists() or not {function, function.partition("::")[0]} & _names(file):
            missing.append(row.test)

    assert missing == []


def test_the_break_of_every_row_can_be_made(rows: list[Row]) -> None:
    wrong = []
    for row in rows:
        if row.break_ is None:
            continue
        try:
            row.break_.applied((REPOSITORY / row.break_.file).read_text())
        except (OSError, ValueError) as error:
            wrong.append(f"{row.part} {row.id}: {error}")

    assert wrong == []


def test_the_scenarios_of_the_emulator_are_about_rows(rows: list[Row]) -> None:
    about = {each for scenario in SCENARIOS for each in scenario.rows}

    assert about <= {row.id for row in rows}


def test_the_table_in_the_documentation_is_what_was_recorded(rows: list[Row]) -> None:
    text = PAGE.read_text()
    shown = text.partition(BEGIN)[2].partition(END)[0]

    assert shown.strip() == render(rows, RECORD).strip(), "run: make conformance"
    assert "(not proved)" not in shown, "run: make conformance"


@pytest.mark.parametrize(
    "row",
    [
        {"test": "tests/unit/test_a.py::test_b"},
        {
            "break": {
                "name": "a break",
                "file": "local-stack/local_stack/a.py",
                "old": "1",
                "new": "2",
            }
        },
        {},
        {
            "test": "tests/unit/test_a.py::test_b",
            "break": {
                "name": "none",
                "file": "local-stack/local_stack/a.py",
                "old": "1",
                "new": "1",
            },
        },
        {"not_done": "a good reason", "test": "tests/unit/test_a.py::test_b"},
    ],
)
def test_a_row_has_a_test_and_a_break_or_a_reason(row: dict[str, object]) -> None:
    given = {"id": "a-row", "behaviour": "something happens", "source": "[doc]", **row}

    with pytest.raises(ValidationError):
        Row.model_validate(given)
