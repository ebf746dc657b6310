from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from aiohttp import web
from pydantic import BaseModel, ConfigDict

from headrace.common.contracts.problems import Problem, QuotaExceeded
from headrace.common.web.app import WebServer, make_app


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[httpx.AsyncClient]:
    server = WebServer(app, host="127.0.0.1", port=0)
    task = asyncio.create_task(server.run())
    await server.started.wait()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
        yield client
    server.stop()
    await task


def _app(error: Exception | None = None) -> web.Application:
    async def handler(request: web.Request) -> web.Response:
        if error is not None:
            raise error
        return web.json_response({"size": Body.model_validate_json(await request.read()).size})

    app = make_app(checks={"bus": lambda: "not connected"}, max_body_bytes=1000)
    app.router.add_post("/things", handler)
    return app


async def test_a_problem_becomes_problem_json_with_the_request_id() -> None:
    async with served(_app(QuotaExceeded("too much", slot="cpu", limit=1, requested=2))) as client:
        answer = await client.post("/things", headers={"X-Request-Id": "abc"})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "abc"
    assert answer.json() == {
        "type": "urn:headrace:problem:quota-exceeded", "title": "Quota exceeded", "status": 409, "detail": "too much",
        "slot": "cpu", "limit": 1, "requested": 2, "request_id": "abc",
    }  # fmt: skip


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
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    server.stop()
    await serving
