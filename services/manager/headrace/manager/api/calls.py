"""Routes of calls: services called through the manager."""

from __future__ import annotations

import asyncio

import structlog
from aiohttp import web

from headrace.common.contracts.problems import (
    Problem,
    TooLarge,
    TooManyRequests,
    UnsupportedMediaType,
    UpstreamFailed,
    UpstreamTimeout,
)
from headrace.manager.api.routing import JSON, Call, Header, Reply, Routes
from headrace.manager.api.uploads import body_parts

MAX_CALL_BYTES = 4 * 2**20
_READER_S = 60.0
"""Longest time in which the caller reads nothing."""
_INERT = {
    "Cache-Control": "no-store",
    "Content-Disposition": "attachment",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}
"""What a model writes is shown by no browser as a page of the manager's origin."""

log = structlog.get_logger()
routes = Routes("services")


@routes.on(
    "POST",
    "/v1/services/{service}/call/{path:.+}",
    raw_body=JSON,
    replies={
        200: Reply(
            "What the service answers, as it comes.",
            media_type="*/*",
            headers=(Header("X-Headrace-Call-Id", "Request id of the call at the app-proxy"),),
        )
    },
    problems=(TooLarge, TooManyRequests, UpstreamFailed, UpstreamTimeout),
)
async def call_service(call: Call) -> web.StreamResponse:
    """Call a service through the manager, without a token of the service (members): JSON to a path of its endpoint.

    The media type is the service's. An answer that is no success is a problem `upstream-failed` with the service's status
    as `answered`. The call ends at the service when its caller goes away.
    """
    body = await _body(call.request)
    async with call.use.calls.post(call.actor, call["service"], call["path"], body) as answer:
        headers = {"Content-Type": answer.content_type, "X-Headrace-Call-Id": answer.request_id, **_INERT}
        response = web.StreamResponse(headers=headers)
        await response.prepare(call.request)
        try:
            async for piece in answer.pieces:
                async with asyncio.timeout(_READER_S):
                    await response.write(piece)
        except (Problem, TimeoutError) as error:
            log.warning("call_aborted", service=call["service"], error=str(error) or "the reader did not go on")
            if call.request.transport is not None:
                call.request.transport.abort()  # an orderly end would look like a whole answer
            return response
        await response.write_eof()
    return response


async def _body(request: web.Request) -> bytes:
    if request.content_type != JSON:
        raise UnsupportedMediaType(f"Content-Type: found {request.content_type[:80]}; allowed: {JSON}")
    body = bytearray()
    async for part in body_parts(request):
        body += part
        if len(body) > MAX_CALL_BYTES:
            raise TooLarge(f"the body has more than {MAX_CALL_BYTES} bytes", limit=MAX_CALL_BYTES)
    return bytes(body)
