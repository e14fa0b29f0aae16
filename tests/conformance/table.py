"""Writes the conformance table between its two marks in docs/local-stack.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conformance.rows import PARTS, Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAGE = Path(__file__).parents[2] / "docs" / "local-stack.md"
RIE = Path(__file__).parent / "rie.json"
BEGIN, END = "<!-- conformance: begin -->", "<!-- conformance: end -->"


def write(rows: Sequence[Row], record_path: Path) -> None:
    """Put the table of `rows` into the page."""
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{render(rows, record_path)}{END}{after}")


def render(rows: Sequence[Row], record_path: Path) -> str:
    """The table: how many rows hold by part, then every row."""
    record = json.loads(record_path.read_text()) if record_path.exists() else {}
    rie = json.loads(RIE.read_text())["rows"] if RIE.exists() else {}
    lines = ["| part | rows proved | not done |", "|---|---|---|"]
    for part, title in PARTS.items():
        own = [row for row in rows if row.part == part]
        proved = sum(1 for row in own if _is_proved(row, record))
        undone = sum(1 for row in own if row.not_done)
        if own:
            lines.append(f"| {title} | {proved} of {len(own) - undone} | {undone} |")
    for part, title in PARTS.items():
        own = [row for row in rows if row.part == part]
        if own:
            lines += ["", f"### {title}", ""]
            lines += ["| behaviour | source | proved by · break that it catches | RIE |"]
            lines += ["|---|---|---|---|", *(_line(row, record, rie) for row in own)]
    return "\n".join(lines) + "\n"


def _is_proved(row: Row, record: Mapping[str, Any]) -> bool:
    """Whether a run of the suite saw this very break caught."""
    seen = record.get(row.id)
    return bool(
        seen
        and row.break_
        and seen["holds"]
        and seen["caught"]
        and seen["break"] == row.break_.name
    )


def _line(row: Row, record: Mapping[str, Any], rie: Mapping[str, str]) -> str:
    if row.not_done is not None:
        return f"| {_cell(row.behaviour)} | {_cell(row.source)} | **not done**: {_cell(row.not_done)} | |"
    assert row.test is not None
    assert row.break_ is not None
    name = row.test.partition("::")[2]
    proof = f"`{name}` · {_cell(row.break_.name)}"
    if not _is_proved(row, record):
        proof = f"(not proved) {proof}"
    return (
        f"| {_cell(row.behaviour)} | {_cell(row.source)} | {proof} | {_cell(rie.get(row.id, ''))} |"
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
