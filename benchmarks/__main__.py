"""Runs every benchmark in turn (`python -m benchmarks`, `make bench`); fails at the end if one missed a target."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence

ALL = ("placement", "autoscaler", "plans", "reports", "creates", "readiness", "files", "folders", "idle")


def run_all(names: Sequence[str], run: Callable[[str], int]) -> int:
    """Run each benchmark, print its result, and return 1 if one missed a target or crashed."""
    ended = {}
    for name in names:
        print(f"== {name}", flush=True)
        ended[name] = run(name)
    print("==")
    for name, code in ended.items():
        print(
            f"{name:>12}: {'all targets met' if code == 0 else f'a target was MISSED, or it did not end well ({code})'}"
        )
    return int(any(ended.values()))


def _run(name: str) -> int:
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode


if __name__ == "__main__":
    sys.exit(run_all(sys.argv[1:] or ALL, _run))
