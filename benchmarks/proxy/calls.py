"""Chat completion requests that differ in path, headers and body, with tokens of several callers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

HOW_MANY = 256
"""Different requests that are sent in turn."""
CALLERS = 16
"""Different tokens among them."""


def call(number: int, *, prefix: str, tokens: Sequence[str], events: int = 0, own_head: bool = True) -> bytes:
    """Return one complete HTTP/1.1 request; with `events`, for a stream of that many. With empty `tokens` it has none.

    own_head: path and fields are unique to this request. Otherwise they are those of its caller, and only the body and
    its length differ, as when an HTTP client calls repeatedly. The body is encoded like json.dumps with these
    separators: the backend searches for exactly that.
    """
    asked = {
        "model": "m",
        "messages": [{"role": "user", "content": f"Question {number}: why does water run downhill?"}],
    }
    more = {"stream": True, "max_tokens": events} if events else {}
    body = json.dumps(asked | more, separators=(",", ":")).encode()
    said = number if own_head else number % CALLERS
    fields = [
        f"POST {prefix}/v1/chat/completions?call={said} HTTP/1.1",
        "Host: models.example.com",
        "User-Agent: OpenAI/Python 1.99.9",
        "Accept: application/json",
        *([f"Authorization: Bearer {tokens[number % CALLERS % len(tokens)]}"] if tokens else []),
        "Content-Type: application/json",
        f"X-Conversation: c-{said * 7919 % 100_003}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(fields).encode() + b"\r\n\r\n" + body


def bodiless(number: int, *, prefix: str, tokens: Sequence[str]) -> bytes:
    """Return a GET with the same head as `call`, without the fields about a body."""
    lines = call(number, prefix=prefix, tokens=tokens).partition(b"\r\n\r\n")[0].split(b"\r\n")
    first = f"GET {prefix}/v1/models?call={number} HTTP/1.1".encode()
    return b"\r\n".join([first, *(line for line in lines[1:] if not line.startswith(b"Content-"))]) + b"\r\n\r\n"


def write_calls(path: Path, calls: Iterable[bytes]) -> Path:
    """Write requests in the format of load/wire.h, each terminated by a NUL byte, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(one + b"\0" for one in calls))
    return path
