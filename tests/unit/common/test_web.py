from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import uvloop
from aiohttp import web
from pydantic import BaseModel, ConfigDict

from headrace.common.contracts.problems import Problem, QuotaExceeded
from headrace.common.contracts.readiness import ManagerCheck
from headrace.common.web.app import WebServer, make_app


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[httpx.AsyncClient]:
    server = WebServer(app, host="127.0.0.1", port=0)
    task = asyncio.create_task(server.run())
    await server.started.wait()
    async with httpx.AsyncClient(verify=False, timeout=60, base_url=f"http://127.0.0.1:{server.port}") as client:
        yield client
    server.stop()
    await task


def _app(error: Exception | None = None) -> web.Application:
    async def handler(request: web.Request) -> web.Response:
        if error is not None:
            raise error
        return web.json_response({"size": Body.model_validate_json(await request.read()).size})

    app = make_app(checks={ManagerCheck.BUS: lambda: "not connected"}, max_body_bytes=1000)
    app.router.add_post("/things", handler)
    return app


async def test_a_problem_becomes_problem_json_with_the_request_id() -> None:
    async with served(_app(QuotaExceeded("too much", slot="cpu", limit=1, requested=2))) as client:
        answer = await client.post("/things", headers={"X-Request-Id": "abc"})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "abc"
    assert answer.json() == {
        "type": "urn:headrace:problem:quota-exceeded",
        "title": "Quota exceeded",
        "status": 409,
        "detail": "too much",
        "slot": "cpu",
        "limit": 1,
        "requested": 2,
        "request_id": "abc",
    }


async def test_what_a_handler_cannot_read_of_its_own_is_not_the_callers_mistake() -> None:
    async with served(_app()) as client:
        answer = await client.post("/things", content=b'{"size":"big","colour":1}')
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:headrace:problem:internal-error")
    assert "colour" not in answer.text


async def test_an_unknown_error_shows_nothing_of_itself() -> None:
    async with served(_app(RuntimeError("password=hunter2"))) as client:
        answer = await client.post("/things")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert answer.json()["type"] == "urn:headrace:problem:internal-error"


async def test_paths_methods_and_sizes_are_refused_as_problems() -> None:
    async with served(_app()) as client:
        assert (await client.get("/nowhere")).json()["type"] == "urn:headrace:problem:not-found"
        wrong = await client.get("/things")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
        assert (await client.post("/things", content=b"x" * 2000)).json()["type"] == "urn:headrace:problem:too-large"


async def test_health_pages() -> None:
    async with served(_app()) as client:
        assert (await client.get("/livez")).status_code == 200
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["failing"]) == (503, {"bus": "not connected"})
        assert "headrace_http_request_seconds" in (await client.get("/metrics")).text


async def test_a_request_id_from_outside_cannot_inject() -> None:
    async with served(_app(Problem("x"))) as client:
        answer = await client.post("/things", headers={"X-Request-Id": "a b<script>"})
    assert answer.headers["x-request-id"] != "a b<script>"


@pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_that_does_not_end_is_not_waited_for(head: bytes) -> None:
    server = WebServer(make_app(), host="127.0.0.1", port=0, idle_s=0.2)
    serving = asyncio.create_task(server.run())
    await server.started.wait()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head)
    async with asyncio.timeout(60):
        assert await reader.read() == b""
    writer.close()
    server.stop()
    await serving


async def _answer(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(60):
        read = await reader.read()
    writer.close()
    return read


async def test_a_head_that_does_not_come_whole_is_answered_408() -> None:
    server = WebServer(make_app(), host="127.0.0.1", port=0, head_s=0.2)
    serving = asyncio.create_task(server.run())
    await server.started.wait()
    assert b" 408 " in await _answer(server.port, b"GET /livez HTTP/1.1\r\nHost: x\r\n")
    whole = await _answer(server.port, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert whole.startswith(b"HTTP/1.1 200 ")
    server.stop()
    await serving


@pytest.mark.parametrize(
    ("sent", "allowed"),
    [
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret" + b"x" * 9000 + b"\r\n\r\n",
            "at most 8190 bytes",
        ),
        (b"GET /" + b"x" * 140_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "a request line of at most 131072"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization secret\r\n\r\n", "RFC 9112"),
        (b"\x16\x03\x01secret\r\n\r\n", "RFC 9112"),
    ],
)
async def test_bytes_that_cannot_be_read_are_refused_as_problems_and_not_repeated(sent: bytes, allowed: str) -> None:
    async with served(make_app()) as client:
        answer = await _answer(client.base_url.port or 0, sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"Content-Type: application/problem+json" in head
    (error,) = json.loads(body)["errors"]
    assert allowed in error["allowed"]
    assert b"secret" not in answer


async def test_half_sent_requests_keep_nobody_out() -> None:
    server = WebServer(make_app(), host="127.0.0.1", port=0, max_connections=20)
    serving = asyncio.create_task(server.run())
    await server.started.wait()
    halves = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(60)]
    for _, writer in halves:
        writer.write(b"GET /livez HTTP/1.1\r\n")
    async with httpx.AsyncClient(verify=False, timeout=60, base_url=f"http://127.0.0.1:{server.port}") as client:
        assert [(await client.get("/livez")).status_code for _ in range(5)] == [200] * 5
    first = await asyncio.wait_for(halves[0][0].read(), 60)
    assert first.startswith(b"HTTP/1.1 503 ")
    assert b"too-many-connections" in first
    for _, writer in halves:
        writer.close()
    server.stop()
    await serving


async def test_when_all_connections_have_a_request_in_hand_a_new_one_is_answered_503() -> None:
    go, waiting = asyncio.Event(), asyncio.Semaphore(0)

    async def slow(_: web.Request) -> web.Response:
        waiting.release()
        await go.wait()
        return web.Response()

    app = make_app()
    app.router.add_get("/slow", slow)
    server = WebServer(app, host="127.0.0.1", port=0, max_connections=16)
    serving = asyncio.create_task(server.run())
    await server.started.wait()
    request = b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    slows = [asyncio.create_task(_answer(server.port, request)) for _ in range(16)]
    for _ in slows:
        await waiting.acquire()
    assert (await _answer(server.port, b"")).startswith(b"HTTP/1.1 503 ")
    go.set()
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in await asyncio.gather(*slows))
    server.stop()
    await serving


def test_the_event_loop_of_the_services_serves() -> None:
    """uvloop's transports are no subclass of asyncio's."""

    async def ask() -> int:
        server = WebServer(make_app(), host="127.0.0.1", port=0)
        running = asyncio.create_task(server.run())
        await server.started.wait()
        async with httpx.AsyncClient(verify=False, timeout=60) as http:
            status = (await http.get(f"http://127.0.0.1:{server.port}/livez")).status_code
        server.stop()
        await running
        return status

    assert uvloop.run(ask()) == 200


async def test_a_caller_that_does_not_take_its_answer_makes_room_at_once() -> None:
    """Its connection would stay open behind the books for as long as it likes, and file descriptors with it."""
    app, whole = make_app(), 64 * 2**20

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=bytes(whole))

    app.router.add_get("/large", large)
    server = WebServer(app, host="127.0.0.1", port=0, max_connections=16, drain_s=0.1)
    serving = asyncio.create_task(server.run())
    await server.started.wait()
    slow, asking = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    asking.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    await slow.readline()
    others = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(15)]
    assert (await _answer(server.port, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))[9:12] == b"200"
    taken = 0
    with suppress(ConnectionError):
        while some := await asyncio.wait_for(slow.read(2**20), 60):
            taken += len(some)
    assert taken < whole
    for writer in (asking, *(other for _, other in others)):
        writer.close()
    server.stop()
    await serving
