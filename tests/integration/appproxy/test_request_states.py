"""A step that the states of a request do not allow ends that request, and is counted; nothing is left of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web

from headrace.appproxy.dataplane.request.states import Event, IllegalTransitionError, State
from tests.support.factories.route_tables import route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend, raw_backend, raw_request

GET = b"GET /chat/ HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def world(world: AppProxyWorld) -> AppProxyWorld:
    """One in which mistakes are made."""
    world.may_be_illegal = True
    return world


async def the_request(world: AppProxyWorld, state: State) -> Any:
    """Return the one request that is open, once it is in this state."""
    requests = world.plane.requests.open
    await eventually(lambda: [one.state for one in requests] == [state], what=f"a request is in {state.name}")
    return next(iter(requests))


async def nothing_is_left(world: AppProxyWorld) -> None:
    plane = world.plane
    await eventually(lambda: not (plane.open_requests or plane.snapshot().in_flight), what="nothing is open any more")


async def test_before_a_response_has_begun_the_caller_gets_500(world: AppProxyWorld) -> None:
    async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _n: int) -> None:
        assert await reader.read() == b"", "its connection ends"
        raise ConnectionResetError

    async with raw_backend(hang) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        asking = asyncio.create_task(raw_request(world.port, GET, until=b"}"))
        request = await the_request(world, State.AWAIT_HEAD)
        with pytest.raises(IllegalTransitionError, match="ABORTED may not happen in state AWAIT_HEAD"):
            request.advance(Event.ABORTED)
        answer = await asking
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"internal-error" in answer
        await replica.closed.wait()
        await nothing_is_left(world)
    assert 'headrace_proxy_illegal_transitions_total{event="ABORTED",state="AWAIT_HEAD"} 1.0' in await world.metrics()


async def test_in_the_middle_of_a_response_the_connection_ends(world: AppProxyWorld) -> None:
    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npartial\r\n")
        assert await reader.read() == b"", "its connection ends"
        raise ConnectionResetError

    async with raw_backend(begin) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(GET)
        await reader.readuntil(b"partial\r\n")
        request = await the_request(world, State.STREAM)
        with pytest.raises(IllegalTransitionError):
            request.advance(Event.REPLIED)
        with suppress(ConnectionResetError):
            assert await reader.read() == b"", "no last chunk"
        writer.close()
        await replica.closed.wait()
        await nothing_is_left(world)
    page = await world.metrics()
    assert 'headrace_proxy_illegal_transitions_total{event="REPLIED",state="STREAM"} 1.0' in page
    assert page.count("headrace_proxy_illegal_transitions_total{") == 1, "and no other mistake follows"
    cut = [line for line in page.splitlines() if line.startswith("headrace_proxy_interrupted_responses_total{")]
    assert ['reason="internal-error"' in line and line.endswith(" 1.0") for line in cut] == [True]


async def test_after_its_end_nothing_is_written_and_the_next_request_is_served(world: AppProxyWorld) -> None:
    may_answer = asyncio.Event()

    async def answer(_request: web.Request) -> web.Response:
        await may_answer.wait()
        return web.Response(text="ok")

    async with backend(answer) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        try:
            writer.write(GET)
            request = await the_request(world, State.AWAIT_HEAD)
            may_answer.set()
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
            with pytest.raises(IllegalTransitionError):
                request.advance(Event.ANSWERED)
            writer.write(GET)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        finally:
            writer.close()
    assert 'illegal_transitions_total{event="ANSWERED",state="DONE"} 1.0' in await world.metrics()
