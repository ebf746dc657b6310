"""Idempotency keys: what a client sends with a creation, so that the request can be repeated and is carried out once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

KEPT_FOR: Final = timedelta(hours=24)
"""How long a key is known."""
MAX_KEYS: Final = 1000
"""Keys of a user; the newest are kept."""
MAX_ANSWER_BYTES: Final = 32 * 1024
"""Answer that is kept whole."""
MAX_KEY_CHARS: Final = 255


@dataclass(frozen=True)
class IdempotencyKey:
    """Idempotency key of a request, and a keyed hash of the request: method, path and body."""

    key: str
    request_hash: bytes


@dataclass(frozen=True)
class KeptAnswer:
    """Answer to the request that was carried out, as JSON; not `whole`: only what names the thing that was created."""

    request_hash: bytes
    answer: str
    whole: bool
