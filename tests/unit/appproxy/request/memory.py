"""A worker's data plane on connections that are memory: its callers, replicas and the time are whoever holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.appproxy.dataplane.request.context import Listener
from headrace.appproxy.dataplane.request.downstream import DownstreamConnection
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.server import DataPlane
from headrace.appproxy.dataplane.wiring import build_data_plane
from headrace.appproxy.settings import Settings
from headrace.common.contracts.messages.routes import RouteTable


class Wire(asyncio.Transport):
    """A connection whose other side is the test. What was written to it is `sent`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Any) -> None:
        super().__init__()
        self._loop = loop
        self.protocol = protocol
        self.sent = b""
        self.closed = self.paused = False
        self.unsent = 0
        """Bytes that the peer has not taken."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 40_000) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: Any) -> None:
        assert not self.closed
        self.sent += bytes(data)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        assert not self.closed
        self.paused = True

    def resume_reading(self) -> None:
        assert not self.closed
        self.paused = False

    def close(self) -> None:
        self.lose(None)

    def abort(self) -> None:
        self.lose(None)

    def lose(self, error: Exception | None) -> None:
        """The connection ends."""
        if not self.closed:
            self.closed = True
            self._loop.call_soon(self.protocol.connection_lost, error)

    def receive(self, data: bytes) -> None:
        """Bytes come from the other side, unless they are not read now."""
        if not (self.closed or self.paused):
            self.protocol.data_received(data)


class MemoryLoop(asyncio.SelectorEventLoop):
    """Connects nowhere: who connects waits until the test says what becomes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.connecting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []

    async def create_connection(self, protocol_factory: Callable[[], Any], *_: Any, **__: Any) -> Any:
        made = self.create_future()
        self.connecting.append((protocol_factory, made))
        return await made


class MemoryPlane:
    """The data plane, and what the other sides may do."""

    def __init__(self, folder: Path, tables: list[RouteTable]) -> None:
        self.loop = MemoryLoop()
        self.mistakes: list[dict[str, Any]] = []
        """What no callback handled."""
        self.loop.set_exception_handler(lambda _loop, context: self.mistakes.append(context))
        known = RouteTables()
        for table in tables:
            known.apply(table)
        settings = Settings(data_dir=folder, id="test", nats_url="nats://127.0.0.1:1", access_log_share=0)
        self.listener = Listener(None)
        self.plane: DataPlane = self.do(lambda: build_data_plane(settings, known, notify=lambda: None))
        self.upstream: list[Wire] = []
        """Connections to replicas."""

    def do(self, work: Callable[[], Any]) -> Any:
        """Do this on the event loop, and all that follows at once from it."""

        async def _do() -> Any:
            done = work()
            for _ in range(6):  # connection_lost, then what was deferred, and tasks that go on
                await asyncio.sleep(0)
            return done

        return self.loop.run_until_complete(_do())

    def connect(self) -> Wire:
        """A caller connects."""

        def made() -> Wire:
            caller: DownstreamConnection = self.plane.downstreams.connect(self.listener)
            wire = Wire(self.loop, caller)
            caller.connection_made(wire)
            return wire

        wire: Wire = self.do(made)
        return wire

    def connected(self, *, well: bool) -> None:
        """The connect that waits longest succeeds, or fails."""
        factory, future = self.loop.connecting.pop(0)
        if future.done():  # nobody waits for it any more
            return

        def made() -> None:
            if not well:
                future.set_exception(ConnectionRefusedError(111, "refused"))
                return
            protocol = factory()
            wire = Wire(self.loop, protocol)
            self.upstream.append(wire)
            protocol.connection_made(wire)
            future.set_result((wire, protocol))

        self.do(made)

    def close(self) -> None:
        """End it."""
        self.loop.run_until_complete(self.plane.close())
        self.loop.close()
