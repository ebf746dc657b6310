"""A server behind load balancers: whose requests are, and what ends a connection before it is one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest
import uvloop
from aiohttp import web
from structlog.testing import capture_logs

from headrace.common.web import proxied
from headrace.common.web.app import WebServer, make_app
from tests.support.proxy_protocol import SIGNATURE, header
from tests.support.wait import eventually

BALANCER, OTHER, CALLER = "127.0.0.9", "127.0.0.1", "192.0.2.7"
REQUEST = b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def served(max_connections: int = 500) -> AsyncIterator[int]:
    """Serve an application that says whose the request is; yield the port."""

    async def who(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.remote} {len(await request.read())}")

    app = make_app()
    app.router.add_route("*", "/who", who)
    server = WebServer(
        app, host="127.0.0.1", port=0, balancers=[ip_network(f"{BALANCER}/32")], max_connections=max_connections
    )
    running = asyncio.create_task(server.run())
    await server.started.wait()
    yield server.port
    server.stop()
    await running


async def sent(port: int, *parts: bytes, source: str = BALANCER) -> bytes:
    """Send the parts, each once the one before was taken, and return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(60):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_the_address_is_that_which_the_balancer_names(run: Callable[..., list[bytes]]) -> None:
    async def ask() -> list[bytes]:
        async with served() as port:
            whole = header(CALLER, extensions=b"\x04\x00\x00")
            return [
                await sent(port, whole + REQUEST),
                await sent(port, *(whole[at : at + 1] for at in range(len(whole))), REQUEST),
                await sent(port, header("2001:db8::7") + REQUEST),
                await sent(port, header(None) + REQUEST),
                await sent(port, REQUEST, source=OTHER),
                await sent(
                    port, whole, b"POST /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"
                ),
            ]

    assert [answer.rpartition(b"\r\n")[2].decode() for answer in run(ask())] == [
        f"{CALLER} 0",
        f"{CALLER} 0",
        "2001:db8::7 0",
        f"{BALANCER} 0",
        f"{OTHER} 0",
        f"{CALLER} 3",
    ]


async def test_a_balancer_s_connection_without_a_whole_header_is_closed_and_said_once_a_minute() -> None:
    async with served() as port:
        with capture_logs() as logged:
            for wrong in (REQUEST, SIGNATURE + b"\x21\x11\xff\xff" + bytes(300), b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"):
                assert await sent(port, wrong) == b""
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(BALANCER, 0))
            writer.write(SIGNATURE)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()
        told = [line for line in logged if line["event"] == "proxy_header_refused"]
        assert len(told) == 1
        assert told[0]["peer"] == BALANCER
        assert told[0]["why"].startswith("found none; allowed: a header of the PROXY protocol, version 2")


async def test_a_header_of_somebody_else_is_no_request() -> None:
    async with served() as port:
        answer = await sent(port, header(CALLER) + REQUEST, source=OTHER)
        assert b" 200 " not in answer
        assert CALLER.encode() not in answer


async def test_a_header_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxied, "HEADER_S", 0.1)
    async with served() as port:
        assert await sent(port, b"") == b""
        assert await sent(port, SIGNATURE) == b""


async def test_so_many_wait_for_their_header_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxied, "HEADER_S", 600.0)
    async with served(max_connections=16) as port:
        waiting = [await asyncio.open_connection("127.0.0.1", port, local_addr=(BALANCER, 0)) for _ in range(16)]

        async def refused() -> bool:
            return await sent(port, header(CALLER) + REQUEST) == b""

        assert await eventually(refused)
        for _, writer in waiting:
            writer.close()

        async def taken() -> bool:
            return CALLER.encode() in await sent(port, header(CALLER) + REQUEST)

        assert await eventually(taken)


async def test_it_stops_while_headers_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxied, "HEADER_S", 600.0)
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(BALANCER, 0))
        writer.write(SIGNATURE)
        assert CALLER.encode() in await sent(port, header(CALLER) + REQUEST)
    assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()


async def test_an_address_in_use_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = WebServer(make_app(), host="127.0.0.1", port=port, balancers=[ip_network("127.0.0.9/32")])
        with pytest.raises(OSError, match="in use"):
            await server.run()
