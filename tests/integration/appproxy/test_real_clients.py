"""The clients that people use: curl, the OpenAI SDK, httpx, aiohttp, websockets, a browser."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from openai import AsyncOpenAI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from tests.support.chromium import Page, chromium
from tests.support.factories.route_tables import route, table
from tests.support.nginx import installed
from tests.support.servers import ModelServer, model_server
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, Backend, backend

BIG = bytes(range(256)) * 3840
"""Just below the megabyte that the replica takes."""
DIGEST = hashlib.sha256(BIG).hexdigest()


async def serve(request: web.Request) -> web.StreamResponse:
    """What the clients ask for; each answer shows that the request came whole."""
    match request.path:
        case "/page":
            return web.Response(text="<!doctype html><title>page</title>", content_type="text/html")
        case "/gzip":
            body = gzip.compress(b"compressed")
            return web.Response(body=body, headers={"Content-Encoding": "gzip"})
        case "/events" | "/endless":
            return await _events(request)
        case "/socket":
            return await _socket(request)
    body = await request.read()
    return web.json_response(
        {
            "method": request.method,
            "sha256": hashlib.sha256(body).hexdigest(),
            "size": len(body),
            "authorization": request.headers.get("Authorization"),
            "chunked": request.headers.get("Transfer-Encoding"),
        }
    )


async def _events(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await answer.prepare(request)
    number = 0
    while number < 5 or request.path == "/endless":
        await answer.write(b"data: %d\n\n" % number)
        number += 1
        await asyncio.sleep(0.01)
    return answer


async def _socket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(max_msg_size=0)
    await socket.prepare(request)
    async for message in socket:
        if message.type == aiohttp.WSMsgType.TEXT and message.data == "close":
            await socket.close(code=4321, message=b"as you wish")
        elif message.type == aiohttp.WSMsgType.TEXT:
            await socket.send_str(message.data)
        else:
            await socket.send_bytes(message.data)
    return socket


@pytest.fixture
async def replica(world: AppProxyWorld) -> AsyncIterator[Backend]:
    """`chat` is served by `serve`."""
    async with backend(serve) as one:
        world.apply(table("chat", routes=(route(port=one.port),)))
        yield one


async def curl(*words: str) -> str:
    """Return what curl prints. AssertionError with its trace if it fails."""
    program = await asyncio.to_thread(installed, "curl", "curl")
    process = await asyncio.create_subprocess_exec(
        program,
        "-sS",
        "--fail-with-body",
        "--max-time",
        "20",
        "--noproxy",
        "*",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, (output + errors).decode()
    return output.decode()


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0", "--http2"])
async def test_curl_sends_and_gets_in_each_version(
    world: AppProxyWorld, replica: Backend, tmp_path: Path, version: str
) -> None:
    """`--http2` on a plain port asks for an upgrade to h2c, also with a body, and must be answered in HTTP/1.1."""
    big = tmp_path / "big"
    big.write_bytes(BIG)
    got = await curl(version, "--data-binary", f"@{big}", f"{world.url}/chat/x")
    assert DIGEST in got
    assert '"GET"' in await curl(version, f"{world.url}/chat/x")


@pytest.mark.parametrize("fields", [("-H", "Expect: 100-continue"), ("-H", "Transfer-Encoding: chunked")])
async def test_curl_uploads(world: AppProxyWorld, replica: Backend, tmp_path: Path, fields: tuple[str, ...]) -> None:
    big = tmp_path / "big"
    big.write_bytes(BIG)
    trace = tmp_path / "trace"
    got = await curl("-T", str(big), *fields, "--trace-ascii", str(trace), f"{world.url}/chat/x")
    assert DIGEST in got
    if "Expect: 100-continue" in fields:
        assert "100 Continue" in trace.read_text()


async def test_curl_compressed_user_and_head(world: AppProxyWorld, replica: Backend) -> None:
    assert await curl("--compressed", f"{world.url}/chat/gzip") == "compressed"
    got = await curl("-u", "user:secret", f"{world.url}/chat/x")
    assert base64.b64encode(b"user:secret").decode() in got or '"authorization": null' in got
    assert "200" in (await curl("-I", f"{world.url}/chat/x")).partition("\r\n")[0]


async def test_curl_reuses_its_connection(world: AppProxyWorld, replica: Backend) -> None:
    form = ["-w", "%{num_connects}\n", "-o", "/dev/null"]
    urls = [word for _ in range(5) for word in (*form, f"{world.url}/chat/x")]
    assert (await curl(*urls)).split() == ["1", "0", "0", "0", "0"]


@pytest.mark.parametrize("chunked", [True, False])
async def test_httpx_and_aiohttp_upload_and_stream(world: AppProxyWorld, replica: Backend, *, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(BIG), 100_000):
            yield BIG[at : at + 100_000]

    answer = (await world.http.post(f"{world.url}/chat/x", content=pieces() if chunked else BIG)).json()
    assert answer["sha256"] == DIGEST
    async with aiohttp.ClientSession() as session:
        data: Any = pieces() if chunked else BIG
        async with session.post(f"{world.url}/chat/x", data=data, expect100=chunked) as response:
            assert (await response.json())["sha256"] == DIGEST
        async with session.get(f"{world.url}/chat/events") as response:
            lines = [line async for line in response.content if line.strip()]
        assert lines == [b"data: %d\n" % n for n in range(5)]
    async with world.http.stream("GET", f"{world.url}/chat/events") as stream:
        assert [line async for line in stream.aiter_lines() if line] == [f"data: {n}" for n in range(5)]


async def test_websockets_echo_ping_and_close_codes(world: AppProxyWorld, replica: Backend) -> None:
    url = f"ws://127.0.0.1:{world.port}/chat/socket"
    async with connect(url, max_size=None, compression="deflate") as socket:
        for message in ("hello", BIG, "x" * 70_000, b""):
            await socket.send(message)
            assert await socket.recv() == message
        await (await socket.ping())
        await socket.send("close")
        with pytest.raises(ConnectionClosedError) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4321, "as you wish")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[ModelServer]:
    """The simulated engine."""
    command = ["-m", "headrace.engine", "--host", "127.0.0.1", "--port", "{port}", "--model-name", "m"]
    with model_server(command, tmp_path / "engine.log") as one:
        yield one


async def test_the_openai_sdk_chats_and_streams(world: AppProxyWorld, engine: ModelServer) -> None:
    world.apply(table("chat", routes=(route(port=engine.port),)))
    ask: Any = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
    async with AsyncOpenAI(base_url=f"{world.url}/chat/v1", api_key="none", max_retries=0, timeout=20) as client:
        assert [model.id async for model in client.models.list()] == ["m"]
        assert (await client.chat.completions.create(**ask)).choices[0].message.content
        chunks = [chunk async for chunk in await client.chat.completions.create(**ask, stream=True)]
        assert chunks[-1].choices == [] or chunks[-1].choices[0].finish_reason
        assert len(chunks) >= 5


@pytest.fixture
async def page(world: AppProxyWorld, replica: Backend, tmp_path: Path) -> AsyncIterator[Page]:
    """A browser on a page that the replica itself serves, so that everything is of one origin."""
    async with chromium(tmp_path) as tab:
        await tab.open(f"{world.url}/chat/page")
        yield tab


_STREAM = """(async () => {
  const reader = (await fetch('events')).body.getReader(); let text = '';
  for (;;) { const {done, value} = await reader.read(); if (done) return text; text += new TextDecoder().decode(value); }
})()"""
_EVENTS = """new Promise(done => { const got = [], source = new EventSource('events');
  source.onmessage = e => { got.push(e.data); if (got.length == 5) { source.close(); done(got); } } })"""
_ABORT = """(async () => { const stop = new AbortController();
  const reader = (await fetch('endless', {signal: stop.signal})).body.getReader(); await reader.read(); stop.abort();
  try { await reader.read(); return 'went on'; } catch (e) { return e.name; } })()"""
_POST = """(async () => (await (await fetch('x', {method: 'POST', body: new Uint8Array(100000)})).json()).size)()"""


async def test_a_browser_fetches_streams_and_leaves(page: Page, world: AppProxyWorld, replica: Backend) -> None:
    assert await page.run(_POST) == 100_000
    assert await page.run(_STREAM) == "".join(f"data: {n}\n\n" for n in range(5))
    assert await page.run(_EVENTS) == ["0", "1", "2", "3", "4"]
    replica.cancelled.clear()
    assert await page.run(_ABORT) == "AbortError"
    await eventually(replica.cancelled.is_set, what="the replica is told that the browser left")
