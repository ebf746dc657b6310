"""A replica that writes down which requests it runs: `python replica.py --port N [--host ADDRESS]`, with the journal in CHAOS_JOURNAL.

Every request carries an `id`. When it begins, `B <id> <session> <seconds>` is appended to the journal, before anything else of it is
done; when its answer has been written, `E …`. Lines are appended in one write each, by all replicas to one file; seconds are those
of the machine's monotonic clock. Uploaded into a model folder, so it needs nothing but aiohttp.

| address | what |
|---|---|
| `/get`, `/post` | one JSON answer, after `ms` milliseconds |
| `/v1/models`, `/v1/chat/completions` | the same for callers of the fleet's base URL |
| `/stream` | `events` events, `every_ms` apart, then `[DONE]` |
| `/ws` | every message back |
| `/health`, `/metrics` | 200, and how many requests are open |
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import WSMsgType, web

SESSION = os.environ.get("HEADRACE_SESSION_ID", "none")


class Journal:
    """Journal file of executed requests, and the number in progress."""

    def __init__(self, path: str) -> None:
        self.open = 0
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    @contextmanager
    def running(self, request: web.Request) -> Iterator[str]:
        """Write begin and end of the request, and yield its id."""
        name = request.query["id"]
        self._write("B", name)
        self.open += 1
        try:
            yield name
        finally:
            self.open -= 1
        self._write("E", name)

    def _write(self, what: str, name: str) -> None:
        os.write(self._file, f"{what} {name} {SESSION} {time.monotonic():.3f}\n".encode())


JOURNAL = web.AppKey("journal", Journal)


async def _whole(request: web.Request) -> web.StreamResponse:
    with request.app[JOURNAL].running(request) as name:
        digest = hashlib.sha256(await request.read()).hexdigest()
        await asyncio.sleep(int(request.query.get("ms", "30")) / 1000)
        answer = web.json_response({"id": name, "session": SESSION, "sha256": digest})
        await answer.prepare(request)
        await answer.write_eof()
    return answer


async def _stream(request: web.Request) -> web.StreamResponse:
    with request.app[JOURNAL].running(request) as name:
        await request.read()
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for number in range(int(request.query["events"])):
            await answer.write(f"data: {name} {number}\n\n".encode())
            await asyncio.sleep(int(request.query["every_ms"]) / 1000)
        await answer.write(b"data: [DONE]\n\n")
        await answer.write_eof()
    return answer


async def _socket(request: web.Request) -> web.StreamResponse:
    with request.app[JOURNAL].running(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
    return socket


async def _models(_: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "chaos", "object": "model"}]})


async def _health(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(text=f"# TYPE chaos_open gauge\nchaos_open {request.app[JOURNAL].open}\n")


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="A replica that writes down which requests it runs.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    given = parser.parse_args()
    app = web.Application(client_max_size=16 << 20)
    app[JOURNAL] = Journal(os.environ["CHAOS_JOURNAL"])
    app.router.add_get("/get", _whole)
    app.router.add_post("/post", _whole)
    app.router.add_post("/v1/chat/completions", _whole)
    app.router.add_post("/stream", _stream)
    app.router.add_get("/ws", _socket)
    app.router.add_get("/v1/models", _models)
    app.router.add_get("/health", _health)
    app.router.add_get("/metrics", _metrics)
    web.run_app(app, host=given.host, port=given.port, print=lambda *_: None, access_log=None)


if __name__ == "__main__":
    main()
