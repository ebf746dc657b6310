"""A short, seeded run of the fuzzers; `make fuzz` is the long one."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


async def test_the_framing_s_laws_hold_for_20000_inputs_of_each_side(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        "fuzz/run.sh",
        "short",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHON": sys.executable, "FUZZ_DIR": str(tmp_path), "FUZZ_RUNS": "20000"},
    )
    output, _ = await process.communicate()
    said = output.decode(errors="replace")
    assert process.returncode == 0, said[-4000:]
    assert said.count("Done 20000 runs") == 2, said[-4000:]
