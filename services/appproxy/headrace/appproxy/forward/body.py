"""A caller's request body on its way to a replica: streamed, bounded, and kept for replay while it is small."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from headrace.appproxy.domain.retry import Sent
from headrace.common.contracts.problems import InvalidRequest, Problem, RequestTimeout, TooLarge

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestBody:
    """The body of one request. Each attempt reads it through its own `chunks()`; only the newest one gets anything.

    limit: largest size in bytes; keep: how many are held for replay; idle_s: longest wait for the caller's next bytes.
    """

    def __init__(self, request: web.BaseRequest, *, limit: int, keep: int, idle_s: float) -> None:
        self._request = request
        self._limit = limit
        self._keep = keep
        self._idle_s = idle_s
        self._kept: bytearray | None = bytearray()
        self._read = 0
        self._ended = False
        self._attempt = 0
        self._reading = asyncio.Lock()
        self._continue = request.headers.get("Expect", "").lower() == "100-continue" and request.version >= (1, 1)
        self._scope: asyncio.Timeout | None = None
        self._scope_s = 0.0
        self.exists = request.body_exists
        self.answered = False
        """Set once the answer's head went out: no `100 Continue` after that."""
        self.problem: Problem | None = None
        """Why the body could not be read, where that is the caller's doing."""
        if (request.content_length or 0) > limit:
            raise _too_large(limit)

    @property
    def sent(self) -> Sent:
        """What was read of it so far."""
        if not self._read:
            return "nothing"
        return "kept" if self._kept is not None else "gone"

    def keeps_alive(self, scope: asyncio.Timeout | None, seconds: float = 0.0) -> None:
        """Let each chunk that comes in start `scope` again with `seconds`: a replica need not answer while it is still being told."""
        self._scope, self._scope_s = scope, seconds

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body from its beginning. Raises the Problem that `problem` then holds."""
        self._attempt += 1
        mine = self._attempt
        if self._kept:
            yield bytes(self._kept)
        while True:
            async with self._reading:  # an attempt that was given up may still be letting go of the stream
                chunk = await self._next() if mine == self._attempt else b""
            if not chunk:
                return
            yield chunk

    async def _next(self) -> bytes:
        if self._ended:
            return b""
        try:
            if self._continue:
                self._continue = False
                if self.answered:
                    return b""
                await self._request.writer.write(_CONTINUE)
                self._request.writer.output_size = 0
            async with asyncio.timeout(self._idle_s):
                chunk = await self._request.content.readany()
        except TimeoutError:
            self.problem = RequestTimeout(
                f"no byte of the request body came for {self._idle_s:g} s", reason="caller-idle"
            )
        except (web.RequestPayloadError, HttpProcessingError):
            self.problem = InvalidRequest("the request body is not framed as its head says")
        else:
            self._account(chunk)
        if self.problem is not None:
            raise self.problem
        return chunk

    def _account(self, chunk: bytes) -> None:
        self._ended = not chunk
        self._read += len(chunk)
        if self._read > self._limit:
            self.problem = _too_large(self._limit)
        if self._kept is not None:
            self._kept = self._kept + chunk if self._read <= self._keep else None
        if self._scope is not None:
            with suppress(RuntimeError):  # it is expiring in this very moment
                self._scope.reschedule(asyncio.get_running_loop().time() + self._scope_s)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the request body is larger than {limit} bytes", reason="body-too-large", limit=limit)
