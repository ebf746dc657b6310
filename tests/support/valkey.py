"""Valkey server of a single test, which can be stalled and killed."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from headrace.embedded.ports import HOST
from headrace.embedded.process import Child
from headrace.embedded.valkey import valkey_program
from tests.support.ports import free_port
from tests.support.wait import eventually


class OwnValkey:
    """Valkey server whose data survives a kill."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.port = free_port()
        self.url = f"redis://:secret@{HOST}:{self.port}/0"
        self._log = folder / "valkey.log"
        self._program = valkey_program(data=folder / "data", port=self.port, password="secret")
        self._child: Child | None = None

    async def start(self) -> None:
        """Start it, and return once it answers."""
        self._child = Child.start(self._program.command, self._log)
        await eventually(self._program.ready, what="valkey is ready")

    async def kill(self) -> None:
        """Kill it, and return once it is gone."""
        assert self._child is not None
        self._child.signal(signal.SIGKILL)
        await self._child.wait()

    def stall(self) -> None:
        """Stop its process: connections stay open without answers."""
        assert self._child is not None
        self._child.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End a stall."""
        assert self._child is not None
        self._child.signal(signal.SIGCONT)

    async def stop(self) -> None:
        """Stop it, also when stalled."""
        if self._child is not None:
            self.go_on()
            await self._child.stop(())


@asynccontextmanager
async def own_valkey(folder: Path) -> AsyncIterator[OwnValkey]:
    """Yield a running server; stopped at the end."""
    server = OwnValkey(folder)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
