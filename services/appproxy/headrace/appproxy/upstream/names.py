"""What a replica's engine calls its models: its own `GET /v1/models`, asked until it says so."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from headrace.appproxy.upstream.peers import leads_nowhere

_MOST_BYTES: Final = 1024 * 1024
_MOST_NAMES: Final = 1000
_WAIT_S: Final = 3.0


async def names_of(host: str, port: int, where: bytes) -> tuple[str, ...] | None:
    """Return the names in the order of the engine's list; none where it has no such list. None where it does not say now: it could not
    be reached, or answered 5xx. Raises TimeoutError."""
    try:
        async with asyncio.timeout(_WAIT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                if leads_nowhere(host, writer):
                    return None
                writer.write(
                    b"GET /v1/models HTTP/1.0\r\nHost: "
                    + where
                    + b"\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
                )
                answer = b""
                while len(answer) <= _MOST_BYTES and (more := await reader.read(65_536)):
                    answer += more
            finally:
                writer.close()
    except TimeoutError:
        raise
    except (OSError, UnicodeError):  # a name that is no host is one of the second
        return None
    head, _, content = answer.partition(b"\r\n\r\n")
    status = head[9:12] if head.startswith((b"HTTP/1.0 ", b"HTTP/1.1 ")) else b""
    if status.startswith(b"5"):
        return None
    return names_in(content) if status == b"200" else ()


def names_in(content: bytes) -> tuple[str, ...]:
    """Return the names in a list of models as OpenAI's API has it; none in what is no such list."""
    try:
        listed = json.loads(content)
    except (ValueError, RecursionError):
        return ()
    data = listed.get("data") if isinstance(listed, dict) else None
    rows = data[:_MOST_NAMES] if isinstance(data, list) else []
    names = [row.get("id") for row in rows if isinstance(row, dict)]
    return tuple(name for name in names if isinstance(name, str) and 0 < len(name) <= 512)
