"""Callers never learn where replicas are, and the proxy's own pages are nowhere near them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import pytest

from headrace.appproxy.settings import Settings
from headrace.common.contracts.messages.routes import Limits
from tests.support.factories.route_tables import route, table
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend, raw_backend, raw_request, reset

ASK = b"POST /chat/x HTTP/1.1\r\nHost: public.example\r\nX-Request-Id: r\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
OK = b"HTTP/1.1 200 OK\r\n"
EVENTS = OK + b"Content-Type: text/event-stream\r\n\r\ndata: 1\n\n"


class says:  # noqa: N801 - read as a verb
    """A replica that says this, and closes, resets (when its caller has the answer), or hangs."""

    def __init__(self, answer: bytes, *, then: str = "close") -> None:
        self.answer, self.then = answer, then
        self.arrived = asyncio.Event()

    async def __call__(self, reader: Reader, writer: Writer, _: int) -> None:
        writer.write(self.answer)
        if self.then == "reset":
            if self.answer:
                await self.arrived.wait()
            reset(writer)
        elif self.then == "hang":
            await reader.read()


async def told(
    world: AppProxyWorld, host: str, port: int, *, max_queued: int = 0, arrived: asyncio.Event | None = None
) -> bytes:
    """Return all that a caller gets of a service with this one replica; fails where it says where that is."""
    limits = Limits(first_byte_timeout_s=0.2, idle_timeout_s=0.2, queue_timeout_s=0.2, max_queued=max_queued)
    world.apply(table("chat", limits=limits, routes=(route(host=host, port=port),)))
    got = b""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(ASK)
    async with asyncio.timeout(60):
        with suppress(ConnectionResetError):
            while data := await reader.read(65536):
                got += data
                if arrived is not None:
                    arrived.set()
    writer.close()
    for leak in (host, str(port), "127.0.0.1", "localhost"):
        assert leak.encode() not in got, got
    return got


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (says(b"", then="reset"), b"connection-lost"),
        (says(b""), b"connection-lost"),
        (says(b"nonsense\r\n\r\n"), b"bad-response"),
        (says(b"", then="hang"), b"first-byte-timeout"),
        (says(OK + b"Content-Length: 9\r\nContent-Length: 8\r\n\r\n"), b"bad-response"),
        (says(EVENTS, then="reset"), b"connection-lost"),
        (says(EVENTS, then="hang"), b"idle-timeout"),
        (
            says(EVENTS.replace(b"\r\n\r\ndata: 1\n\n", b"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")),
            b"bad-response",
        ),
    ],
)
async def test_no_failure_says_where_the_replica_is(world: AppProxyWorld, script: says, reason: bytes) -> None:
    async with raw_backend(script) as replica:
        assert reason in await told(world, "127.0.0.1", replica.port, arrived=script.arrived)


async def test_no_failed_connect_says_where_the_replica_is(world: AppProxyWorld) -> None:
    assert b"connect-failed" in await told(world, "127.0.0.1", free_port())
    assert b"unreachable" in await told(world, "127.0.0.1", free_port(), max_queued=9)
    assert b"connect-failed" in await told(world, "replica-7.internal.invalid", 50_007)
    assert b"connect-failed" in await told(world, "::1", free_port())
    async with _full() as port:
        assert b"connect-timeout" in await told(world, "127.0.0.1", port)


@asynccontextmanager
async def _full() -> AsyncIterator[int]:
    """A listener that takes no connection: its backlog is full."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(full.getsockname())
        yield int(full.getsockname()[1])
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
async def test_redirects_of_a_replica_name_the_service(world: AppProxyWorld, name: str) -> None:
    async def script(_: Reader, writer: Writer, __: int) -> None:
        writer.write(
            f"HTTP/1.1 307 Temporary Redirect\r\n{name}: http://127.0.0.1:{replica.port}/x/?a=1\r\nContent-Length: 0\r\n\r\n".encode()
        )

    async with raw_backend(script) as replica:
        assert f"{name}: /chat/x/?a=1\r\n".encode() in await told(world, "127.0.0.1", replica.port)


async def test_the_fleet_s_models_name_no_replica(world: AppProxyWorld) -> None:
    async with backend() as replica:
        world.apply(table("chat", project="demo", routes=(route(port=replica.port),)))
        listed = await world.http.get(f"{world.url}/v1/models", headers={"X-Request-Id": "r"})
        assert listed.json()["data"][0]["id"] == "demo/chat"
        assert str(replica.port) not in f"{listed.headers} {listed.text}"


PAGES = ("/metrics", "/routes", "/livez", "/readyz")


@pytest.mark.parametrize("page", PAGES)
async def test_the_proxy_s_own_pages_are_on_their_own_listener_only(world: AppProxyWorld, page: str) -> None:
    async with backend() as replica:
        port = free_port()
        world.apply(table("chat", port=port, routes=(route(port=replica.port),)))
        await eventually(lambda: port in world.plane._listeners)
        assert (await world.http.get(f"{world.admin}{page}")).status_code == 200
        for where in (page, f"{page}/", f"//{page[1:]}", f"http://127.0.0.1:{world.proxy.admin.port}{page}"):
            raw = await raw_request(world.port, f"GET {where} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), until=b"}")
            assert raw.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ")), where
        assert not replica.seen
        assert (await world.http.get(f"http://127.0.0.1:{port}{page}")).text == f"GET {page}", "the replica's page"
        assert (await world.http.get(f"{world.admin}/chat/x")).status_code == 404, "nor is a service on that one"
        assert len(replica.seen) == 1


def test_strangers_do_not_reach_that_listener_unless_it_is_so_set() -> None:
    assert Settings().admin_host == "127.0.0.1"


async def test_a_machines_name_that_leads_to_the_app_proxy_itself_gets_no_request(world: AppProxyWorld) -> None:
    async with raw_backend(says(OK)) as replica:
        assert b"connect-failed" in await told(world, "localhost", replica.port)
        await eventually(replica.closed.is_set)
        assert replica.heads == []
