"""Per-connection cache of the last parsed head; Content-Length may differ.

Clients and engines send nearly the same head with each message. Parsing is a function of a head's bytes alone, so equal
bytes have an equal result; and if they differ only in the digits of the one Content-Length, so do the results.
"""

from __future__ import annotations

import re
from typing import Any, Final, Generic, TypeVar

from headrace.appproxy.dataplane.http1.heads import MAX_LENGTH, RequestHead, ResponseHead

_LENGTH_FIELD: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,16})\r\n", re.IGNORECASE)
_MAX_DIGITS: Final = 16
_MAX_REMEMBERED: Final = 4096
_PATIENCE: Final = 4
_SELDOM: Final = 63
"""After misses in a row only every 64th head is cached: caching costs a sixth of parsing."""
H = TypeVar("H", RequestHead, ResponseHead)


class HeadCache(Generic[H]):
    """Cache of the last head of a connection, used from the second one on, so that connections with a single message
    stay small.
    """

    __slots__ = ("_after", "_before", "_head", "_misses", "_most", "_raw", "end")

    def __init__(self, most_bytes: int) -> None:
        """most_bytes: largest head that is cached; a larger one is left to the full parser, which refuses it."""
        self._most = min(most_bytes, _MAX_REMEMBERED)
        self._raw = self._before = self._after = b""
        self._head: H | None = None
        self._misses = 0
        """Misses since the last hit."""
        self.end = 0
        """Index at which the found head ends in the data."""

    def find(self, data: bytes) -> H | None:
        """Return the cached head if `data` begins with it."""
        raw = self._raw
        if raw and data.startswith(raw):
            self.end = len(raw)
            self._misses = 1
            return self._head
        return self._resized(data) if self._before and data.startswith(self._before) else None

    def _resized(self, data: bytes) -> H | None:
        """Return the cached head with another Content-Length."""
        start = len(self._before)
        stop = data.find(b"\r", start, start + _MAX_DIGITS + 1)
        if stop < 0:
            return None
        end = stop + len(self._after)
        digits = data[start:stop]
        if end > self._most or not digits.isdigit() or not data.startswith(self._after, stop):
            return None
        length = int(digits)
        if length > MAX_LENGTH or self._head is None:
            return None
        self.end, self._raw = end, data[:end]
        twin: Any = self._head.resized(length, digits)
        known: H = twin
        self._head = known
        self._misses = 1
        return known

    def wants(self, size: int) -> bool:
        """Count a cache miss of this size, and return whether to cache it: not the first head, and where none comes again only one
        now and then, to see whether that has changed."""
        misses = self._misses = self._misses + 1
        return size <= self._most and (misses & _SELDOM == 0 if misses > _PATIENCE else misses > 1)

    def learn(self, raw: bytes, head: H) -> None:
        """Cache a head that was fully parsed from `raw`, which has nothing but it."""
        self._raw, self._head = raw, head
        self._before = self._after = b""
        found = _LENGTH_FIELD.search(raw)
        if found is not None and int(found[1]) == head.length:
            self._before, self._after = raw[: found.start(1)], raw[found.end(1) :]
