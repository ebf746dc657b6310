"""Instructions and cache misses of our own code per request: `python -m benchmarks.proxy.count`. Needs valgrind.

Seconds of a busy machine do not repeat; these counts do, to about a hundredth. They are of user space, without the kernel and
without sockets (`counting`), and those of a simulated cache: good for comparing two versions, or two kinds of requests.
Each number is the difference of a long and a short run, so that the start is not part of it.
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

SHORT, LONG = 6_000, 12_000
_COUNTED = re.compile(rb"==\d+== (I +refs|D1 +misses|LL +misses): +([0-9,]+)")


def main() -> None:
    """Count, and print one line per kind of requests."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proxy.count", description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default="unlike,alike", help="comma-separated: unlike, alike")
    parser.add_argument("--seconds-only", action="store_true", help="microseconds of CPU instead, without valgrind")
    options = parser.parse_args()
    folder = WORK / "count"
    environment, tokens = ours.prepare(folder, port=1, backends=(2, 3), callers=callers.TOKENS, workers=1)
    for kind in options.kinds.split(","):
        file = _written(kind, folder, tokens)
        if options.seconds_only:
            print(
                f"{kind}: {min(float(_run([], folder, file, 60_000, environment).stdout.split()[-1]) for _ in range(5)):.2f} µs"
            )
            continue
        with ThreadPoolExecutor() as pool:
            short, long = pool.map(lambda count: _count(folder, file, count, environment), (SHORT, LONG))  # noqa: B023
        each = {name: (long[name] - short[name]) / (LONG - SHORT) for name in long}
        print(f"{kind}: " + ", ".join(f"{name} {number:,.1f}" for name, number in each.items()), flush=True)


def _written(kind: str, folder: Path, tokens: list[str]) -> Path:
    if kind == "unlike":
        made = (callers.request(n, prefix=ours.PREFIX, tokens=tokens) for n in range(callers.HOW_MANY))
    else:
        made = (calls.call(n, prefix=ours.PREFIX, tokens=tokens, own_head=False) for n in range(calls.HOW_MANY))
    return calls.write_calls(folder / kind, made)


def _count(folder: Path, file: Path, count: int, environment: Mapping[str, str]) -> dict[str, int]:
    tool = [program("valgrind"), "--tool=cachegrind", "--cachegrind-out-file=/dev/null"]
    said = _run(tool, folder, file, count, environment).stderr
    return {name.decode(): int(number.replace(b",", b"")) for name, number in _COUNTED.findall(said)}


def _run(
    tool: list[str], folder: Path, file: Path, count: int, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes]:
    command = [*tool, sys.executable, "-m", "benchmarks.proxy.counting", str(folder / "data"), str(file), str(count)]
    # One seed of hashes: the order in which dictionaries collide is the same in each run.
    known = os.environ | dict(environment) | {"PYTHONHASHSEED": "1"}
    done = subprocess.run(command, env=known, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.decode()[-2000:])
    return done


if __name__ == "__main__":
    main()
