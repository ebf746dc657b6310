"""Exit notification by pidfd, for processes that are not children of the agent."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Set
from contextlib import suppress
from dataclasses import dataclass, field

from headrace.common.contracts.ids import KernelId


@dataclass(slots=True)
class _Watched:
    pidfd: int
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class ExitWatcher:
    """Watches the exit of one process per kernel."""

    def __init__(self) -> None:
        self._watched: dict[KernelId, _Watched] = {}
        self._poke: Callable[[], None] = lambda: None

    def add(self, kernel_id: KernelId, pid: int) -> None:
        """Watch `pid`; one that is gone already is left to the next list()."""
        if kernel_id in self._watched:
            return
        with suppress(ProcessLookupError):
            watched = _Watched(os.pidfd_open(pid))
            self._watched[kernel_id] = watched
            asyncio.get_running_loop().add_reader(watched.pidfd, self._ended, kernel_id)

    def keep(self, kernel_ids: Set[KernelId]) -> None:
        """Stop watching all other kernels, and poke for those whose process has exited."""
        for kernel_id in self._watched.keys() - kernel_ids:
            self._ended(kernel_id)

    async def wait(self, kernel_id: KernelId, pid: int, timeout_s: float) -> bool:
        """Return whether the kernel's process `pid` exited within `timeout_s`."""
        self.add(kernel_id, pid)
        watched = self._watched.get(kernel_id)
        if watched is None:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await watched.ended.wait()
        return watched.ended.is_set()

    async def watch(self, poke: Callable[[], None]) -> None:
        """Call `poke` at each exit, until cancelled."""
        self._poke = poke
        try:
            await asyncio.Event().wait()
        finally:
            self._poke = lambda: None
            self.keep(set())

    def _ended(self, kernel_id: KernelId) -> None:
        self._drop(kernel_id)
        self._poke()

    def _drop(self, kernel_id: KernelId) -> None:
        watched = self._watched.pop(kernel_id)
        asyncio.get_running_loop().remove_reader(watched.pidfd)
        os.close(watched.pidfd)
        watched.ended.set()
