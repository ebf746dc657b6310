"""Loop runner: runs all loops of a manager as one Task.

It is ready while each loop had a successful pass within the last minute.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

from headrace.common.runtime.clock import Monotonic
from headrace.common.runtime.loop import Loop

STUCK_S = 60.0
NOT_NEEDED = frozenset({"housekeeping", "measuring", "counting", "revocations", "snapshots"})
"""Loops that do not count for readiness."""


class LoopRunner:
    """Task that runs the loops. Raises ValueError for a loop with so few passes that it would never stay ready."""

    name = "loops"

    def __init__(self, loops: Sequence[Loop], *, monotonic: Monotonic = time.monotonic) -> None:
        self._monotonic = monotonic
        self.by_name: Mapping[str, Loop] = {loop.name: loop for loop in loops}
        check_periods(loops)

    def stop(self) -> None:
        """Make run() return after the passes in progress."""
        for loop in self.by_name.values():
            loop.stop()

    async def run(self) -> None:
        """Run all loops until stop()."""
        async with asyncio.TaskGroup() as group:
            for loop in self.by_name.values():
                group.create_task(loop.run(), name=f"loop {loop.name}")

    def check(self) -> str | None:
        """Readiness check: None, or which loop had no successful pass within the last minute."""
        return stuck(self.by_name.values(), self._monotonic())


def check_periods(loops: Iterable[Loop]) -> None:
    """Raise ValueError for a loop that readiness counts, and that has so few passes that it would never stay ready."""
    seldom = [loop.name for loop in loops if loop.every_s >= STUCK_S and loop.name not in NOT_NEEDED]
    if seldom:
        raise ValueError(f"loops that readiness counts have a pass within {STUCK_S:.0f} s: {', '.join(seldom)}")


def stuck(loops: Iterable[Loop], now: float) -> str | None:
    """Return which of the loops that readiness counts had no successful pass within the last minute; None if all had."""
    found = [
        loop.name
        for loop in loops
        if loop.name not in NOT_NEEDED and (loop.last_success is None or now - loop.last_success > STUCK_S)
    ]
    return f"no good pass lately: {', '.join(found)}" if found else None
