"""Answers that began and cannot be finished: nothing ends cleanly that was cut."""

from __future__ import annotations

import asyncio
import json
from typing import TypeAlias

import httpx
import pytest
from aiohttp import web

from headrace.common.contracts.messages.routes import Limits
from tests.support.factories.route_tables import route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend, raw_backend, raw_request, reset

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter


async def hang(reader: Reader, _writer: Writer, _n: int) -> None:
    if await reader.read() == b"":
        raise ConnectionResetError


async def _read(world: AppProxyWorld, arrived: asyncio.Event) -> None:
    """Read an answer to its end, and say when something of its body is here."""
    async with world.http.stream("GET", f"{world.url}/chat/") as answer:
        async for _ in answer.aiter_raw():
            arrived.set()


@pytest.mark.parametrize(
    "head", [b"Content-Length: 100\r\n\r\npartial", b"Transfer-Encoding: chunked\r\n\r\n7\r\npartial\r\n"]
)
@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_cut_answer_never_looks_whole(world: AppProxyWorld, head: bytes, how: str) -> None:
    arrived = asyncio.Event()

    async def script(_reader: Reader, writer: Writer, _n: int) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + head)
        await arrived.wait()
        arrived.clear()
        if how == "reset":
            reset(writer)

    async with raw_backend(script) as replica:
        world.apply(table("chat", routes=(route(number=881, port=replica.port),)))
        with pytest.raises(httpx.RemoteProtocolError):
            await _read(world, arrived)
        raw = await raw_request(world.port, b"GET /chat/ HTTP/1.1\r\nHost: x\r\n\r\n", then=(b"partial", arrived.set))
        assert b"partial" in raw
        assert not raw.endswith(b"0\r\n\r\n")
        lines = (await world.metrics()).splitlines()
        cut = [line for line in lines if line.startswith("headrace_proxy_interrupted_responses_total{")]
        assert ['replica="00000000-0000-0000-0000-000000000371"' in line for line in cut] == [True]


async def test_an_answer_whose_rest_is_malformed_breaks_off_at_once(world: AppProxyWorld) -> None:
    async def script(reader: Reader, writer: Writer, _n: int) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npartial\r\n")
        await writer.drain()
        await may_go_on.wait()
        writer.write(b"no chunk\r\n")
        await hang(reader, writer, _n)

    may_go_on = asyncio.Event()
    async with raw_backend(script) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(b"GET /chat/ HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"partial\r\n")
        may_go_on.set()
        async with asyncio.timeout(60):
            assert await reader.read() == b"", "the connection ends, and without a last chunk"
        writer.close()
        await replica.closed.wait()
        await eventually(lambda: world.open_requests == 0)
        lines = (await world.metrics()).splitlines()
        cut = [line for line in lines if line.startswith("headrace_proxy_interrupted_responses_total{")]
        assert ['reason="bad-response"' in line and line.endswith(" 1.0") for line in cut] == [True]


async def test_http_1_0_callers_see_the_loss_too(world: AppProxyWorld) -> None:
    arrived = asyncio.Event()

    async def script(_reader: Reader, writer: Writer, _n: int) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npartial\r\n")
        await arrived.wait()
        reset(writer)

    async with raw_backend(script) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        with pytest.raises(ConnectionResetError):
            await raw_request(world.port, b"GET /chat/ HTTP/1.0\r\n\r\n", then=(b"partial", arrived.set))


async def test_a_broken_event_stream_says_so_in_an_event(world: AppProxyWorld) -> None:
    arrived = asyncio.Event()

    async def script(_reader: Reader, writer: Writer, _n: int) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        writer.write(b"9\r\ndata: 1\n\n\r\n")
        await arrived.wait()
        reset(writer)

    async with raw_backend(script) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        lines: list[str] = []

        async def read() -> None:
            async with world.http.stream("GET", f"{world.url}/chat/") as answer:
                async for line in answer.aiter_lines():
                    arrived.set()
                    lines.append(line)

        with pytest.raises(httpx.RemoteProtocolError):
            await read()
        assert lines[:2] == ["data: 1", ""]
        at = lines.index("event: error")
        error = json.loads(lines[at + 1].removeprefix("data: "))["error"]
        assert (error["type"], error["code"]) == ("upstream-failed", "connection-lost")


async def test_a_stream_that_falls_silent_ends_in_an_error(world: AppProxyWorld) -> None:
    async def script(reader: Reader, writer: Writer, _n: int) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await hang(reader, writer, 0)

    async with raw_backend(script) as replica:
        world.apply(table("chat", limits=Limits(idle_timeout_s=0.2), routes=(route(port=replica.port),)))
        raw = await raw_request(world.port, b"GET /chat/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b'"code": "idle-timeout"' in raw
        assert not raw.endswith(b"0\r\n\r\n")
        await asyncio.wait_for(replica.closed.wait(), 60)


async def test_an_answer_until_the_close_is_whole(world: AppProxyWorld) -> None:
    async def script(_reader: Reader, writer: Writer, _n: int) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nold but whole")

    async with raw_backend(script) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        answer = await world.http.get(f"{world.url}/chat/")
        assert (answer.text, "content-type" in answer.headers) == ("old but whole", False)


async def test_a_slow_reader_costs_its_own_stream_only_and_is_bounded(world: AppProxyWorld) -> None:
    written = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        while written < 512 * 1024 * 1024:
            await response.write(b"x" * 65536)
            written += 65536
        return response

    async with backend(pour) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        _, writer = await asyncio.open_connection("127.0.0.1", world.port, limit=1024)
        writer.write(b"GET /chat/ HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: world.open_requests == 1)
        await eventually(lambda: world.open_requests == 0, what="the stalled caller is cut")
        assert written < 64 * 1024 * 1024
        writer.close()
