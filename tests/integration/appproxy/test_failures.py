"""Replicas that refuse, hang, reset and lie: what the caller gets, what is sent again, and that nothing ends cleanly that was cut."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TypeAlias

import pytest
from aiohttp import web

from headrace.common.contracts.messages.routes import Limits
from tests.support.factories.route_tables import route, table
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend, raw_backend, raw_request, reset

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter


async def hang(reader: Reader, _writer: Writer, _n: int) -> None:
    if await reader.read() == b"":
        raise ConnectionResetError


async def lose(_reader: Reader, writer: Writer, _n: int) -> None:
    reset(writer)


async def lose_late(reader: Reader, writer: Writer, _n: int) -> None:
    await reader.readexactly(400_000)
    reset(writer)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_refused_connect_goes_to_another_replica_unseen(world: AppProxyWorld, method: str) -> None:
    async with backend() as replica:
        world.apply(table("chat", routes=(route(1, port=free_port()), route(2, port=replica.port))))
        for _ in range(30):
            answer = await world.http.request(method, f"{world.url}/chat/x", content=b"b" if method == "POST" else None)
            assert answer.status_code == 200
        assert world.open_requests == 0
        page = (await world.http.get(f"{world.admin}/routes")).json()["services"][0]["routes"]
        assert [r["ejected"] for r in page] == [True, False]


async def test_a_body_that_was_read_for_a_refused_connect_is_sent_again_whole(world: AppProxyWorld) -> None:
    async with backend() as replica:
        world.apply(table("chat", routes=(route(1, port=free_port()), route(2, port=replica.port))))
        for n in range(20):
            content = bytes([65 + n]) * 3000
            assert (await world.http.post(f"{world.url}/chat/", content=content)).status_code == 200
            assert replica.bodies[-1] == content


async def test_where_nothing_may_wait_a_refused_connect_is_502_and_it_is_tried_again_each_time(
    world: AppProxyWorld,
) -> None:
    port = free_port()
    world.apply(table("chat", limits=Limits(max_queued=0), routes=(route(port=port),)))
    for _ in range(3):
        got = await world.http.get(f"{world.url}/chat/")
        assert (got.status_code, got.json()["reason"]) == (502, "connect-failed")
        assert got.headers["content-type"] == "application/problem+json"
    async with backend(port=port):  # it is the last one, so it is not passed over once it is there
        assert (await world.http.get(f"{world.url}/chat/")).status_code == 200


async def test_a_reset_before_the_answer(world: AppProxyWorld) -> None:
    async with raw_backend(lose) as bad, backend() as good:
        world.apply(table("chat", routes=(route(1, port=bad.port, weight=10**6), route(2, port=good.port, weight=1))))
        assert (await world.http.get(f"{world.url}/chat/")).status_code == 200
        assert (await world.http.put(f"{world.url}/chat/", content=b"x" * 60_000)).status_code == 200
        assert good.bodies == [b"", b"x" * 60_000]
        assert (await world.http.post(f"{world.url}/chat/", content=b"x")).status_code == 200, (
            "two in a row: passed over"
        )
        again = table("chat2", routes=(route(3, port=bad.port, weight=10**6), route(4, port=good.port, weight=1)))
        world.apply(again)
        before = bad.connections
        got = await world.http.post(f"{world.url}/chat2/", content=b"x")  # it may have run: never sent twice
        assert (got.status_code, got.json()["reason"]) == (502, "connection-lost")
        assert bad.connections == before + 1


async def test_a_reset_after_more_than_is_held_of_the_body_is_not_retried(world: AppProxyWorld) -> None:
    async with raw_backend(lose_late) as bad:
        world.apply(table("chat", routes=(route(1, port=bad.port),)))
        assert (await world.http.put(f"{world.url}/chat/", content=b"x" * 600_000)).status_code == 502
        assert bad.connections == 1


async def test_never_more_than_two_retries(world: AppProxyWorld) -> None:
    async with raw_backend(lose) as bad:
        world.apply(table("chat", routes=tuple(route(n, port=bad.port) for n in range(1, 6))))
        assert (await world.http.get(f"{world.url}/chat/")).status_code == 502
        assert bad.connections == 3


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_keep_alive_race_is_lost_by_nobody(world: AppProxyWorld, method: str) -> None:
    """The replica answers one request on each connection and resets on the next one's arrival, as if it had just been closing."""

    async def one_only(reader: Reader, writer: Writer, _n: int) -> None:
        async def body() -> None:
            if method == "POST":
                await reader.readexactly(1)

        await body()
        writer.write(OK)
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")
        reset(writer)

    async with raw_backend(one_only) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        world.stop_time()  # all is within `same_instant_s`
        for _ in range(4):
            answer = await world.http.request(method, f"{world.url}/chat/", content=b"x" if method == "POST" else None)
            assert answer.text == "ok"


async def test_a_lost_kept_connection_is_no_excuse_to_run_a_post_twice(world: AppProxyWorld) -> None:
    async def dies_at_work(reader: Reader, writer: Writer, n: int) -> None:
        await reader.readexactly(1)
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(1)
        came = world.plane.context.now()  # it works on it for longer than `same_instant_s`, then dies
        await eventually(lambda: world.plane.context.now() > came + 0.05)
        reset(writer)

    async with raw_backend(dies_at_work) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        assert (await world.http.post(f"{world.url}/chat/", content=b"x")).text == "ok"
        got = await world.http.post(f"{world.url}/chat/", content=b"x")
        assert (got.status_code, got.json()["reason"]) == (502, "connection-lost")
        assert replica.connections == 1


async def test_timeouts_have_their_kinds(world: AppProxyWorld) -> None:
    async with raw_backend(hang) as replica:
        limits = Limits(first_byte_timeout_s=0.2, idle_timeout_s=0.2)
        world.apply(table("chat", limits=limits, routes=(route(port=replica.port),)))
        got = await world.http.get(f"{world.url}/chat/")
        assert (got.status_code, got.json()["reason"]) == (504, "first-byte-timeout")
        assert replica.connections == 1
        await asyncio.wait_for(replica.closed.wait(), 60)
    # A listener whose backlog is full drops further SYNs: connecting takes for ever.
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        with suppress(BlockingIOError):
            filler.connect(full.getsockname())
    world.apply(table("slow", limits=Limits(max_queued=0), routes=(route(port=full.getsockname()[1]),)))
    got = await world.http.get(f"{world.url}/slow/")
    assert (got.status_code, got.json()["reason"]) == (504, "connect-timeout")
    for one in (full, *fillers):
        one.close()


async def test_a_slow_upload_is_not_a_slow_answer(world: AppProxyWorld) -> None:
    async with backend() as replica:
        world.apply(table("chat", limits=Limits(first_byte_timeout_s=1), routes=(route(port=replica.port),)))

        began = world.plane.context.now()

        async def chunks() -> AsyncIterator[bytes]:
            now = world.plane.context.now
            for number in range(1, 7):
                await eventually(lambda at=began + 0.25 * number: now() >= at)
                yield b"x"

        assert (await world.http.post(f"{world.url}/chat/", content=chunks())).status_code == 200
        assert replica.bodies == [b"x" * 6]


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
async def test_an_answer_that_is_not_http(world: AppProxyWorld, answer: bytes) -> None:
    async def script(_reader: Reader, writer: Writer, _n: int) -> None:
        writer.write(answer)
        await writer.drain()

    async with raw_backend(script) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        got = await world.http.get(f"{world.url}/chat/")
        assert (got.status_code, got.json()["reason"]) == (502, "bad-response")


@pytest.mark.parametrize("when", ["before the answer", "in the stream", "in the upload"])
async def test_a_caller_who_leaves_cancels_the_work_at_once(world: AppProxyWorld, when: str) -> None:
    async def work(request: web.Request) -> web.StreamResponse:
        if when == "in the upload":
            await request.read()
        if when == "in the stream":
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(b"data: 1\n\n")
        await asyncio.Event().wait()
        return web.Response()

    async with backend(work) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(
            b"POST /chat/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\nx" % (100 if when == "in the upload" else 1)
        )
        await eventually(lambda: len(replica.seen) == 1)
        if when == "in the stream":
            await reader.readuntil(b"data: 1\n\n")
        writer.close()
        await asyncio.wait_for(replica.cancelled.wait(), 60)
        await eventually(lambda: world.open_requests == 0)


async def test_a_hung_replica_holds_up_nobody_else(world: AppProxyWorld) -> None:
    async with raw_backend(hang) as hung, backend() as good:
        world.apply(table("bad", routes=(route(1, port=hung.port),)))
        world.apply(table("good", routes=(route(2, port=good.port),)))
        stuck = [asyncio.create_task(world.http.get(f"{world.url}/bad/")) for _ in range(50)]
        await eventually(lambda: hung.connections == 50)
        assert (await asyncio.wait_for(world.http.get(f"{world.url}/good/"), 60)).status_code == 200
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        await eventually(lambda: world.open_requests == 0)


async def test_an_early_answer_to_an_unread_upload(world: AppProxyWorld) -> None:
    told = asyncio.Event()

    async def script(_reader: Reader, writer: Writer, _n: int) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        await told.wait()

    async with raw_backend(script) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        got = await raw_request(
            world.port, b"POST /chat/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000, until=b"big"
        )
        told.set()
        assert got.startswith(b"HTTP/1.1 413 ")
