"""Writes what recorded runs showed between the two marks in docs/reliability.md."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
RECORD = Path(__file__).parent / "record.json"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


def write() -> None:
    """Put the table into the page."""
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{render()}{END}{after}")


def render() -> str:
    """A line for each fault: its runs, the bets that were acknowledged, recoveries and losses."""
    record = json.loads(RECORD.read_text())
    by_fault: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in record["runs"]:
        name = run["fault"] if " + " not in run["fault"] else "two or three of these at random"
        by_fault[name or "none"].append(run)
    lines = [
        "| fault | runs | bets acknowledged | bets taken again, s | all in ClickHouse, s | lost, double or invented |",
        "|---|---|---|---|---|---|",
    ]
    for fault, runs in by_fault.items():
        again = [run["bets_again_s"] for run in runs if run["bets_again_s"] is not None]
        wrong = sum(len(run["wrong"]) for run in runs)
        accepted = sum(run["accepted"] for run in runs)
        arrived = max(run["arrived_s"] for run in runs)
        lines.append(
            f"| {fault} | {len(runs)} | {accepted:,} | {max(again, default=0):.1f}"
            f" | {arrived:.1f} | {wrong} |"
        )
    return "\n".join(lines) + "\n"
