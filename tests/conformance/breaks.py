"""Runs the tests of rows, whole and broken, in copies of the checkout.

A break counts as caught when pytest says that tests failed (exit code 1): a copy in which nothing
could be collected says 2 or more, and proves nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.conformance.rows import Row

REPOSITORY = Path(__file__).parents[2]
COPIED = ("local-stack", "shared", "functions", "nginx", "tests", "docs", "k6", ".ci")
FILES = ("pyproject.toml", "template.yaml", "README.md", "Makefile")
TEST_TIMEOUT_S = 180
PASSED, FAILED = 0, 1


class Verdict:
    """What a row's test said of the runtime as it is, or of the broken one."""

    def __init__(self, row: Row, code: int, output: str) -> None:
        self.row = row
        self.code = code
        self.output = output


def run_whole(rows: Sequence[Row]) -> Verdict | None:
    """Run the tests of all rows on the runtime as it is, at once; None if all pass."""
    tests = sorted({row.test for row in rows if row.test})
    if not tests:
        return None
    code, output = _pytest(REPOSITORY, tests, timeout_s=1200)
    return None if code == PASSED else Verdict(rows[0], code, output)


def run_broken(
    rows: Sequence[Row], workers: int, report: Callable[[Verdict], None]
) -> list[Verdict]:
    """Break the runtime for each row in turn, in as many copies as there are `workers`."""
    breakable = [row for row in rows if row.break_]
    with ExitStack() as stack, ThreadPoolExecutor(workers) as threads:
        copies: SimpleQueue[Path] = SimpleQueue()
        for _ in range(workers):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conformance-")))
            _copy_checkout(folder)
            copies.put(folder)

        def judge(row: Row) -> Verdict:
            folder = copies.get()
            try:
                verdict = _broken(folder, row)
            finally:
                copies.put(folder)
            report(verdict)
            return verdict

        return list(threads.map(judge, breakable))


def _broken(folder: Path, row: Row) -> Verdict:
    assert row.break_ is not None
    assert row.test is not None
    path = folder / row.break_.file
    whole = path.read_text()
    try:
        path.write_text(row.break_.applied(whole))
    except ValueError as error:
        return Verdict(row, -1, str(error))
    try:
        return Verdict(row, *_pytest(folder, [row.test], timeout_s=TEST_TIMEOUT_S))
    finally:
        path.write_text(whole)


def _pytest(folder: Path, tests: Sequence[str], *, timeout_s: float) -> tuple[int, str]:
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:randomly", *tests]
    command += ["-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return FAILED, f"not done after {timeout_s:.0f} s"
    return done.returncode, done.stdout + done.stderr


def _copy_checkout(folder: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".hypothesis")
    for name in COPIED:
        if (REPOSITORY / name).exists():
            shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
    for name in FILES:
        shutil.copy(REPOSITORY / name, folder / name)
