"""Callers whose bodies drip are told, and let go; those that the proxy or the replica holds up are not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from headrace.appproxy.dataplane.request.min_body_rate import MinBodyRate
from headrace.common.contracts.messages.routes import Limits
from tests.support.factories.route_tables import route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend, running

LENGTH = "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[AppProxyWorld]:
    """A proxy that wants 1000 bytes a second after a second."""
    async with running(tmp_path, min_body_bytes_per_s=1000, slow_body_grace_s=1.0) as world:
        yield world


async def looked_at(rate: MinBodyRate, *, times: int) -> None:
    """Return when the uploads were looked at so often from now on."""
    looks: set[float] = set()

    def look() -> bool:
        looks.add(rate._checked_s)
        return len(looks) > times

    await eventually(look)


@asynccontextmanager
async def dripping(world: AppProxyWorld, head: str, drop: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A caller that sends `drop` some twenty times a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(head.encode())

    async def drip() -> None:
        while True:
            writer.write(drop)
            await asyncio.sleep(0.05)

    feeding = asyncio.create_task(drip())
    try:
        yield reader
    finally:
        feeding.cancel()
        writer.close()


@pytest.mark.parametrize(
    ("path", "head", "drop"),
    [("/chat/x", LENGTH, b"x"), ("/chat/x", CHUNKED, b"1\r\nx\r\n"), ("/v1/completions", LENGTH, b" ")],
    ids=["counted", "chunked", "before its model is known"],
)
async def test_a_body_that_drips_is_told_and_let_go(strict: AppProxyWorld, path: str, head: str, drop: bytes) -> None:
    async with backend() as replica:
        strict.apply(table("chat", routes=(route(port=replica.port),)))
        async with dripping(strict, head.format(path), drop) as reader, asyncio.timeout(60):
            told = await reader.readuntil(b"}")
            assert told.startswith(b"HTTP/1.1 408 ")
            assert b"body-too-slow" in told
            assert b"Connection: close\r\n" in told
            with pytest.raises(asyncio.IncompleteReadError):
                await reader.readuntil(b"HTTP/1.1")
        assert strict.open_requests == 0
        assert not replica.bodies


async def test_a_fast_beginning_earns_no_slow_end(strict: AppProxyWorld) -> None:
    async with backend() as replica:
        strict.apply(table("chat", routes=(route(port=replica.port),)))
        async with dripping(strict, LENGTH.format("/chat/x") + "x" * 90_000, b"x") as reader, asyncio.timeout(60):
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_is_fast_enough_comes_through(strict: AppProxyWorld) -> None:
    async with backend() as replica:
        strict.apply(table("chat", routes=(route(port=replica.port),)))
        async with dripping(strict, LENGTH.format("/chat/x"), b"x" * 1000) as reader, asyncio.timeout(60):
            assert (await reader.readuntil(b"POST /x")).startswith(b"HTTP/1.1 200 ")
        assert len(replica.bodies[0]) == 100_000


async def test_a_replica_that_does_not_keep_up_is_not_its_callers_fault(strict: AppProxyWorld) -> None:
    read = asyncio.Event()

    async def late(request: web.Request) -> web.StreamResponse:
        await read.wait()
        return web.Response(text=str(sum([len(data) async for data in request.content.iter_any()])))

    size = 40_000_000  # more than the kernels on the way keep
    async with backend(late) as replica:
        strict.apply(table("chat", limits=Limits(first_byte_timeout_s=60), routes=(route(port=replica.port),)))
        sending = asyncio.create_task(strict.http.post(f"{strict.url}/chat/x", content=b"x" * size))
        pace = strict.plane._min_body_rate
        await eventually(lambda: len(replica.seen) == 1)
        await looked_at(pace, times=4)
        assert not sending.done()
        read.set()
        assert (await sending).text == str(size)


async def test_an_upload_into_an_answer_that_has_begun_is_the_replicas_affair(strict: AppProxyWorld) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        async for data in request.content.iter_any():
            await answer.write(data)
        return answer

    async with backend(echo) as replica:
        strict.apply(table("chat", routes=(route(port=replica.port),)))
        pace = strict.plane._min_body_rate
        async with dripping(strict, CHUNKED.format("/chat/x"), b"1\r\nx\r\n") as reader, asyncio.timeout(60):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            await looked_at(pace, times=4)
            assert strict.open_requests == 1
            assert await reader.read(1)
