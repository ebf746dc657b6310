"""HTTP GET and TCP connect for health checks, with reuse of connections."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import lru_cache
from typing import cast

from yarl import URL

from headrace.agent.domain.answerhead import MAX_HEAD_BYTES, AnswerHead, NotHttpError, final_head

_MAX_BODY_BYTES = 64 * 1024
"""Longest body that is read to its end to keep the connection."""
_IDLE_S = 75.0
"""Longest idle time of a connection that is reused: the program may be about to close an older one."""


class ClosedError(ConnectionError):
    """The connection was closed before a complete response head."""


class _Connection(asyncio.Protocol):
    """Connection with at most one request in flight. Bytes after the response head are discarded."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._content = bytearray()
        self._answer: asyncio.Future[int] | None = None
        self._left: int | None = None
        """Bytes of the last response's body still to come; None: the connection takes no further request."""
        self._used_at_s = 0.0
        self.ended = asyncio.Event()
        self.spoke = False
        """Whether the program sent anything since the last request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._left = None
        self.ended.set()
        self._fail(ClosedError(str(exc or "closed")))

    def data_received(self, data: bytes) -> None:
        self.spoke = True
        if self._answer is None:
            if self._left is not None:
                self._left = self._left - len(data) if len(data) <= self._left else None
            return
        self._content += data
        if b"\n" not in data and len(data) < len(self._content) <= MAX_HEAD_BYTES:
            return  # no head ends here
        try:
            head = final_head(bytes(self._content))
        except NotHttpError as error:
            self._fail(error)
        else:
            if head is not None:
                self._take(head)

    def _take(self, head: AnswerHead) -> None:
        answer, self._answer = self._answer, None
        rest, self._content = len(self._content) - head.end, bytearray()
        body = head.body_bytes
        self._left = body - rest if body is not None and rest <= body <= _MAX_BODY_BYTES else None
        if answer is not None and not answer.done():
            answer.set_result(head.status)

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)

    async def ask(self, request: bytes) -> int:
        """Send the request and return the response's status. Raises ClosedError, NotHttpError."""
        if self._transport is None or self.ended.is_set():
            raise ClosedError("closed")
        self.spoke, self._left = False, None
        self._answer = self._loop.create_future()
        self._transport.write(request)
        status = await self._answer
        self._used_at_s = self._loop.time()
        return status

    @property
    def is_usable(self) -> bool:
        """Return whether the connection can be reused: the last response was complete, without excess bytes, and recent."""
        return self._left == 0 and self._loop.time() - self._used_at_s < _IDLE_S

    @property
    def may_become_usable(self) -> bool:
        """Return whether it can be reused now, or once the rest of the last response has arrived."""
        return self._left is not None

    def close(self) -> None:
        """Close the connection; a request in flight fails with ClosedError."""
        if self._transport is not None:
            (self._transport.close if self._answer is None else self._transport.abort)()


class Probes:
    """Probe client for programs at one host. Keeps at most one idle connection per port."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._idle: dict[int, _Connection] = {}

    async def get(self, port: int, path: str, *, kept: bool) -> int:
        """Return the status of a GET of `path`; `kept`: an idle connection may be reused, and the connection is kept.

        Raises ClosedError, NotHttpError and OSError. Has no timeout of its own.
        """
        request = _request(self._host, port, path, kept=kept)
        if kept and (connection := self._take(port)) is not None:
            with suppress(ClosedError):
                return await self._ask(connection, port, request, kept=True)
            if connection.spoke:
                raise ClosedError("closed")
            # The program closed it in the meantime, and did not hear the question.
        return await self._ask(await self._connect(port), port, request, kept=kept)

    async def touch(self, port: int, stays_s: float) -> bool:
        """Connect, and return whether the program keeps the connection open for `stays_s`, or sends something on it.

        Raises OSError.
        """
        connection = await self._connect(port)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(stays_s):
                    await connection.ended.wait()
            return connection.spoke or not connection.ended.is_set()
        finally:
            connection.close()

    def forget(self, port: int) -> None:
        """Close the idle connection to this port."""
        connection = self._idle.pop(port, None)
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Close all idle connections."""
        for port in tuple(self._idle):
            self.forget(port)

    async def _connect(self, port: int) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, self._host, port)
        return connection

    def _take(self, port: int) -> _Connection | None:
        connection = self._idle.pop(port, None)
        if connection is None or connection.is_usable:
            return connection
        connection.close()
        return None

    async def _ask(self, connection: _Connection, port: int, request: bytes, *, kept: bool) -> int:
        status: int | None = None
        try:
            status = await connection.ask(request)
        finally:
            if kept and status is not None and connection.may_become_usable and port not in self._idle:
                self._idle[port] = connection
            else:
                connection.close()
        return status


@lru_cache(maxsize=1024)
def _request(host: str, port: int, path: str, *, kept: bool) -> bytes:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    target = URL(f"http://{authority}{path}").raw_path_qs
    ends = "" if kept else "Connection: close\r\n"
    return (
        f"GET {target} HTTP/1.1\r\nHost: {authority}\r\nAccept: */*\r\nUser-Agent: headrace-agent\r\n{ends}\r\n".encode(
            "ascii"
        )
    )
