"""Route of live events: a stream of server-sent events that tells what changes."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from aiohttp import web
from pydantic import StringConstraints

from headrace.common.contracts.http.live_events import MAX_EVENT_ID, LiveEnd, LiveReady, LiveReset
from headrace.common.contracts.problems import NotFound, TooManyRequests
from headrace.manager.api.installed import installed_version
from headrace.manager.api.routing import Call, Header, Query, Reference, Reply, Routes
from headrace.manager.domain.records.live_changes import LiveChange
from headrace.manager.usecases.followers import End, Follower, Ready, Told
from headrace.manager.views.live_events import live_change

routes = Routes("operation")
ALIVE_S: Final = 15.0
"""How often a stream that has nothing to tell says that it lives."""
TAKES_S: Final = 20.0
"""Longest time in which a reader takes what it was sent; what is on its way to it is at most 256 KiB then."""
LAST_WORD_S: Final = 5.0
"""Time in which it may still read why its stream ends."""
_RETRY = b"retry: 2000\n\n"
"""How long browsers wait before they connect anew, in milliseconds."""


class LiveQuery(Query):
    """Query parameters of live events."""

    project: Reference | None = None
    """Only changes in this project. Without it: all that the caller may see."""
    since: Annotated[str, StringConstraints(max_length=MAX_EVENT_ID)] | None = None
    """Id of the last event that is known: what came after it is told first."""
    follow: bool = True
    """Whether to go on with changes as they come. Without: what came after `since`, to the event `ready`."""


@routes.on(
    "GET",
    "/v1/events",
    query=LiveQuery,
    headers=(Header("Last-Event-ID", "Id of the last event that is known; it wins over `since`."),),
    replies={
        200: Reply(
            "Server-sent events: `change` (LiveChange), `ready` (LiveReady), `reset` (LiveReset), `end` (LiveEnd), `alive`.",
            media_type="text/event-stream",
        )
    },
    problems=(NotFound, TooManyRequests),
)
async def follow_events(call: Call) -> web.StreamResponse:
    """Follow what changes: services, folders, tokens and all else that the caller may see, as server-sent events.

    A change says what changed and nothing of how it is now: read it. A thing is told of at most four times a second. `reset`:
    changes may have been missed, read everything again. `alive` comes after 15 s without another event.
    """
    asked = call.query(LiveQuery)
    last_id = call.request.headers.get("Last-Event-ID") or asked.since
    async with call.use.live_events.follow(call.actor, project=asked.project, last_id=last_id or None) as follower:
        return await _stream(call.request, follower, follow=asked.follow)


async def _stream(request: web.Request, follower: Follower, *, follow: bool) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
    )
    response.headers["Cache-Control"] = "no-store"
    await response.prepare(request)
    data, ready = _RETRY, False
    while True:
        try:
            async with asyncio.timeout(TAKES_S):
                await response.write(data)
        except TimeoutError:
            return await _left(request, response, follower)
        except ConnectionError:  # the reader is gone
            return response
        if follower.over or (ready and not follow):
            await response.write_eof()
            return response
        told = await follower.next(ALIVE_S)
        data = b"".join(_event(event_id, one) for event_id, one in told)
        if not told:  # an event and no comment: browsers show comments to no script
            data = f"id: {follower.id}\nevent: alive\ndata: {{}}\n\n".encode()
        ready = ready or any(isinstance(one, Ready) for _, one in told)


async def _left(request: web.Request, response: web.StreamResponse, follower: Follower) -> web.StreamResponse:
    """End the stream of a reader that takes nothing. It may still read why; then its connection is closed, read or not."""
    follower.end("too-slow")
    transport = request.transport
    if transport is None:
        return response
    last = b"".join(_event(event_id, one) for event_id, one in await follower.next(0))
    try:
        async with asyncio.timeout(LAST_WORD_S):
            await response.write(last)
            await response.write_eof()
    except (TimeoutError, ConnectionError):
        transport.abort()
    return response


def _event(event_id: str, told: Told) -> bytes:
    if isinstance(told, LiveChange):
        name, data = "change", live_change(told).model_dump_json()
    elif isinstance(told, Ready):
        name, data = "ready", LiveReady(version=installed_version()).model_dump_json()
    elif isinstance(told, End):
        name, data = "end", LiveEnd(reason=told.reason, detail=told.detail).model_dump_json()
    else:
        name, data = "reset", LiveReset().model_dump_json()
    return f"id: {event_id}\nevent: {name}\ndata: {data}\n\n".encode()
