"""TLS in front of a server that speaks none, as stunnel does it: the servers' wheels are built without TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""What a client of PostgreSQL asks first; `S` is yes."""


@asynccontextmanager
async def tls_relay(port: int, target: int, context: ssl.SSLContext, *, postgres: bool = False) -> AsyncIterator[None]:
    """Accept TLS connections on 127.0.0.1:`port` and pass their content to `target`. `postgres`: after its question for TLS."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if postgres:
                assert await reader.readexactly(len(SSL_REQUEST)) == SSL_REQUEST, "the client did not ask for TLS"
                writer.write(b"S")
                await writer.start_tls(context)
            to_server = await asyncio.open_connection("127.0.0.1", target)
            await asyncio.gather(_copy(reader, to_server[1]), _copy(to_server[0], writer))
        except (OSError, EOFError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(relay, "127.0.0.1", port, ssl=None if postgres else context)
    try:
        yield
    finally:
        server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
