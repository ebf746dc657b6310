"""At the end of a drain's grace what is still open on the replica is told so, cut, and counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from headrace.appproxy.dataplane.upstream.replica import DrainCounter
from headrace.common.contracts.messages.routes import Route
from tests.support.factories.route_tables import route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, Backend, backend

REQUEST = "{} /chat/{} HTTP/1.1\r\nHost: x\r\n{}\r\n"


class Old:
    """A replica whose answers end when `go` is set, and a service that it shares with a new one."""

    def __init__(self, world: AppProxyWorld, replica: Backend, go: asyncio.Event, other: Backend) -> None:
        self.world, self.replica, self.go = world, replica, go
        self.route = route(1, port=replica.port)
        self.other = route(2, port=other.port)
        self.table = table("chat", routes=(self.route,))
        self.writers: list[asyncio.StreamWriter] = []
        world.apply(self.table)

    async def ask(self, kind: str, method: str = "GET", fields: str = "") -> asyncio.StreamReader:
        """Begin a request, and return once the replica has it."""
        seen = len(self.replica.seen)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.world.port)
        self.writers.append(writer)
        writer.write(REQUEST.format(method, kind, fields).encode())
        await eventually(lambda: len(self.replica.seen) == seen + 1)
        return reader

    def update(self, generation: int, *routes: Route) -> None:
        self.world.apply(self.table.model_copy(update={"generation": generation, "routes": routes}))

    def drain(self, seconds: float) -> Route:
        """Let it drain until so long from now."""
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        draining = self.route.model_copy(update={"state": "draining", "drain_until": until})
        self.update(2, draining, self.other)
        return draining

    @property
    def receipt(self) -> DrainCounter:
        servings = self.world.plane.backends
        serving = servings.by_name("chat")
        assert serving is not None
        replica = serving.replicas.get(self.route.session_id) or servings.retired[self.route.session_id][0]
        assert replica.drain is not None
        return replica.drain


@pytest.fixture
async def old(world: AppProxyWorld) -> AsyncIterator[Old]:
    async with _old(world) as one:
        yield one


@asynccontextmanager
async def _old(world: AppProxyWorld) -> AsyncIterator[Old]:
    go = asyncio.Event()

    async def work(request: web.Request) -> web.StreamResponse:
        if request.path == "/silent":
            await go.wait()
            return web.Response(text="whole")
        if request.path == "/socket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_str("hello")
            await socket.receive()
            return socket
        answer = web.StreamResponse()
        answer.content_type = "text/event-stream" if request.path == "/events" else "application/json"
        await answer.prepare(request)
        await answer.write(b"data: 1\n\n")
        await go.wait()
        await answer.write(b"data: 2\n\n")
        return answer

    async with backend(work) as replica, backend() as other:
        one = Old(world, replica, go, other)
        try:
            yield one
        finally:
            for writer in one.writers:
                writer.close()


async def test_what_is_open_at_the_deadline_is_told_cut_and_counted(old: Old) -> None:
    events = await old.ask("events")
    chunks = await old.ask("chunks")
    silent = await old.ask("silent", "POST", "Content-Length: 0\r\n")
    socket = await old.ask(
        "socket",
        "GET",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    )
    for reader in (events, chunks):
        await reader.readuntil(b"data: 1\n\n")
    await socket.readuntil(b"hello")
    old.drain(0.7)
    async with asyncio.timeout(60):
        told = await events.read()
        assert b"event: error" in told
        assert b'"code": "replica-stopped"' in told
        assert not told.endswith(b"0\r\n\r\n")
        assert not (await chunks.read()).endswith(b"0\r\n\r\n")
        refused = await silent.readuntil(b"}")
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b'"reason": "replica-stopped"' in refused
        assert await socket.read() == b"", "no close frame: an end that nobody takes for a clean one"
    receipt = old.receipt
    assert (receipt.started, receipt.cut, receipt.finished, receipt.failed, receipt.retried) == (4, 4, 0, 0, 0)
    assert receipt.slowest_s >= 0.6
    assert old.world.open_requests == old.world.in_flight(old.route.session_id) == 0
    assert (await old.world.http.get(f"{old.world.url}/chat/")).text == "GET /", "the other one serves"
    counted = [line for line in (await old.world.metrics()).splitlines() if "_cut_requests_total{" in line]
    assert [float(line.split()[-1]) for line in counted if str(old.route.session_id) in line] == [4.0]


async def test_what_ends_before_is_whole(old: Old) -> None:
    events = await old.ask("events")
    await events.readuntil(b"data: 1\n\n")
    old.drain(3600)
    await eventually(lambda: old.receipt.started == 1)
    old.go.set()
    assert await asyncio.wait_for(events.readuntil(b"0\r\n\r\n"), 60)
    receipt = old.receipt
    assert (receipt.finished, receipt.cut) == (1, 0)


async def test_a_replica_that_has_left_the_table_is_held_to_its_deadline_too(old: Old) -> None:
    events = await old.ask("events")
    await events.readuntil(b"data: 1\n\n")
    old.drain(0.7)
    old.update(3, old.other)
    assert b'"code": "replica-stopped"' in await asyncio.wait_for(events.read(), 60)
    assert old.receipt.cut == 1


async def test_what_is_open_on_a_replica_that_leaves_the_table_without_a_drain_goes_on(old: Old) -> None:
    events = await old.ask("events")
    await events.readuntil(b"data: 1\n\n")
    old.update(2, old.other)
    assert (await old.world.http.get(f"{old.world.url}/chat/x")).status_code == 200
    assert [request.path for request in old.replica.seen] == ["/events"], "new requests go elsewhere"
    old.go.set()
    assert b"data: 2" in await asyncio.wait_for(events.readuntil(b"0\r\n\r\n"), 60)
    assert (old.receipt.finished, old.receipt.cut) == (1, 0)


async def test_a_deadline_that_is_past_already_cuts_only_once_the_draining_is_seen(old: Old) -> None:
    events = await old.ask("events")
    await events.readuntil(b"data: 1\n\n")
    late = old.route.model_copy(update={"drain_until": datetime.now(UTC) - timedelta(hours=1)})
    old.update(2, late)  # active: whatever the clocks say, it serves
    again = await old.ask("events")
    await again.readuntil(b"data: 1\n\n")
    old.update(3, late.model_copy(update={"state": "draining"}), old.other)
    for reader in (events, again):
        assert b'"code": "replica-stopped"' in await asyncio.wait_for(reader.read(), 60)


async def test_a_further_table_moves_no_deadline(old: Old) -> None:
    events = await old.ask("events")
    await events.readuntil(b"data: 1\n\n")
    draining = old.drain(0.7)
    for generation in range(3, 8):
        old.update(generation, draining, old.other)
    assert b'"code": "replica-stopped"' in await asyncio.wait_for(events.read(), 60)
