"""A peer that is gone without a word, as after a loss of power: found by TCP keepalive and TCP_USER_TIMEOUT, on real links."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from headrace.common.contracts.messages.routes import Route
from tests.support.factories.route_tables import route, table
from tests.support.network import Host, network
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, running
from tests.support.worlds.appproxy_replicas import passed_over

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]
DEAD_S = 1.0


@pytest.fixture
def hosts() -> Iterator[dict[str, Host]]:
    """Hosts with a replica each, one of callers, and that of the app-proxy, where this thread is."""
    with network("proxy", "first", "second", "third", "callers") as made, made["proxy"].entered():
        yield made


@pytest.fixture
async def world(hosts: dict[str, Host], tmp_path: Path) -> AsyncIterator[AppProxyWorld]:
    bounds = {
        "replica_tcp_user_timeout_s": DEAD_S,
        "caller_tcp_user_timeout_s": DEAD_S,
        "caller_idle_timeout_s": DEAD_S,
    }
    async with running(tmp_path, listen_host="0.0.0.0", **bounds) as one:
        yield one


@dataclass
class Slow:
    """Replica that answers when it is told to, and streams one event before that if asked for `/stream`."""

    route: Route
    host: Host
    methods: list[str] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.methods.append(request.method)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            if request.path == "/stream":
                await response.prepare(request)
                await response.write(b"data: 1\n\n")
            await self.go.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise
        if not response.prepared:
            return web.Response(text=self.host.port)
        await response.write_eof()
        return response


@asynccontextmanager
async def slow(host: Host, number: int) -> AsyncIterator[Slow]:
    """Serve on the host; only its sockets are there."""
    with host.entered():
        listening = socket.create_server((host.address, 0))
    replica = Slow(route(number, host=host.address, port=listening.getsockname()[1]), host)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", replica.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    try:
        yield replica
    finally:
        replica.go.set()
        await runner.cleanup()


def ask(world: AppProxyWorld, method: str, path: str = "") -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(world.http.request(method, f"{world.url}/chat/{path}"))


async def test_a_post_ends_when_its_replica_is_gone_and_a_slow_one_is_waited_for(
    world: AppProxyWorld, hosts: dict[str, Host]
) -> None:
    async with slow(hosts["first"], 1) as living:
        only = table("chat", routes=(living.route,))
        world.apply(only)
        waits = ask(world, "POST")
        await eventually(lambda: living.methods)
        generation = 1
        for name, number in (("second", 2), ("third", 3)):  # so the living one is silent for twice as long
            async with slow(hosts[name], number) as gone:
                generation += 1
                world.apply(only.model_copy(update={"generation": generation, "routes": (gone.route,)}))
                lost = ask(world, "POST")
                await eventually(lambda gone=gone: gone.methods)
                gone.host.cut()
                answer = await lost
                assert (answer.status_code, answer.json()["reason"]) == (504, "replica-unreachable")
                assert "acknowledges nothing any more" in answer.json()["detail"]
                assert await passed_over(world) == [number], "by everybody, at once"
        assert not waits.done()
        living.go.set()
        assert (await waits).status_code == 200
        assert living.methods == ["POST"]


async def test_a_post_that_never_arrived_ends_in_the_same_way(world: AppProxyWorld, hosts: dict[str, Host]) -> None:
    """It was sent on a kept connection, and nothing of it is acknowledged: probes are not sent then."""
    async with slow(hosts["first"], 1) as gone:
        gone.go.set()
        world.apply(table("chat", routes=(gone.route,)))
        assert (await ask(world, "POST")).status_code == 200
        gone.host.cut()
        answer = await ask(world, "POST")
        assert (answer.status_code, answer.json()["reason"]) == (504, "replica-unreachable")
        assert gone.methods == ["POST"]


async def test_what_may_run_twice_is_sent_to_another_replica(world: AppProxyWorld, hosts: dict[str, Host]) -> None:
    async with slow(hosts["first"], 1) as gone, slow(hosts["second"], 2) as other:
        other.go.set()
        first = table("chat", routes=(gone.route,))
        world.apply(first)
        get = ask(world, "GET")
        await eventually(lambda: gone.methods)
        world.apply(first.model_copy(update={"generation": 2, "routes": (gone.route, other.route)}))
        gone.host.cut()
        assert (await get).text == other.host.port
        page = await world.metrics()
        assert 'headrace_proxy_retries_total{reason="replica-unreachable",service="chat"} 1.0' in page


async def test_a_stream_says_that_its_replica_is_gone(world: AppProxyWorld, hosts: dict[str, Host]) -> None:
    async with slow(hosts["first"], 1) as gone:
        world.apply(table("chat", routes=(gone.route,)))
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(b"POST /chat/stream HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        await reader.readuntil(b"data: 1\n\n")
        gone.host.cut()
        rest = await reader.read()
        writer.close()
        assert b'"code": "replica-unreachable"' in rest
        assert not rest.endswith(b"0\r\n\r\n")


async def test_what_a_caller_asked_for_is_ended_when_the_caller_is_gone(
    world: AppProxyWorld, hosts: dict[str, Host]
) -> None:
    async with slow(hosts["first"], 1) as replica:
        world.apply(table("chat", routes=(replica.route,)))
        with hosts["callers"].entered():
            caller = socket.create_connection((hosts["proxy"].address, world.port), timeout=5)
        with caller:
            caller.sendall(b"POST /chat/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            await eventually(lambda: replica.methods)
            hosts["callers"].cut()
            await replica.left.wait()
        assert world.open_requests == 0
