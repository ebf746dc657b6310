"""Fetches the model names of a replica's engine (`GET /v1/models`)."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from headrace.appproxy.dataplane.upstream.peer_check import is_forbidden_peer

_MAX_BYTES: Final = 1024 * 1024
_MAX_NAMES: Final = 1000
_WAIT_S: Final = 3.0


async def fetch_model_names(host: str, port: int, authority: bytes) -> tuple[str, ...] | None:
    """Return the engine's model names in the order of its list; empty if it has no such list.

    None if the request failed: the engine was unreachable, or responded 5xx. Raises TimeoutError.
    """
    try:
        async with asyncio.timeout(_WAIT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                if is_forbidden_peer(host, writer):
                    return None
                writer.write(
                    b"GET /v1/models HTTP/1.0\r\nHost: "
                    + authority
                    + b"\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
                )
                answer = b""
                while len(answer) <= _MAX_BYTES and (more := await reader.read(65_536)):
                    answer += more
            finally:
                writer.close()
    except TimeoutError:
        raise
    except (OSError, UnicodeError):  # an invalid host name is one of the latter
        return None
    head, _, content = answer.partition(b"\r\n\r\n")
    status = head[9:12] if head.startswith((b"HTTP/1.0 ", b"HTTP/1.1 ")) else b""
    if status.startswith(b"5"):
        return None
    return parse_model_names(content) if status == b"200" else ()


def parse_model_names(content: bytes) -> tuple[str, ...]:
    """Return the names in an OpenAI list of models; empty for anything else."""
    try:
        listed = json.loads(content)
    except (ValueError, RecursionError):
        return ()
    data = listed.get("data") if isinstance(listed, dict) else None
    rows = data[:_MAX_NAMES] if isinstance(data, list) else []
    names = [row.get("id") for row in rows if isinstance(row, dict)]
    return tuple(name for name in names if isinstance(name, str) and 0 < len(name) <= 512)
