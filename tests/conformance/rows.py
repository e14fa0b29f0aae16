"""The rows of the conformance table: what is claimed, where the rule is from, what proves it.

A row is a file's `[[row]]` in `rows/`. It has a test and a break, or the reason why it is not done.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

ROWS = Path(__file__).parent / "rows"
# The order of the parts in the table, and their titles.
PARTS = {
    "invoke_api": "Invoke API",
    "async": "Asynchronous invocations",
    "logs": "Log lines",
    "variables": "Environment variables",
    "life_cycle": "Life cycle and Runtime API",
    "concurrency": "Concurrency",
    "http_api": "HTTP API, REST API, function URLs",
    "template": "Template",
    "warm_start": "Warm starts and reload",
    "kafka": "Kafka event source mapping",
    "schedules": "Schedules",
    "traps": "Traps that emulators fell into",
}


class Break(BaseModel):
    """A change of the runtime after which the row's test must fail."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=5)]
    file: Annotated[str, Field(pattern=r"^(local-stack/local_stack|nginx)/[\w./-]+$")]
    old: Annotated[str, Field(min_length=1)]
    new: str

    @model_validator(mode="after")
    def _changes_something(self) -> Break:
        if self.old == self.new:
            msg = f"break {self.name!r} changes nothing"
            raise ValueError(msg)
        return self

    def applied(self, text: str) -> str:
        """`text` of the file, broken. Raises `ValueError` unless `old` is there exactly once."""
        found = text.count(self.old)
        if found != 1:
            msg = f"break {self.name!r}: {self.file} has its old text {found} times, not once"
            raise ValueError(msg)
        return text.replace(self.old, self.new)


class Row(BaseModel):
    """One behaviour."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    behaviour: Annotated[str, Field(min_length=10)]
    source: Annotated[str, Field(min_length=3)]
    test: Annotated[str, Field(pattern=r"^tests/[\w/]+\.py::\S.*$")] | None = None
    break_: Annotated[Break | None, Field(alias="break")] = None
    not_done: Annotated[str, Field(min_length=10)] | None = None
    part: str = ""

    @model_validator(mode="after")
    def _is_proved_or_not_done(self) -> Row:
        proved = self.test is not None and self.break_ is not None
        if proved == (self.not_done is not None) or (self.test is None) != (self.break_ is None):
            msg = f"row {self.id}: a test with a break, or the reason why it is not done"
            raise ValueError(msg)
        return self


def read_rows(parts: tuple[str, ...] = ()) -> list[Row]:
    """Every row of these parts (all of them by default), in the order of the table."""
    unknown = {path.stem for path in ROWS.glob("*.toml")} - PARTS.keys()
    assert not unknown, f"no such part: {unknown}"
    rows: list[Row] = []
    for part in parts or PARTS:
        path = ROWS / f"{part}.toml"
        if path.exists():
            found = tomllib.loads(path.read_text())
            assert set(found) <= {"row"}, f"{path.name} has rows and nothing else"
            rows += [Row.model_validate({**row, "part": part}) for row in found.get("row", [])]
    ids = [row.id for row in rows]
    assert len(set(ids)) == len(ids), f"ids twice: {sorted({i for i in ids if ids.count(i) > 1})}"
    return rows
