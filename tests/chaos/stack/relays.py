"""TCP relays between services and stores, which a run can block or reset."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

State = Literal["open", "silent", "closed"]
"""silent: nothing passes and nobody is told, as with a link that is cut. closed: connections are reset and refused."""


class Relay:
    """Listens on `port` of 127.0.0.1 and forwards each connection to the port that `target` returns at that time."""

    def __init__(self, name: str, port: int, target: Callable[[], int | None]) -> None:
        self.name, self.port = name, port
        self._target = target
        self._server: asyncio.Server | None = None
        self._passes = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Forward from now on. Bytes received while it was silent are forwarded late, not dropped."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self._passes.set()

    def silence(self) -> None:
        """Forward nothing."""
        self._passes.clear()

    async def close(self) -> None:
        """Reset all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._passes.set()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            with suppress(OSError):
                await self._passes.wait()
                port = self._target()
                if port is None:
                    return
                inner_reader, inner = await asyncio.open_connection("127.0.0.1", port)
                self._writers.add(inner)
                try:
                    await asyncio.gather(self._copy(reader, inner), self._copy(inner_reader, writer))
                finally:
                    self._writers.discard(inner)
                    inner.transport.abort()
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy until EOF; the end of one direction ends both."""
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._passes.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort() if writer.is_closing() else writer.close()
