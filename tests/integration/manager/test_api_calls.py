"""Services called through the manager: streamed, ended with their caller, bounded, and inert in a browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web

from headrace.common.contracts.problems import UpstreamFailed
from headrace.common.db.pool import Pool
from headrace.manager.endpoints import HttpEndpoints
from headrace.manager.usecases.calls import MAX_CALLS_PER_USER
from tests.support.api import Api
from tests.support.wait import eventually
from tests.support.worlds.manager_api import ManagerApi, serving

CALL = "/v1/services/owl/call/v1/chat/completions"


class Endpoint:
    """Stands for app-proxy and engine: what it was asked, and an answer that goes on when it is told to."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.go_on = asyncio.Event()
        self.ended = 0
        self.status = 200

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self.bodies.append(await request.read())
        if self.status != 200:
            return web.json_response({"error": {"message": "no such model"}}, status=self.status)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "X-Request-Id": "abc", "Set-Cookie": "a=b", "X-Other": "1"}
        )
        await response.prepare(request)
        try:
            await response.write(b"data: one\n\n")
            await self.go_on.wait()
            await response.write(b"data: two\n\n")
        finally:
            self.ended += 1
        return response


@asynccontextmanager
async def running(endpoint: Endpoint) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", endpoint.handle)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        endpoint.go_on.set()
        await runner.cleanup()


@pytest.fixture
async def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
async def api(pool: Pool, tmp_path: Path, endpoint: Endpoint) -> AsyncIterator[ManagerApi]:
    async with running(endpoint) as url, serving(pool, tmp_path, proxy_url=url) as api:
        await api.admin.call("POST", "/v1/services", {"name": "owl", "runtime": "cmd"})
        yield api


async def test_an_answer_comes_as_it_is_sent_and_with_a_token_of_this_service_alone(
    api: ManagerApi, endpoint: Endpoint
) -> None:
    service = await api.admin.call("GET", "/v1/services/owl")
    async with api.admin.http.stream("POST", CALL, json={"a": 1}) as answer:
        pieces = answer.aiter_bytes()
        assert await anext(pieces) == b"data: one\n\n"
        endpoint.go_on.set()
        assert await anext(pieces) == b"data: two\n\n"
    assert (endpoint.asked[0].path, json.loads(endpoint.bodies[0])) == ("/owl/v1/chat/completions", {"a": 1})
    token = endpoint.asked[0].headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["exp"] - claims["iat"]) == (service["id"], 300)
    assert api.admin.key not in str(endpoint.asked[0].headers)


async def test_what_a_model_writes_is_no_page_of_the_managers_origin(api: ManagerApi, endpoint: Endpoint) -> None:
    endpoint.go_on.set()
    answer = await api.admin.http.post(CALL, json={})
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer.headers["Content-Disposition"] == "attachment"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Headrace-Call-Id"] == "abc"
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert "Set-Cookie" not in answer.headers
    assert "X-Other" not in answer.headers


async def test_a_call_ends_at_the_service_when_its_caller_goes_away(api: ManagerApi, endpoint: Endpoint) -> None:
    async with api.admin.http.stream("POST", CALL, json={}) as answer:
        assert await anext(answer.aiter_bytes()) == b"data: one\n\n"
        assert endpoint.ended == 0

    async def ended() -> bool:
        return endpoint.ended == 1

    await eventually(ended)


async def test_what_the_service_refuses_is_told_with_its_status_and_words(api: ManagerApi, endpoint: Endpoint) -> None:
    endpoint.status = 404
    refused = await api.admin.call("POST", CALL, {}, expect=502)
    assert (refused["answered"], refused["detail"]) == (404, "the service answered 404: no such model")


async def test_a_service_that_cannot_be_reached_is_told_as_such(pool: Pool, tmp_path: Path) -> None:
    async with running(Endpoint()) as url:
        pass
    async with serving(pool, tmp_path, proxy_url=url) as api:
        await api.admin.call("POST", "/v1/services", {"name": "owl", "runtime": "cmd"})
        refused = await api.admin.call("POST", CALL, {}, expect=502)
    assert refused["type"] == "urn:headrace:problem:upstream-failed"
    assert url in refused["detail"]


async def test_authorities_that_cannot_be_read_are_told_as_such(tmp_path: Path) -> None:
    endpoints = HttpEndpoints("https://127.0.0.1:9", tmp_path / "none.crt")
    with pytest.raises(UpstreamFailed, match="ca_file cannot be used"):
        async with endpoints.post("owl", "v1/x", b"{}", "token"):
            pass


async def test_a_failure_of_the_caller_is_not_told_as_one_of_the_service(endpoint: Endpoint) -> None:
    async with running(endpoint) as url:
        with pytest.raises(ConnectionResetError, match="the caller"):
            async with HttpEndpoints(url, None).post("owl", "v1/x", b"{}", "token"):
                raise ConnectionResetError("the caller is gone")

        async def ended() -> bool:
            return endpoint.ended == 1

        await eventually(ended)


async def test_viewers_and_strangers_may_not_call(api: ManagerApi, endpoint: Endpoint) -> None:
    viewer, stranger = await api.user("vera"), await api.user("sam")
    await api.admin.call("PUT", "/v1/projects/default/members/vera", {"role": "viewer"})
    await viewer.call("POST", CALL, {}, expect=403)
    await stranger.call("POST", CALL, {}, expect=404)
    assert endpoint.asked == []


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [(b"x" * (4 * 2**20 + 1), "application/json", 413), (b"a=b", "application/x-www-form-urlencoded", 415)],
)
async def test_only_json_of_bounded_size_is_relayed(
    api: ManagerApi, endpoint: Endpoint, content: bytes, content_type: str, status: int
) -> None:
    answer = await api.admin.http.post(CALL, content=content, headers={"Content-Type": content_type})
    assert (answer.status_code, endpoint.asked) == (status, [])


@pytest.mark.parametrize("path", ["../../admin/x", "%2e%2e/%2e%2e/admin", "/evil.example/x", "v1/./x", "v1/"])
async def test_a_path_that_could_leave_the_service_is_refused(api: ManagerApi, endpoint: Endpoint, path: str) -> None:
    assert b" 400 " in await _raw(api.admin, f"/v1/services/owl/call/{path}")
    assert endpoint.asked == []


async def test_what_would_end_a_path_is_sent_as_part_of_it(api: ManagerApi, endpoint: Endpoint) -> None:
    endpoint.go_on.set()
    await _raw(api.admin, "/v1/services/owl/call/a%23b%3Fc")
    assert [request.raw_path for request in endpoint.asked] == ["/owl/a%23b%3Fc"]


async def test_open_calls_of_a_user_are_bounded(api: ManagerApi, endpoint: Endpoint) -> None:
    async def opened() -> Any:
        async with api.admin.http.stream("POST", CALL, json={}) as answer:
            return [piece async for piece in answer.aiter_bytes()]

    calls = [asyncio.create_task(opened()) for _ in range(MAX_CALLS_PER_USER)]

    async def all_open() -> bool:
        return len(endpoint.asked) == MAX_CALLS_PER_USER

    await eventually(all_open)
    refused = await api.admin.call("POST", CALL, {}, expect=429)
    assert f"{MAX_CALLS_PER_USER} calls of yours" in refused["detail"]
    endpoint.go_on.set()
    await asyncio.gather(*calls)
    await api.admin.http.post(CALL, json={})


async def _raw(caller: Api, path: str) -> bytes:
    """Send a path as it is, which no client library does, and return the head's first line."""
    host, port = caller.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {caller.key}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())
    line = await reader.readline()
    await reader.read()
    writer.close()
    await writer.wait_closed()
    return line
