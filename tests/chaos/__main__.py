"""Chaos run: the whole stack under faults, with every request accounted for: `python -m tests.chaos --seed 7 --minutes 10`.

Prints each step when it is over, then a table; the exit status is 1 when a request broke a rule, something did not
recover, or something was left over. `--seed` repeats a run's faults; `--steps 17,18` repeats some of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import shlex
import shutil
import signal
import sys
from itertools import islice
from pathlib import Path
from tempfile import mkdtemp
from threading import Event

from tests.chaos.stack.faults import KINDS
from tests.chaos.stack.report import record, table
from tests.chaos.stack.run import Result, run
from tests.chaos.stack.schedule import steps


def main() -> int:
    """Run once; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="The whole stack under faults.")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="default: drawn, and printed")
    parser.add_argument("--minutes", type=float, default=10.0, help="no new step after so long (10)")
    parser.add_argument("--faults", default="", help="kinds, with commas between them; default: all of them")
    parser.add_argument("--steps", default="", help="only these, as 3,17")
    parser.add_argument("--rate", type=float, default=25.0, help="requests a second (25)")
    parser.add_argument("--out", type=Path, help="a file for everything, as JSON")
    parser.add_argument(
        "--folder", type=Path, help="for data and logs; default: a new one, which stays where a run failed"
    )
    given = parser.parse_args()
    kinds = [kind for kind in given.faults.split(",") if kind] or list(KINDS)
    if unknown := sorted(set(kinds) - KINDS.keys()):
        parser.error(f"unknown faults: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    try:
        only = sorted({int(number) for number in given.steps.split(",") if number})
    except ValueError:
        parser.error(f"--steps wants numbers, as 3,17; not {given.steps}")
    wanted = steps(given.seed, kinds)
    if only:
        wanted = (step for step in islice(steps(given.seed, kinds), only[-1]) if step.number in only)
    folder = given.folder or Path(mkdtemp(prefix="headrace-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {given.seed}", flush=True)
    stopped = Event()

    def stop(*_: object) -> None:
        """No new step; a second Ctrl-C ends everything at once."""
        stopped.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    async def ran() -> Result:
        signal.signal(signal.SIGINT, stop)
        return await run(
            folder,
            seed=given.seed,
            steps=wanted,
            minutes=given.minutes,
            rate=given.rate,
            small="full-disk" in kinds,
            tell=lambda line: print(line, flush=True),
            stopped=stopped.is_set,
        )

    result = asyncio.run(ran())
    print(table(result))
    if given.folder is None and result.passed:
        shutil.rmtree(folder)
    if given.out is not None:
        given.out.write_text(json.dumps(record(result), indent=1) + "\n")
    if not result.passed:
        again = [
            "python",
            "-m",
            "tests.chaos",
            "--seed",
            str(given.seed),
            "--minutes",
            str(given.minutes),
            "--rate",
            str(given.rate),
        ]
        again += ["--faults", given.faults] if given.faults else []
        print(f"\nagain: {shlex.join(again)}\nlogs: {folder}")
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
