"""Callers with limits, and an engine that says what it cost."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import httpx
from aiohttp import web

from headrace.appproxy.dataplane.ratelimit.policy import DAY_S
from headrace.common.contracts.ids import ClientId, new_uuid
from headrace.common.contracts.messages.routes import NamedClient, RateLimits, RouteTable
from tests.support.factories.route_tables import route, table
from tests.support.worlds.appproxy import AppProxyWorld, Backend

NOON = 20_000 * DAY_S + DAY_S // 2
SECRET = "s" * 43


class Engine:
    """Replica that answers as the request's body asks: `status`, `usage`, `stream`; with `hold` not before `release`."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.held = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        asked: dict[str, Any] = json.loads(await request.read() or b"{}")
        if asked.get("hold"):
            self.held += 1
            try:
                await self.release.wait()
            finally:
                self.held -= 1
        if asked.get("crash"):
            assert request.transport is not None
            request.transport.abort()
        answer = {"choices": [], "usage": asked["usage"]} if "usage" in asked else {"choices": []}
        if not asked.get("stream"):
            return web.json_response(answer, status=asked.get("status", 200))
        events = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await events.prepare(request)
        for event in ({"choices": [{"delta": {"content": '"usage":{"prompt_tokens":7}'}}]}, answer):
            await events.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        await events.write(b"data: [DONE]\n\n")
        return events


def robot(limits: RateLimits, name: str = "robot") -> NamedClient:
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    return NamedClient(client_id=ClientId(new_uuid()), name=name, secret_sha256=digest, limits=limits)


def robots(replica: Backend, bound: RateLimits, **more: Any) -> RouteTable:
    """Return the table of a service with one client, `robot`."""
    return table("chat", open_to_public=False, clients=(robot(bound),), routes=(route(port=replica.port),), **more)


async def call(world: AppProxyWorld, *, user: str = "robot", **asked: Any) -> httpx.Response:
    return await world.http.post(f"{world.url}/chat/v1/completions", json=asked, auth=(user, SECRET))


def says(answer: httpx.Response) -> dict[str, str]:
    """Return status and rate limit fields of the answer, and the reason of a refusal."""
    shown = {
        name.removeprefix("x-ratelimit-"): value
        for name, value in answer.headers.items()
        if name.startswith(("x-ratelimit-", "x-headrace-limits", "retry-after"))
    }
    return {"status": str(answer.status_code), "reason": answer.json().get("reason", ""), **shown}


async def left(world: AppProxyWorld) -> int:
    """Return the client's remaining tokens, by a request that costs none."""
    answer = await world.http.get(f"{world.url}/chat/", auth=("robot", SECRET))
    assert answer.status_code == 200
    return int(answer.headers["x-ratelimit-remaining-tokens"])
