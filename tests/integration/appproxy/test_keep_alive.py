"""A caller's connection serves the next request, and its end is noticed, however the body of the one before came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace.common.contracts.messages.routes import RouteTable
from tests.integration.appproxy.test_failures import hang
from tests.support.factories.route_tables import route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend, raw_backend
from tests.support.worlds.appproxy_replicas import waiting

LARGE = 100_000
NEXT = b"GET /chat/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def waiting_upload(
    world: AppProxyWorld,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, RouteTable]]:
    """A connection whose request came whole, in pieces and above what is kept for replay, before any replica was there."""
    first = table("chat", wanted=1)
    world.apply(first)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    try:
        writer.write(b"POST /chat/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\nx" % LARGE)
        await eventually(lambda: waiting(world) == 1)
        writer.write(b"x" * (LARGE - 1))
        (line,) = world.plane.downstreams.open
        await eventually(lambda: line.request_complete)
        yield reader, writer, first
    finally:
        writer.close()


async def test_after_a_large_body_that_waited_the_next_request_is_read(world: AppProxyWorld) -> None:
    async with backend() as replica, waiting_upload(world) as (reader, writer, first):
        world.apply(first.model_copy(update={"generation": 2, "routes": (route(port=replica.port),)}))
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.write(NEXT)
        assert b"HTTP/1.1 200" in await asyncio.wait_for(reader.read(), 60)
        assert [len(body) for body in replica.bodies] == [LARGE, 0]


async def test_who_leaves_after_a_large_body_that_waited_is_noticed(world: AppProxyWorld) -> None:
    async with raw_backend(hang) as replica, waiting_upload(world) as (_, writer, first):
        world.apply(first.model_copy(update={"generation": 2, "routes": (route(port=replica.port),)}))
        await eventually(lambda: replica.heads)
        writer.close()
        await eventually(lambda: world.open_requests == 0)


async def test_after_an_answer_that_came_before_the_body_was_taken_the_next_request_is_read(
    world: AppProxyWorld,
) -> None:
    """The replica takes no more than the head of a form that was held whole."""

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()

    form = b"--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n" + b"x" * 20_000_000
    form += b"\r\n--b\r\nContent-Disposition: form-data; name=model\r\n\r\ndemo/chat\r\n--b--\r\n"
    async with raw_backend(refuse) as replica:
        world.apply(table("chat", project="demo", models=("demo/chat",), routes=(route(port=replica.port),)))
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        head = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(form) + form)
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.write(NEXT)
        assert b"HTTP/1.1 413" in await asyncio.wait_for(reader.read(), 60)
        writer.close()
