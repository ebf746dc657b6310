"""Loop runner: runs all loops of a manager as one Task.

It is ready while each loop had a successful pass within a minute beyond its period.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

from headrace.common.runtime.clock import Monotonic
from headrace.common.runtime.loop import Loop

STUCK_S = 60.0
"""A loop without a successful pass for so long beyond its period is stuck."""
NOT_NEEDED = frozenset(
    {"housekeeping", "measuring", "definitions", "counting", "revocations", "snapshots", "live-changes", "webhooks"}
)
"""Loops that do not count for readiness."""


class LoopRunner:
    """Task that runs the loops."""

    name = "loops"

    def __init__(self, loops: Sequence[Loop], *, monotonic: Monotonic = time.monotonic) -> None:
        self._monotonic = monotonic
        self.by_name: Mapping[str, Loop] = {loop.name: loop for loop in loops}

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
        """Readiness check: None, or which loop had no successful pass lately."""
        return stuck(self.by_name.values(), self._monotonic())


def stuck(loops: Iterable[Loop], now: float) -> str | None:
    """Return which of the loops that readiness counts had no successful pass within a minute and their period; None if all had."""
    found = [
        loop.name
        for loop in loops
        if loop.name not in NOT_NEEDED
        and (loop.last_success is None or now - loop.last_success > STUCK_S + loop.every_s)
    ]
    return f"no good pass lately: {', '.join(found)}" if found else None
