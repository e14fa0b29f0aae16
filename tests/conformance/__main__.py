"""`python -m tests.conformance check | table`: prove the rows, or write the table of them.

check [--rows PART …] [--sample N --seed S] [--workers N] [--record]
table
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

from tests.conformance import breaks, table
from tests.conformance.rows import PARTS, Row, read_rows

RECORD = Path(__file__).parent / "record.json"


def main() -> int:
    """Exit code 1 if a row does not hold, or its break goes unnoticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="run each row's test, whole and broken")
    check.add_argument("--rows", nargs="*", choices=PARTS, default=[])
    check.add_argument("--id", nargs="*", default=[], help="only these rows")
    check.add_argument("--sample", type=int, help="only this many, at random")
    check.add_argument("--seed", type=int, default=random.randrange(10**6))
    check.add_argument("--workers", type=int, default=2)
    check.add_argument("--record", action="store_true", help="write record.json, for the table")
    commands.add_parser("table", help="write the table into docs/local-stack.md")
    arguments = parser.parse_args()
    if arguments.command == "table":
        table.write(read_rows(), RECORD)
        return 0
    return _check(arguments)


def _check(arguments: argparse.Namespace) -> int:
    rows = [row for row in read_rows(tuple(arguments.rows)) if row.test]
    if arguments.id:
        rows = [row for row in rows if row.id in arguments.id]
    if arguments.sample:
        _say(f"seed {arguments.seed}")
        rows = random.Random(arguments.seed).sample(rows, min(arguments.sample, len(rows)))
    if not rows:
        _say("no such rows")
        return 1
    started = time.monotonic()
    whole = breaks.run_whole(rows)
    if whole is not None:
        _say(whole.output[-6000:])
        _say("a test of these rows fails on the runtime as it is")
        return 1
    _say(f"{len(rows)} rows hold ({time.monotonic() - started:.0f} s); now one break for each")
    done = 0

    def report(verdict: breaks.Verdict) -> None:
        nonlocal done
        done += 1
        caught = verdict.code == breaks.FAILED
        _say(f"[{done}/{len(rows)}] {verdict.row.id}: {'caught' if caught else 'NOT CAUGHT'}")
        if not caught:
            _say(verdict.output[-1500:])

    verdicts = breaks.run_broken(rows, arguments.workers, report)
    missed = [verdict.row for verdict in verdicts if verdict.code != breaks.FAILED]
    _say(
        f"{len(rows) - len(missed)} of {len(rows)} breaks caught, {time.monotonic() - started:.0f} s"
    )
    if arguments.record:
        _record(rows, missed)
    for row in missed:
        _say(f"not caught: {row.part} {row.id}")
    return 1 if missed else 0


def _record(rows: list[Row], missed: list[Row]) -> None:
    """What a run showed, by row: the table prints nothing else."""
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    known = {row.id for row in read_rows()}
    record = {key: value for key, value in record.items() if key in known}
    for row in rows:
        assert row.break_ is not None
        record[row.id] = {"holds": True, "break": row.break_.name, "caught": row not in missed}
    RECORD.write_text(json.dumps(dict(sorted(record.items())), indent=1) + "\n")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
