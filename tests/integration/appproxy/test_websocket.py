"""WebSockets through the proxy: frames, pings, subprotocols, extensions and close codes are the peers' own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.typing import Subprotocol

from headrace.common.contracts.messages.routes import Limits, RateLimits
from tests.support.factories.route_tables import Signer, route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, raw_backend, reset


class Peer:
    """A WebSocket replica: echoes; `close <code>` closes, `headers` tells what it got."""

    def __init__(self) -> None:
        self.port = 0
        self.closes: list[tuple[int | None, str | None]] = []
        self.pings = 0

    async def serve(self, socket: ServerConnection) -> None:
        try:
            async for message in socket:
                if isinstance(message, str) and message.startswith("close "):
                    await socket.close(int(message.removeprefix("close ")), "as told")
                    return
                if message == "headers":
                    assert socket.request is not None
                    await socket.send("\n".join(f"{k}: {v}" for k, v in socket.request.headers.raw_items()))
                elif message == "ping me":
                    await (await socket.ping())
                    self.pings += 1
                    await socket.send("ponged")
                else:
                    await socket.send(message)
        except ConnectionClosed:
            pass
        finally:
            self.closes.append((socket.close_code, socket.close_reason))


@asynccontextmanager
async def peer() -> AsyncIterator[Peer]:
    state = Peer()

    def choose(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return offered[-1] if offered else None

    async with serve(state.serve, "127.0.0.1", 0, select_subprotocol=choose, max_size=None) as server:
        state.port = next(iter(server.sockets)).getsockname()[1]
        yield state


async def test_frames_both_ways(world: AppProxyWorld) -> None:
    async with peer() as replica:
        world.apply(table("ws", routes=(route(port=replica.port),)))
        async with connect(
            f"ws://127.0.0.1:{world.port}/ws/echo?x=1",
            subprotocols=[Subprotocol("v2"), Subprotocol("v1.chat")],
            max_size=None,
        ) as socket:
            assert socket.subprotocol == "v1.chat"
            for message in ("text", b"\x00bytes", "", "ü" * 5000, b"z" * 3_000_000):
                await socket.send(message)
                assert await socket.recv() == message
            await (await socket.ping())
            await socket.send("ping me")
            assert await socket.recv() == "ponged"
            await socket.send("headers")
            got = str(await socket.recv()).lower()
            assert "x-forwarded-for: 127.0.0.1" in got
            assert "via: 1.1 headrace" in got
            assert world.open_requests == 1
        assert socket.close_code == 1000
        await eventually(lambda: replica.closes == [(1000, "")])
        await eventually(lambda: world.open_requests == 0)


@pytest.mark.parametrize("code", [1000, 1011, 4321])
async def test_close_codes_both_ways(world: AppProxyWorld, code: int) -> None:
    async with peer() as replica:
        world.apply(table("ws", routes=(route(port=replica.port),)))
        async with connect(f"ws://127.0.0.1:{world.port}/ws/") as socket:
            await socket.send(f"close {code}")
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert (socket.close_code, socket.close_reason) == (code, "as told")
        async with connect(f"ws://127.0.0.1:{world.port}/ws/") as socket:
            await socket.close(code, "mine")
        await eventually(lambda: (code, "mine") in replica.closes)


async def test_a_caller_who_vanishes_ends_it_at_the_replica(world: AppProxyWorld) -> None:
    async with peer() as replica:
        world.apply(table("ws", routes=(route(port=replica.port),)))
        socket = await connect(f"ws://127.0.0.1:{world.port}/ws/")
        await socket.send("x")
        await socket.recv()
        socket.transport.abort()
        await eventually(lambda: replica.closes == [(1006, "")], within_s=15)  # before a ping could tell
        await eventually(lambda: world.open_requests == 0)


async def test_a_replica_that_vanishes_is_no_clean_close(world: AppProxyWorld) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst bytes"
        )
        await writer.drain()
        assert await reader.read(2) == b"hi"
        reset(writer)

    async with raw_backend(script) as replica:
        world.apply(table("ws", routes=(route(port=replica.port),)))
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        ask = (
            "GET /ws/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n"
        )
        writer.write(ask.encode())
        got = await asyncio.wait_for(reader.readuntil(b"first bytes"), 60)
        assert b"Sec-WebSocket-Key: a" in replica.heads[0]
        assert got.startswith(b"HTTP/1.1 101 ")
        assert b"Content-Length" not in got
        assert b"Transfer-Encoding" not in got
        writer.write(b"hi")
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
        await eventually(lambda: world.open_requests == 0)


async def test_access_and_refusals_of_the_replica(world: AppProxyWorld) -> None:
    signer = Signer()
    async with peer() as replica:
        private = table("ws", open_to_public=False, token_keys=(signer.public,), routes=(route(port=replica.port),))
        world.apply(private)
        url = f"ws://127.0.0.1:{world.port}/ws/"
        with pytest.raises(InvalidStatus) as refused:
            await connect(url)
        assert refused.value.response.status_code == 401
        headers = {"Authorization": f"Bearer {signer.token(private.service_id)}"}
        async with connect(url, additional_headers=headers) as socket:
            await socket.send("x")
            assert await socket.recv() == "x"

    async def no(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope")

    async with raw_backend(no) as replica_too:
        world.apply(table("no", routes=(route(port=replica_too.port),)))
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{world.port}/no/")
        assert (refused.value.response.status_code, refused.value.response.body) == (403, b"nope")


async def test_a_caller_with_limits_is_told_them_and_bound_by_them(world: AppProxyWorld) -> None:
    async with peer() as replica:
        world.apply(
            table(
                "ws", caller_limits=RateLimits(in_flight=1, requests_per_second=9), routes=(route(port=replica.port),)
            )
        )
        url = f"ws://127.0.0.1:{world.port}/ws/"
        async with connect(url) as socket:
            assert socket.response is not None
            told = socket.response.headers
            assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("9", "8")
            assert told["x-headrace-limits"] == "local"
            with pytest.raises(InvalidStatus) as refused:
                await connect(url)
            assert refused.value.response.status_code == 429
            await socket.send("x")
            assert await socket.recv() == "x"
        await eventually(lambda: world.open_requests == 0)
        async with connect(url):
            pass


async def test_silence_has_a_limit_and_pings_break_it(world: AppProxyWorld) -> None:
    async with peer() as replica:
        world.apply(table("ws", limits=Limits(idle_timeout_s=1), routes=(route(port=replica.port),)))
        async with connect(f"ws://127.0.0.1:{world.port}/ws/", ping_interval=None) as socket:
            began = world.plane.context.now()
            while world.plane.context.now() < began + 2:
                await (await socket.ping())
            with pytest.raises(ConnectionClosedError):
                await asyncio.wait_for(socket.recv(), 60)
            assert socket.close_code == 1006


async def test_back_pressure_reaches_the_sender(world: AppProxyWorld) -> None:
    sent = 0

    async def pour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while sent < 512 * 1024 * 1024:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with raw_backend(pour) as replica:
        world.apply(table("ws", limits=Limits(idle_timeout_s=0.5), routes=(route(port=replica.port),)))
        _, writer = await asyncio.open_connection("127.0.0.1", world.port, limit=1024)
        writer.write(b"GET /ws/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await eventually(lambda: world.open_requests == 1)
        await eventually(lambda: world.open_requests == 0, what="the stalled tunnel is cut")
        assert sent < 64 * 1024 * 1024
        writer.close()
