"""A real process that logs all it can is shown secrets in every way that callers have found: none is written down."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.messages.routes import RouteTable
from tests.support.factories.route_tables import Signer, route, table
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.appproxy import backend, raw_backend, raw_request, running

MARK = "zzS3CRETzz"
SIGNER = Signer()


@dataclass
class Process:
    """A running app-proxy, and what it has written."""

    port: int
    admin: int
    log: Path
    closed: RouteTable
    http: httpx.AsyncClient

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    """Serves `closed` (with tokens), `open` and `broken`, whose replica answers nonsense with a secret in it."""

    async def nonsense(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nSet-Cookie : {MARK}\r\n\r\n".encode())

    async with backend() as replica, raw_backend(nonsense) as broken:
        routes = (route(port=replica.port),)
        closed = table("closed", open_to_public=False, token_keys=(SIGNER.public,), routes=routes)
        async with running(tmp_path) as world:
            world.apply(closed)
            world.apply(table("open", routes=routes))
            world.apply(table("broken", routes=(route(port=broken.port),)))
        port, admin = free_port(), free_port()
        set_to = {
            "NATS_URL": "nats://127.0.0.1:1",
            "NATS_PASSWORD": MARK,
            "REDIS_URL": f"redis://:{MARK}@127.0.0.1:1/0",
            "LISTEN_HOST": "127.0.0.1",
            "LISTEN_PORT": port,
            "ADMIN_PORT": admin,
            "DATA_DIR": tmp_path,
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "debug",
            "ACCESS_LOG_SHARE": 1,
            "ERROR_LOG_LINES_PER_S": 10_000,
            "HEAD_TIMEOUT_S": 0.3,
            "CALLER_IDLE_TIMEOUT_S": 0.3,
            "DOMAIN": "models.test",
        }
        env = {**os.environ, **{f"HEADRACE_APPPROXY_{name}": str(value) for name, value in set_to.items()}}
        log = tmp_path / "log"
        with log.open("wb") as out:
            running_one = await asyncio.create_subprocess_exec(
                sys.executable, "-X", "dev", "-m", "headrace.appproxy", env=env, stdout=out, stderr=out
            )
        try:
            async with httpx.AsyncClient(verify=False, timeout=60) as http:
                one = Process(port, admin, log, closed, http)

                async def ready() -> bool:
                    try:
                        return (await http.get(f"http://127.0.0.1:{admin}/readyz")).status_code == 200
                    except httpx.ConnectError:
                        return False

                await eventually(ready)
                yield one
            running_one.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(running_one.wait(), 60) == 0
            assert MARK not in one.said(), "neither is one written at the end"
        finally:
            if running_one.returncode is None:
                running_one.kill()
                await running_one.wait()


def shown(closed: RouteTable) -> dict[str, str]:
    """Credentials, good and bad."""
    good, service = SIGNER.token(closed.service_id), closed.service_id
    return {
        "good": f"Bearer {good}",
        "good, by another name": f"BackendAI {good}",
        "expired": f"Bearer {SIGNER.token(service, lasts=timedelta(hours=-1))}",
        "foreign": f"Bearer {SIGNER.token(new_uuid())}",
        "forged": f"Bearer {Signer().token(service)}",
        "of another key": f"Bearer {Signer('k9').token(service)}",
        "cut": f"Bearer {good[:-9]}",
        "no token": f"Bearer {MARK}",
        "three parts": f"Bearer {MARK}.{MARK}.{MARK}",
        "no scheme": MARK,
        "unknown scheme": f"Digest {MARK}",
        "basic": f"Basic {_basic(f'robot:{MARK}')}",
        "basic without a colon": f"Basic {_basic(MARK)}",
        "basic, not encoded": f"Basic robot:{MARK}",
        "empty": "Bearer",
        "not ASCII": f"Bearer {MARK}\xff",
        "claims of the wrong kind": f"Bearer {SIGNER.token(service, exp=MARK)}",
    }


def _basic(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def marks(credentials: dict[str, str]) -> set[str]:
    """What must be written nowhere: the credentials, and each long part of a token."""
    parts = {part for one in credentials.values() for part in one.partition(" ")[2].split(".") if len(part) > 30}
    common = SIGNER.token(new_uuid()).partition(".")[0]  # the header of every token of this key: it says nothing
    return {MARK, *parts} - {common}


HOST = "Host: x\r\n"
RAW = {
    "query": f"GET /open/x?api_key={MARK} HTTP/1.1\r\n{HOST}\r\n",
    "query of nobody": f"GET /nobody?api_key={MARK} HTTP/1.1\r\n{HOST}\r\n",
    "user in the target": f"GET http://robot:{MARK}@x/open/x HTTP/1.1\r\n{HOST}\r\n",
    "user in the host": f"GET /open/x HTTP/1.1\r\nHost: robot:{MARK}@x\r\n\r\n",
    "authority as target": f"CONNECT robot:{MARK}@x:1 HTTP/1.1\r\n{HOST}\r\n",
    "fragment": f"GET /open/x#{MARK} HTTP/1.1\r\n{HOST}\r\n",
    "no path": f"GET robot:{MARK}@x HTTP/1.1\r\n{HOST}\r\n",
    "two credentials": f"GET /closed/ HTTP/1.1\r\n{HOST}Authorization: Bearer {MARK}\r\nAuthorization: Bearer {MARK}\r\n\r\n",
    "space before the colon": f"GET /closed/ HTTP/1.1\r\n{HOST}Authorization : Bearer {MARK}\r\n\r\n",
    "folded": f"GET /closed/ HTTP/1.1\r\n{HOST}Authorization:\r\n Bearer {MARK}\r\n\r\n",
    "control character": f"GET /closed/ HTTP/1.1\r\n{HOST}Authorization: Bearer {MARK}\0\r\n\r\n",
    "too large": f"GET /closed/ HTTP/1.1\r\n{HOST}Authorization: Bearer {MARK * 3000}\r\n\r\n",
    "as a method": f"{MARK} / HTTP/1.1\r\n{HOST}\r\n",
    "as a version": f"GET / {MARK}\r\n\r\n",
    "no HTTP": f"{MARK}\r\n\r\n",
    "head that stops": f"GET /closed/ HTTP/1.1\r\nAuthorization: Bearer {MARK}\r\n",
    "body that stops": f"POST /open/ HTTP/1.1\r\n{HOST}Content-Length: 99\r\n\r\n{MARK}",
    "bad chunk": f"POST /open/ HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{MARK}\r\n",
    "bad trailer": f"POST /open/ HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\nAuthorization {MARK}\r\n\r\n",
    "body of the fleet": f'POST /v1/chat/completions HTTP/1.1\r\n{HOST}Content-Length: 30\r\n\r\n{{"user": "{MARK}", "x"   }}',
    "token of the fleet": f"GET /v1/models HTTP/1.1\r\n{HOST}Authorization: Bearer {MARK}\r\n\r\n",
    "other fields": f"GET /open/ HTTP/1.1\r\n{HOST}Cookie: a={MARK}\r\nX-Api-Key: {MARK}\r\nProxy-Authorization: Basic {MARK}\r\n\r\n",
    "request id": f"GET /nobody HTTP/1.1\r\n{HOST}X-Request-Id: Bearer {MARK}\r\n\r\n",
    "websocket": f"GET /closed/?t={MARK} HTTP/1.1\r\n{HOST}Connection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: {MARK}\r\n\r\n",
    "replica's nonsense": f"GET /broken/x HTTP/1.1\r\n{HOST}Authorization: Bearer {MARK}\r\n\r\n",
}


async def test_no_secret_is_written_down(process: Process) -> None:
    credentials = shown(process.closed)
    base = f"http://127.0.0.1:{process.port}"
    for name, value in credentials.items():
        for path in ("/closed/x", "/open/x", "/broken/x", "/v1/models", "/nobody"):
            headers = [(b"Authorization", value.encode("latin-1"))]
            got = await process.http.get(f"{base}{path}", headers=headers)
            if path == "/closed/x":
                assert (got.status_code == 200) == name.startswith("good"), name
            if path != "/open/x":
                assert not any(mark in got.text for mark in marks(credentials)), (name, path)
    for name, raw in RAW.items():
        answer = await raw_request(process.port, raw.encode("latin-1"), until=b"\r\n")
        assert answer.startswith(b"HTTP/1.1 "), name
        if "stops" not in name:
            assert (await raw_request(process.admin, raw.encode("latin-1"), until=b"\r\n")).startswith(b"HTTP/1."), name
    pages = [
        (await process.http.get(f"http://127.0.0.1:{process.admin}{page}")).text for page in ("/metrics", "/routes")
    ]
    await eventually(lambda: process.said().count('"request_ended"') > 5 * len(credentials), what="requests are logged")
    await eventually(lambda: "bus_" in process.said())
    for mark in marks(credentials):
        assert mark not in process.said()
        assert all(mark not in page for page in pages)
