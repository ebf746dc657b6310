"""A short, seeded run of the fuzzers; five times as many every night, and `make fuzz` is the long one."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

RUNS = 4000


async def test_the_framing_s_laws_hold_for_4000_inputs_of_each_side(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        "fuzz/run.sh",
        "short",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHON": sys.executable, "FUZZ_DIR": str(tmp_path), "FUZZ_RUNS": str(RUNS)},
    )
    output, _ = await process.communicate()
    said = output.decode(errors="replace")
    assert process.returncode == 0, said[-4000:]
    assert said.count(f"Done {RUNS} runs") == 2, said[-4000:]
