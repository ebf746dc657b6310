"""Replica that streams numbered events, in this process or as one of its own: `python -m tests.chaos.engine --port N`.

`/stream?events=40&every_ms=50` answers `data: 0` to `data: 39`, then `data: [DONE]`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from contextlib import suppress

import uvloop

THINKS_S = 0.03
"""From a request to the first byte of its answer, so that some die in between."""
_ASKED = re.compile(rb" /stream\?events=(\d+)&every_ms=(\d+) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _event(text: bytes) -> bytes:
    data = b"data: %b\n\n" % text
    return b"%x\r\n%b\r\n" % (len(data), data)


class Engine:
    """Streaming replica."""

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server
        self._open: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.WriteTransport] = set()

    async def start(self, port: int = 0) -> None:
        """Listen; on a free port if none is given."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    def kill(self) -> None:
        """Stop like a killed process: close the listener, and reset or close every connection at once."""
        self._server.close()
        for transport in list(self._transports):
            transport.abort()

    async def stop(self) -> None:
        """Shut down, and clean up."""
        self.kill()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self._transports.add(writer.transport)
        try:
            # CancelledError: the callback that asyncio.start_server puts on this task would log it.
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    await self._one(reader, writer)
        finally:
            self._open.discard(task)
            self._transports.discard(writer.transport)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked, length = _ASKED.search(head), _LENGTH.search(head)
        assert asked is not None, head
        await reader.readexactly(int(length[1]) if length else 0)
        await asyncio.sleep(THINKS_S)
        await _send(writer, _HEAD)
        for number in range(int(asked[1])):
            await _send(writer, _event(b"%d" % number))
            await asyncio.sleep(int(asked[2]) / 1000)
        await _send(writer, _event(b"[DONE]") + b"0\r\n\r\n")


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    if writer.is_closing():
        raise ConnectionResetError
    writer.write(data)
    await writer.drain()


async def _main(port: int) -> None:
    await Engine().start(port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A replica that streams numbered events.")
    parser.add_argument("--port", type=int, required=True)
    with suppress(KeyboardInterrupt):
        uvloop.run(_main(parser.parse_args().port))
    sys.exit(0)
