"""Run on hosts whose links are cut, lossy and slow, with every request accounted for: `python -m tests.chaos.network --seed 7`.

Needs root: the hosts are network namespaces. Prints each round when it is over, then a table; the exit status is 1 if a
request broke a rule, or something did not come back, and then the commands that repeat the failed rounds alone are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import shutil
import signal
import sys
from pathlib import Path
from tempfile import mkdtemp
from threading import Event

from tests.chaos.network.report import record, table
from tests.chaos.network.run import Result, run
from tests.chaos.network.schedule import drawn


def main() -> int:
    """Run once; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.network", description="Hosts with disturbed links.")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="default: drawn, and printed")
    parser.add_argument("--rounds", type=int, default=30, help="30")
    parser.add_argument("--round", type=int, help="only this one")
    parser.add_argument("--rate", type=float, default=15.0, help="requests a second (15)")
    parser.add_argument("--out", type=Path, help="a file for everything, as JSON")
    parser.add_argument(
        "--folder", type=Path, help="for data and logs; default: a new one, which stays where a run failed"
    )
    given = parser.parse_args()
    folder = given.folder or Path(mkdtemp(prefix="headrace-chaos-net-"))
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(1, given.rounds + 1) if given.round is None else [given.round]
    print(f"seed {given.seed}", flush=True)
    stopped = Event()

    def stop(*_: object) -> None:
        """No new round; a second Ctrl-C ends everything at once."""
        stopped.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    async def ran() -> Result:
        signal.signal(signal.SIGINT, stop)
        return await run(
            folder,
            seed=given.seed,
            rounds=(drawn(given.seed, number) for number in numbers),
            rate=given.rate,
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
        for number in result.failed:
            print(f"again: make chaos-net SEED={given.seed} ROUND={number}")
        print(f"logs: {folder}")
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
