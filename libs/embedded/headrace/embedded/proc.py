"""Identity of child processes across restarts of their parent, and stopping them within a bounded time."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from headrace.common.runtime.procfs import boot_id, read_stat

StopSteps = Sequence[tuple[signal.Signals, float]]
"""Signals to send in order, each with the seconds to wait before the next one."""

_POLL_S = 0.02


def start_ticks(pid: int) -> int | None:
    """Return the start time of `pid`, in clock ticks since boot; None if it is not alive (a zombie is dead)."""
    found = read_stat(pid)
    return found.started if found is not None and found.alive else None


@dataclass(frozen=True, slots=True)
class ProcessId:
    """Unique identity of a process: its pid, start time, and boot id."""

    pid: int
    ticks: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """Return the identity of the living process `pid`, or None."""
        ticks = start_ticks(pid)
        return None if ticks is None else cls(pid, ticks, boot_id())

    @property
    def alive(self) -> bool:
        """True if this very process still runs."""
        return self.boot == boot_id() and start_ticks(self.pid) == self.ticks

    def signal(self, number: signal.Signals) -> None:
        """Send `number` if the process still runs; do nothing otherwise."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def gone(self, timeout_s: float) -> bool:
        """Wait until the process has exited, at most `timeout_s`; return True if it has."""
        import asyncio  # noqa: PLC0415 - most commands only check if a process is alive

        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.alive:  # noqa: ASYNC110 - not our child: only /proc can be polled
                    await asyncio.sleep(_POLL_S)
        return not self.alive

    async def end(self, steps: StopSteps) -> bool:
        """Signal and wait through `steps`, then SIGKILL; return True if the process has exited."""
        for number, wait_s in (*steps, (signal.SIGKILL, 5.0)):
            self.signal(number)
            if await self.gone(wait_s):
                return True
        return False
