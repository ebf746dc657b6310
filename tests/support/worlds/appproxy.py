"""App-proxy in this process, and backends that behave well or badly."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from headrace.appproxy.control.workers.pool import WorkerPool
from headrace.appproxy.dataplane.server import DataPlane
from headrace.appproxy.settings import Settings
from headrace.appproxy.wiring import AppProxy, build
from headrace.appproxy.worker.inline import InlineWorker
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.runtime.service import run_tasks
from tests.support.fakes.clock import StoppableClock
from tests.support.wait import eventually

NOWHERE = "nats://127.0.0.1:1"
ILLEGAL = "headrace_proxy_illegal_transitions_total{"
"""How a metric begins that is there only after a mistake of the proxy's own: no test with traffic may leave it."""


@dataclass
class AppProxyWorld:
    """A running app-proxy."""

    proxy: AppProxy
    stop: asyncio.Event
    ended: asyncio.Task[None]
    http: httpx.AsyncClient
    clock: StoppableClock
    """The time that it goes by where there are no workers."""
    may_be_illegal: bool = False
    """Whether the test takes steps that the states of requests do not allow."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return self.proxy.listeners.port

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.proxy.admin.port}"

    @property
    def plane(self) -> DataPlane:
        """Data plane, in this process unless there are workers."""
        assert isinstance(self.proxy.traffic, InlineWorker)
        return self.proxy.traffic.plane

    @property
    def pool(self) -> WorkerPool:
        """Worker pool, where there are workers."""
        assert isinstance(self.proxy.traffic, WorkerPool)
        return self.proxy.traffic

    def stop_time(self, *, at: float | None = None) -> None:
        """Let the clock stand (`StoppableClock.stop`). Callers keep no connections then: moved on, they would be idle for too long."""
        self.clock.stop(at=at)
        self.http.headers["Connection"] = "close"

    def apply(self, table: RouteTable) -> None:
        """Apply a route table as if the bus had delivered it."""
        assert self.proxy.deliver(table)

    @property
    def open_requests(self) -> int:
        """Return the number of open requests."""
        return self.plane.open_requests

    def in_flight(self, session_id: SessionId) -> int:
        """Return the number of requests open on one replica."""
        return self.proxy.traffic.snapshot().in_flight.get(session_id, 0)

    async def metrics(self) -> str:
        return (await self.http.get(f"{self.admin}/metrics")).text


@asynccontextmanager
async def running(data_dir: Path, **settings: Any) -> AsyncIterator[AppProxyWorld]:
    """Yield an app-proxy on free ports, shut down at the end."""
    known: dict[str, Any] = {
        "nats_url": NOWHERE,
        "listen_host": "127.0.0.1",
        "listen_port": 0,
        "admin_port": 0,
        "data_dir": data_dir,
        "shutdown_grace_s": 0.2,
        "workers": 0,
        "max_connections": 5000,
        "max_open_requests": 5000,
        "first_tables_s": 0,
    }
    stop = asyncio.Event()
    clock = StoppableClock()
    async with build(Settings(**(known | settings)), clocks=clock.clocks) as proxy:
        ended = asyncio.create_task(run_tasks(proxy.tasks, stop))

        def serves() -> bool:
            if ended.done():
                ended.result()
            return proxy.listeners.started.is_set() and proxy.admin.started.is_set()

        await eventually(serves, every_s=0.005)
        async with httpx.AsyncClient(verify=False, timeout=60) as http:
            world = AppProxyWorld(proxy, stop, ended, http, clock)
            try:
                yield world
                if not (ended.done() or world.may_be_illegal):
                    assert ILLEGAL not in await world.metrics(), "a request took a step that its states do not allow"
            finally:
                stop.set()
                await ended


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Backend:
    """Replica with `handler`, well-behaved by default."""

    port: int = 0
    seen: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def backend(handler: Handler | None = None, *, port: int = 0) -> AsyncIterator[Backend]:
    """Serve `handler` (default: 200 with the method and the raw target) on a free port."""
    state = Backend()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        state.seen.append(request)  # type: ignore[arg-type]
        try:
            if handler is not None:
                return await handler(request)  # type: ignore[arg-type]
            state.bodies.append(await request.read())
            return web.Response(text=f"{request.method} {request.raw_path}")
        except asyncio.CancelledError:
            state.cancelled.set()
            raise

    def request_of(message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=1 << 30)

    server = web.Server(handle, request_factory=request_of, handler_cancellation=True, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    state.port = runner.addresses[0][1]
    try:
        yield state
    finally:
        await runner.cleanup()


@dataclass
class RawBackend:
    """Replica at the level of TCP."""

    port: int
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


@asynccontextmanager
async def raw_backend(script: Script) -> AsyncIterator[RawBackend]:
    """Run `script(reader, writer, n)` for the n-th connection, after a request's head was received; then close it."""
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        state.connections += 1
        try:
            state.heads.append(await reader.readuntil(b"\r\n\r\n"))
            await script(reader, writer, state.connections)
        except (ConnectionError, asyncio.IncompleteReadError):
            state.closed.set()
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    state = RawBackend(server.sockets[0].getsockname()[1])
    try:
        yield state
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def raw_request(
    port: int, data: bytes, *, until: bytes | None = None, then: tuple[bytes, Callable[[], None]] | None = None
) -> bytes:
    """Send bytes, and return what arrives until `until` or EOF; `then`: a callback once these bytes have arrived."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(60):
            if then is not None:
                first = await reader.readuntil(then[0])
                then[1]()
                return first + await reader.read()
            return await (reader.readuntil(until) if until else reader.read())
    finally:
        writer.close()
