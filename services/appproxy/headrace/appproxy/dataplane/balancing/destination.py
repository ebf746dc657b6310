"""Destination of a request, and the cache of them by address.

A few addresses make up nearly all traffic. The cache is bounded, and cleared with every new route table.
"""

from __future__ import annotations

from typing import Final

from headrace.appproxy.dataplane.balancing.backend import Backend
from headrace.appproxy.dataplane.headers.rewrite import forwarded_fields

_MAX_DESTINATIONS: Final = 2048
_LONGEST_REMEMBERED: Final = 512


class Destination:
    """Destination of a request. `backend` is None at the fleet's base URL until the model is known."""

    __slots__ = ("backend", "forwarded", "host", "prefix")

    def __init__(self, backend: Backend | None, prefix: bytes, host: bytes) -> None:
        self.backend = backend
        self.prefix = prefix
        """Prefix removed from the path."""
        self.host = host
        """Host as the caller sent it."""
        self.forwarded = forwarded_fields(host, prefix)
        """X-Forwarded-* fields with host and prefix, for the replica."""


class DestinationCache:
    """Cache of destinations by (first path segment, host)."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], Destination] = {}
        self.get = self._known.get

    def put(self, address: tuple[bytes, bytes], destination: Destination) -> None:
        """Add a destination."""
        if len(address[0]) + len(address[1]) > _LONGEST_REMEMBERED:
            return
        if len(self._known) >= _MAX_DESTINATIONS:
            self._known.clear()
        self._known[address] = destination

    def clear(self) -> None:
        """Remove all destinations."""
        self._known.clear()
