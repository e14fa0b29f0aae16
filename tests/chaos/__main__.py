"""`python -m tests.chaos [--runs N] [--seed S] [--only TEXT]`: faults under load on a stack of its own.

Without `--runs` every fault once, one at a time; with it so many runs of one to three faults at
random. The seed of a run repeats it. Exit code 1 if the checker found anything.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from dataclasses import asdict

from tests.chaos import table
from tests.chaos.faults import FAULTS
from tests.chaos.runs import Result, plan, run
from tests.support.stack import running_stack


def main() -> int:
    """Run, print a line a run, and write the record if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--only", default="", help="faults with this in their name")
    parser.add_argument(
        "--record", action="store_true", help="keep the results, and write docs/reliability.md"
    )
    arguments = parser.parse_args()
    faults = [fault for fault in FAULTS if arguments.only in fault.name]
    planned = [([fault], arguments.seed + index) for index, fault in enumerate(faults)]
    if arguments.runs:
        planned = list(plan(faults, arguments.seed, arguments.runs))
    sys.stdout.write(f"seed {arguments.seed}\n")
    results: list[Result] = []
    with running_stack() as stack:
        for number, (chosen, seed) in enumerate(planned, 1):
            result = run(stack, chosen, seed)
            results.append(result)
            again = "-" if result.bets_again_s is None else f"{result.bets_again_s:.1f}"
            sys.stdout.write(
                f"[{number}/{len(planned)}] {result.fault} (seed {seed}): {result.accepted} accepted,"
                f" {result.refused} refused, {result.unknown} unknown; bets again {again} s,"
                f" all in ClickHouse {result.arrived_s:.1f} s\n"
            )
            for finding in result.wrong:
                sys.stdout.write(f"    WRONG: {finding}\n")
            sys.stdout.flush()
    if arguments.record:
        kept = json.loads(table.RECORD.read_text())["runs"] if table.RECORD.exists() else []
        runs = [run for run in kept if run["fault"] not in {result.fault for result in results}]
        runs += [asdict(result) for result in results]
        table.RECORD.write_text(json.dumps({"runs": runs}, indent=1) + "\n")
        table.write()
    return 1 if any(result.wrong for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
