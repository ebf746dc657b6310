"""Decoders of the engine's streams: multiplexed output, and JSON lines."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

MAX_LINE = 64 * 1024
_HEADER = 8


async def frames(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """Yield (1 stdout | 2 stderr, bytes) of a multiplexed stream: type, three zeros, big-endian length, content."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        while len(buffer) >= _HEADER:
            end = _HEADER + int.from_bytes(buffer[4:_HEADER], "big")
            if len(buffer) < end:
                break
            yield buffer[0], bytes(buffer[_HEADER:end])
            del buffer[:end]


async def line_batches(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[str]]:
    """Yield the lines of a multiplexed log, in batches as they arrive; lines are truncated to MAX_LINE bytes."""
    rest = {1: b"", 2: b""}
    batch: list[str] = []
    async for kind, content in frames(chunks):
        *lines, rest[kind] = (rest.get(kind, b"") + content).split(b"\n")
        batch += [line.rstrip(b"\r")[:MAX_LINE].decode("utf-8", "replace") for line in lines]
        rest[kind] = rest[kind][:MAX_LINE]
        if batch:
            yield batch
            batch = []
    left = [line[:MAX_LINE].decode("utf-8", "replace") for line in rest.values() if line]
    if left:
        yield left


async def json_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    """Yield the values of a JSON lines stream; lines that are not JSON are skipped."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError:
                    continue
