"""Readiness probe of a service."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit


async def answers_200(url: str, timeout_s: float = 2.0) -> bool:
    """Return True if a GET of `url` (plain http) is answered 200 within `timeout_s`.

    Written by hand, since it is polled while a service starts and an HTTP client costs more than the request.
    """
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            try:
                writer.write(
                    f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode(
                        "ascii"
                    )
                )
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError):
        return False
    return status.split(b" ")[1:2] == [b"200"]
