"""Benchmark of an idle installation: memory of all processes, and CPU seconds of each command's start.

`headrace up` with one agent and no replicas. Memory is the proportional share (PSS: pages that processes share count
once), from /proc of the supervisor and all its descendants, at the start and three minutes later. A command's CPU
seconds are user and system time of its process, the median of nine. Results go to build/bench-idle.json. Fails when a
target is missed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

import structlog

from benchmarks.judged import Case, judge
from tests.support.worlds.stack import Stack

SETTLED_S = 180.0
ROUNDS = 9
TARGET_MIB = 350.0
COMMANDS = ((("--help",), 0.25), (("service", "ls"), 0.40))
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


def family(root: int) -> list[int]:
    """Return the process ids of `root` and all its descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue  # it has ended
            children[int(parent)].append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        found.append(waiting.pop())
        waiting += children[found[-1]]
    return found


def held_mib(pids: list[int]) -> float:
    """Return the memory of these processes together (PSS)."""
    said = (_PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text()) for pid in pids)
    return sum(int(match[1]) for match in said if match is not None) / 1024


def cpu_s(words: tuple[str, ...], data: Path) -> float:
    """Return the CPU seconds of one run of `headrace WORDS` against the stack on `data`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "headrace.cli", "--data", str(data), *words]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


async def run(folder: Path) -> list[Case]:
    """Start a stack and measure it."""
    stack = Stack(folder / "data", runtime="process", python_image=None)
    await stack.start()
    try:
        state = stack.state
        assert state is not None
        started = held_mib(family(state.pid))
        await asyncio.sleep(SETTLED_S)
        settled = held_mib(family(state.pid))
        cases = [
            Case("memory at the start", started, "at most", TARGET_MIB, " MiB"),
            Case("memory three minutes later", settled, "at most", TARGET_MIB, " MiB"),
        ]
        for words, target in COMMANDS:
            found = [await asyncio.to_thread(cpu_s, words, stack.data) for _ in range(ROUNDS)]
            spread = f"{min(found):.2f} to {max(found):.2f}; load average {os.getloadavg()[0]:.1f}"
            cases.append(Case(f"headrace {' '.join(words)}", median(found), "at most", target, " CPU s", spread))
        return cases
    finally:
        await stack.stop()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with tempfile.TemporaryDirectory() as temporary:
        results = asyncio.run(run(Path(temporary)))
    file = Path("build") / "bench-idle.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps([{"what": case.what, "value": case.value} for case in results], indent=2) + "\n")
    sys.exit(0 if judge(results) else 1)
