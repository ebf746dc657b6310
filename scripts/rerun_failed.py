"""Rerun of failed tests for CI: one that fails beside the others and passes alone is flaky, and does not fail the run.

`scripts/rerun_failed.py ARGS…` is `make test ARGS='…'`. When at most MOST tests failed, these alone run once more, in
one process. CI passes when all of them pass then; their names and first errors are printed, and added to
build/flaky.txt, which is read: a flaky test is a bug. Everything else fails as before: more failures, one that fails
again, a run that was interrupted or did not start.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

MOST: Final = 5
"""With more tests that fail something is wrong with the change, not with them."""
TESTS_FAILED: Final = 1
ERROR_LINES: Final = 12
REPORT: Final = "HEADRACE_TEST_REPORT"
"""See tests/support/failures.py."""
BUILD: Final = Path("build")
Run = Callable[[Sequence[str], Path], int]
"""Runs tests with arguments for pytest, has the report written to the path, and returns the exit status."""


@dataclass(frozen=True)
class Result:
    """Result of a test run. `ended`: pytest's exit status, None where it did not finish."""

    ended: int | None = None
    errors: dict[str, str] = field(default_factory=dict)
    """What went wrong first, by the test's name; an error of its setup or teardown counts as the test's failure."""
    uncollected: bool = False
    tests: int = 0


def read(lines: Sequence[str]) -> Result:
    """Parse the report of a run. A missing or invalid one counts as unfinished."""
    ended, uncollected, tests = None, False, 0
    errors: dict[str, str] = {}
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            return Result()
        if "ended" in record:
            ended, tests = record["ended"], record["tests"]
        else:
            uncollected |= record["when"] == "collect"
            errors.setdefault(record["test"], record["error"])
    return Result(ended, errors, uncollected, tests)


def to_rerun(first: Result) -> list[str]:
    """Return the tests to run again: none when the run did not finish, or too many failed."""
    if first.ended != TESTS_FAILED or first.uncollected or len(first.errors) > MOST:
        return []
    return sorted(first.errors)


def is_flaky(first: Result, again: Result) -> bool:
    """Return whether all failed tests passed alone."""
    wanted = to_rerun(first)
    return bool(wanted) and again.ended == 0 and not again.errors and again.tests == len(wanted)


def told(first: Result) -> str:
    """Return the text about flaky tests: their names, and the error lines of the first run."""
    parts = ["=== flaky: failed once beside the others, passed alone"]
    for name, error in sorted(first.errors.items()):
        parts.append(f"--- {name}")
        parts.extend(f"    {line}" for line in error_lines(error))
    return "\n".join(parts) + "\n"


def error_lines(error: str) -> list[str]:
    """Return pytest's lines with the error and its place; the last lines where there are none."""
    lines = [line for line in error.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith("E ") or (not line.startswith((" ", ">")) and ": " in line)]
    return (telling or lines)[-ERROR_LINES:]


def main(args: Sequence[str], run: Run, build: Path = BUILD) -> int:
    """Run the tests, and failed ones once more where that is useful. Return the exit status."""
    build.mkdir(parents=True, exist_ok=True)
    report, names = build / "tests.jsonl", build / "rerun.txt"
    status = run(args, report)
    first = _result(report)
    again = to_rerun(first)
    if status == 0 or not again:
        return status
    _say(f"=== rerun alone, since it failed beside the others: {', '.join(again)}")
    names.write_text("\n".join(again) + "\n")
    if run(["-n0", f"@{names}"], report) != 0 or not is_flaky(first, _result(report)):
        return status
    text = told(first)
    _say(text)
    with (build / "flaky.txt").open("a") as file:
        file.write(text)
    return 0


def _result(report: Path) -> Result:
    return read(report.read_text().splitlines()) if report.exists() else Result()


def _say(text: str) -> None:
    sys.stdout.write(f"\n{text}\n")
    sys.stdout.flush()


def _make_test(args: Sequence[str], report: Path) -> int:
    report.unlink(missing_ok=True)
    command = ["make", "test", f"ARGS={' '.join(args)}"]
    return subprocess.run(command, env={**os.environ, REPORT: str(report)}, check=False).returncode


def _leave_to_the_tests(_signal: int, _frame: Any) -> None:
    """Ignore an interrupt: it reaches the whole process group, so the tests end with it, and this after them."""


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _leave_to_the_tests)
    sys.exit(main(sys.argv[1:], _make_test))
