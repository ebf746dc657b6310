"""After `101 Switching Protocols`: bytes both ways, as they come. Frames, pings, close codes and extensions stay the peers' own."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_writer import StreamWriter
from multidict import CIMultiDict

from headrace.appproxy.domain.headers import to_caller
from headrace.appproxy.forward.relay import Relayed
from headrace.appproxy.record import Record

_HIGH_WATER = 64 * 1024


class _Inlet:
    """What one side sends, as aiohttp hands it over: its protocols feed a 'parser' once a connection is upgraded."""

    def __init__(self, protocol: BaseProtocol) -> None:
        self._protocol = protocol
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        self._arrived = asyncio.Event()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._chunks.append(bytes(data))
        self._size += len(data)
        self._arrived.set()
        if self._size > _HIGH_WATER and not self._paused:
            self._paused = True
            self._protocol.pause_reading()
        return False, b""

    def feed_eof(self) -> None:
        self._ended = True
        self._arrived.set()

    def take(self) -> bytes:
        """Return everything that waits, possibly nothing."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if self._paused and not self._ended:
            self._paused = False
            self._protocol.resume_reading()
        return data

    async def read(self) -> bytes:
        """Return what came, waiting for the first byte; nothing at the end."""
        while not self._chunks and not self._ended:
            self._arrived.clear()
            await self._arrived.wait()
        return self.take()


async def tunnel(
    request: web.BaseRequest, response: aiohttp.ClientResponse, record: Record, *, idle_s: float
) -> web.StreamResponse:
    """Answer 101 and pass bytes until one side ends, or neither sends anything for `idle_s`.

    An end is passed on after everything that came before it. Raises ConnectionError when the caller is gone.
    """
    head = Relayed(
        status=101,
        reason=response.reason,
        headers=CIMultiDict(to_caller(response.headers.items(), request_id=record.request_id, upgrade=True)),
    )
    head.force_close()  # what follows is not HTTP
    record.status, record.upgraded = 101, True
    await head.prepare(request)
    record.head = head
    near, far = request.protocol, response.connection.protocol if response.connection else None
    if far is None:
        raise ConnectionResetError("the replica closed the connection right after it had switched protocols")
    from_caller, from_replica = _Inlet(near), _Inlet(far)
    loop = asyncio.get_running_loop()
    to_near, to_far = StreamWriter(near, loop), StreamWriter(far, loop)
    parsers: Any = from_caller, from_replica
    near.set_parser(parsers[0])
    far.set_parser(parsers[1], None)
    try:
        async with asyncio.timeout(idle_s) as scope:
            ends = [
                asyncio.create_task(_copy(from_caller, to_far, scope, idle_s)),
                asyncio.create_task(_copy(from_replica, to_near, scope, idle_s)),
            ]
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for end in ends:
                    end.cancel()
                await asyncio.gather(*ends, return_exceptions=True)
    except TimeoutError:
        record.broken = "idle-timeout"
    finally:
        # What a side sent just before it ended (a close frame) still goes to the other, whose transport flushes as it closes.
        _hand_over(from_caller, far)
        _hand_over(from_replica, near)
        record.bytes_sent = to_near.output_size
    if request.transport is not None:
        request.transport.close()
    return head


async def _copy(inlet: _Inlet, writer: StreamWriter, scope: asyncio.Timeout, idle_s: float) -> None:
    while data := await inlet.read():
        scope.reschedule(writer.loop.time() + idle_s)
        await writer.write(data)


def _hand_over(inlet: _Inlet, protocol: BaseProtocol) -> None:
    data = inlet.take()
    if data and protocol.transport is not None and not protocol.transport.is_closing():
        protocol.transport.write(data)
