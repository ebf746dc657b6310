"""A replica's answer on its way to the caller: byte for byte as it comes, and never a clean end to a broken answer."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from headrace.appproxy.domain.headers import to_caller
from headrace.appproxy.forward.body import RequestBody
from headrace.appproxy.record import Record
from headrace.common.contracts.problems import Problem, Unavailable, UpstreamFailed, UpstreamTimeout

_FLUSH_S = 5.0


def interruption(why: str) -> Problem:
    """Return what the caller is told of an answer that ended for the reason `why`."""
    match why:
        case "idle-timeout":
            return UpstreamTimeout("the replica sent nothing for too long", reason=why)
        case "caller-stalled":
            return UpstreamFailed("the caller did not take the answer", reason=why)
        case "shutting-down":
            return Unavailable("this app-proxy is stopping", reason=why)
        case _:
            return UpstreamFailed("the replica's answer broke off", reason=why)


class Relayed(web.StreamResponse):
    """An answer that gets no header that the replica did not send, beside Date and what frames it."""

    takes_events = False
    """Whether this is an event stream into which an event may be put."""

    async def _prepare_headers(self) -> None:
        typed, named = "Content-Type" in self.headers, "Server" in self.headers
        await super()._prepare_headers()
        if not typed:
            self.headers.popall("Content-Type", None)
        if not named:
            self.headers.popall("Server", None)


async def relay(
    request: web.BaseRequest,
    response: aiohttp.ClientResponse,
    record: Record,
    body: RequestBody,
    *,
    idle_s: float,
    stall_s: float,
    close: bool,
    replica: str,
    prefix: str,
) -> Relayed:
    """Pass the whole answer on. On return it was finished or broken off; `record` says which.

    idle_s: longest pause of the replica; stall_s: of the caller. `close`: let the answer be the last on the caller's connection.
    `replica`, `prefix`: redirects to the one lead below the other.
    Raises ConnectionError when the caller is gone.
    """
    head = Relayed(
        status=response.status,
        reason=response.reason,
        headers=CIMultiDict(
            to_caller(response.headers.items(), request_id=record.request_id, replica=replica, prefix=prefix)
        ),
    )
    if close:
        head.force_close()
    head.takes_events = (
        response.content_type == "text/event-stream"
        and "Content-Length" not in head.headers
        and "Content-Encoding" not in head.headers
    )
    body.answered = True
    record.status = response.status
    try:
        await head.prepare(request)
    except UnicodeEncodeError:
        raise UpstreamFailed("the replica sent a header that is not UTF-8", reason="bad-response") from None
    record.head = head
    if why := await _copy(response.content, head, record, body, idle_s=idle_s, stall_s=stall_s):
        await break_off(request, head, record, why)
    return head


async def _copy(
    content: aiohttp.StreamReader, head: Relayed, record: Record, body: RequestBody, *, idle_s: float, stall_s: float
) -> str:
    """Copy until the end. Return why it broke off, or nothing."""
    now = asyncio.get_running_loop().time
    waits_for = "replica"
    try:
        async with asyncio.timeout(idle_s) as scope:
            body.keeps_alive(scope, idle_s)
            while True:
                try:
                    chunk = await content.readany()
                except (aiohttp.ClientError, ConnectionError):
                    return "connection-lost"
                if record.first_byte_s is None:
                    record.first_byte_s = time.monotonic() - record.started_s
                if not chunk:
                    return ""
                waits_for = "caller"
                scope.reschedule(now() + stall_s)
                await head.write(chunk)
                record.bytes_sent += len(chunk)
                waits_for = "replica"
                scope.reschedule(now() + idle_s)
    except TimeoutError:
        return "idle-timeout" if waits_for == "replica" else "caller-stalled"
    finally:
        body.keeps_alive(None)


async def break_off(request: web.BaseRequest, head: Relayed, record: Record, why: str) -> None:
    """End an answer that cannot be finished so that nobody can take it for whole.

    An event stream gets an `event: error` first (with an `error` member, which OpenAI clients raise). Then the connection ends:
    chunked and counted bodies show the loss by themselves; a body that lasts until the close is reset.
    """
    record.broken = why
    transport = request.transport
    if transport is None:
        return
    if why == "caller-stalled":
        transport.abort()
        return
    if head.takes_events:
        with suppress(ConnectionError):
            await head.write(_event(why, record))
    if "Transfer-Encoding" not in head.headers and "Content-Length" not in head.headers:
        raw: Any = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.close()  # flushes what was written, and writes no last chunk
    asyncio.get_running_loop().call_later(_FLUSH_S, transport.abort)


def _event(why: str, record: Record) -> bytes:
    problem = interruption(why)
    error = {
        "message": problem.detail, "type": problem.type, "param": None, "code": why, "request_id": record.request_id,
    }  # fmt: skip
    # The blank line first ends whatever the replica left unfinished; where it had finished, it means nothing.
    return b"\n\nevent: error\ndata: " + json.dumps({"error": error}).encode() + b"\n\n"
