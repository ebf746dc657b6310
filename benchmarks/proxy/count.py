"""Instruction and cache miss counts of our own code per request: `python -m benchmarks.proxy.count`. Needs valgrind.

Seconds of a busy machine do not repeat; these counts do, to about a hundredth. They are of user space, without the
kernel and without sockets (`counting`), and those of a simulated cache: good for comparing two versions, or two kinds
of requests. Each number is the difference of two runs, with requests and without, so that start and warm-up are not
part of it. Both together take about a minute of CPU a kind; a run that takes longer than `--most-minutes` is killed and
reported.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.proxy import callers, calls, ours
from benchmarks.proxy.machine import WORK, program

REQUESTS = 2_048
"""A multiple of `counting.TOGETHER`."""
_COUNTED = re.compile(rb"==\d+== (I +refs|I1 +misses|D1 +misses|LL +misses): +([0-9,]+)")


def main() -> None:
    """Count, and print one line per kind of requests."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proxy.count", description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default="unlike,alike", help="comma-separated: unlike, alike")
    parser.add_argument("--seconds-only", action="store_true", help="microseconds of CPU instead, without valgrind")
    parser.add_argument("--build", type=Path, help="a folder like build/compiled instead of this checkout's")
    parser.add_argument(
        "--most-minutes", type=float, default=20.0, help="for one run, where others use the machine (20)"
    )
    options = parser.parse_args()
    most_s = options.most_minutes * 60
    folder = WORK / "count"
    environment, tokens = ours.prepare(
        folder, port=1, backends=(2, 3), callers=callers.TOKENS, workers=1, build=options.build
    )
    for kind in options.kinds.split(","):
        file = _written(kind, folder, tokens)
        if options.seconds_only:
            runs = (_run([], folder, file, 60_000, environment, most_s) for _ in range(5))
            print(f"{kind}: {min(float(run.stdout.split()[-1]) for run in runs):.2f} µs")
            continue
        with ThreadPoolExecutor() as pool:
            none, all_ = pool.map(lambda count: _count(folder, file, count, environment, most_s), (0, REQUESTS))  # noqa: B023
        each = {name: (all_[name] - none[name]) / REQUESTS for name in all_}
        print(f"{kind}: " + ", ".join(f"{name} {number:,.1f}" for name, number in each.items()), flush=True)


def _written(kind: str, folder: Path, tokens: list[str]) -> Path:
    if kind == "unlike":
        made = (callers.request(n, prefix=ours.PREFIX, tokens=tokens) for n in range(callers.HOW_MANY))
    else:
        made = (calls.call(n, prefix=ours.PREFIX, tokens=tokens, own_head=False) for n in range(calls.HOW_MANY))
    return calls.write_calls(folder / kind, made)


def _count(folder: Path, file: Path, count: int, environment: Mapping[str, str], most_s: float) -> dict[str, int]:
    tool = [program("valgrind"), "--tool=cachegrind", "--cachegrind-out-file=/dev/null"]
    said = _run(tool, folder, file, count, environment, most_s).stderr
    return {name.decode(): int(number.replace(b",", b"")) for name, number in _COUNTED.findall(said)}


def _run(
    tool: list[str], folder: Path, file: Path, count: int, environment: Mapping[str, str], most_s: float
) -> subprocess.CompletedProcess[bytes]:
    command = [*tool, sys.executable, "-m", "benchmarks.proxy.counting", str(folder / "data"), str(file), str(count)]
    # One seed of hashes: the order in which dictionaries collide is the same in each run.
    known = os.environ | dict(environment) | {"PYTHONHASHSEED": "1"}
    try:
        done = subprocess.run(command, env=known, capture_output=True, check=False, timeout=most_s)
    except subprocess.TimeoutExpired:
        raise SystemExit(
            f"a run took longer than {most_s / 60:g} minutes; others use the machine: --most-minutes"
        ) from None
    if done.returncode:
        raise SystemExit(done.stderr.decode()[-2000:])
    return done


if __name__ == "__main__":
    main()
