"""Callers who open connections and say nothing, or next to nothing, do not keep them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.worlds.appproxy import running


@pytest.mark.parametrize("drip", [b"", b"A: b\r\n"])
@pytest.mark.parametrize("head", [b"", b"GET /chat/x HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_that_does_not_end_is_not_waited_for(tmp_path: Path, head: bytes, drip: bytes) -> None:
    async with running(tmp_path, keepalive_timeout_s=0.3, head_timeout_s=0.3) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(head)

        async def dripping() -> None:
            while head and drip:
                writer.write(drip)
                await asyncio.sleep(0.05)

        feeding = asyncio.create_task(dripping())
        try:
            async with asyncio.timeout(60):
                told = await _all(reader)
                assert told.startswith(b"HTTP/1.1 408 ") if head else told == b""
        finally:
            feeding.cancel()
            writer.close()


async def _all(reader: asyncio.StreamReader) -> bytes:
    """Return what came until the end, however the connection ended."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
