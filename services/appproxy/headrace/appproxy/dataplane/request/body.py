"""Request body: bounded, reframed for the replica, and kept for replay while it is small."""

from __future__ import annotations

from typing import Final

from headrace.appproxy.dataplane.balancing.retry import Sent
from headrace.appproxy.dataplane.http1.heads import CHUNKED
from headrace.appproxy.dataplane.request.local_replies import problem_of
from headrace.common.contracts.problems import Problem
from headrace.common.contracts.reasons.proxy import ProxyReason

_SMALL: Final = 4096
"""Pieces up to this size are joined, so that many tiny ones take no more memory than their bytes."""
LAST_CHUNK: Final = b"0\r\n\r\n"


def chunk(content: bytes) -> bytes:
    """Return content framed as one chunk."""
    return b"%x\r\n%b\r\n" % (len(content), content)


class RequestBody:
    """Request body: bounded, reframed for the replica, and kept for replay while it is small. `length`: as in
    http1.heads.
    """

    __slots__ = ("_chunked", "_keep", "_kept", "_length", "_limit", "field", "size")

    def __init__(self, length: int, *, limit: int, keep: int) -> None:
        """limit: largest size; keep: bytes kept for replay. Raises TooLarge."""
        self._length = length
        self.size = 0
        """Bytes of content so far."""
        self.limit_to(limit)
        self._keep = keep
        self._chunked = length == CHUNKED
        self._kept: list[bytes] | None = []
        self.field = b"Transfer-Encoding: chunked\r\n" if self._chunked else b"Content-Length: %d\r\n" % length
        """Framing field for the replica."""

    def limit_to(self, limit: int) -> None:
        """Lower the limit to `limit` bytes. Raises TooLarge."""
        self._limit = limit
        if self._length > limit or self.size > limit:
            raise _too_large(limit)

    @property
    def sent(self) -> Sent:
        """State of the body: how much of it was read."""
        if not self.size:
            return "nothing"
        return "kept" if self._kept is not None else "gone"

    @property
    def full(self) -> bool:
        """True if the replay buffer is full: reading pauses until content can be sent."""
        return self.size > self._keep

    def add(self, content: bytes, *, forget: bool) -> None:
        """Count content, and keep it for replay. `forget`: it may be dropped beyond the limit, because it is sent at
        once. Raises TooLarge.
        """
        self.size += len(content)
        if self.size > self._limit:
            raise _too_large(self._limit)
        if self._kept is not None:
            if forget and self.size > self._keep:
                self._kept = None
            elif self._kept and len(self._kept[-1]) + len(content) <= _SMALL:
                self._kept[-1] += content
            else:
                self._kept.append(content)

    def framed(self, content: bytes, *, last: bool) -> bytes:
        """Return content framed for the replica; `last`: the body ends with it."""
        if not self._chunked:
            return content
        framed = chunk(content) if content else b""
        return framed + LAST_CHUNK if last else framed

    def replay(self, *, whole: bool) -> list[bytes]:
        """Return the whole body so far, framed, in its original pieces. Only while `sent` is not "gone"."""
        kept = self._kept or []
        if self._kept is not None and self.size > self._keep:
            self._kept = None
        if not self._chunked:
            return kept
        size = sum(map(len, kept))
        framed = [b"%x\r\n" % size, *kept, b"\r\n"] if size else []
        return [*framed, LAST_CHUNK] if whole else framed

    def rename(self, begin: int, end: int, name: bytes) -> None:
        """Replace the kept bytes from `begin` to `end` by `name`."""
        made: list[bytes] = []
        at = 0
        for piece in self._kept or ():
            before, after = piece[: max(begin - at, 0)], piece[max(end - at, 0) :]
            if at <= begin < at + len(piece):
                made += [before, name]
            elif at + len(piece) <= begin:
                after = b""
                made.append(piece)
            if after:
                made.append(after)
            at += len(piece)
        self._kept = made
        if not self._chunked:
            self._length += len(name) - (end - begin)
            self.field = b"Content-Length: %d\r\n" % self._length

    def pieces(self) -> list[bytes]:
        """Return the kept content in its original pieces."""
        return self._kept or []


def _too_large(limit: int) -> Problem:
    return problem_of(ProxyReason.BODY_TOO_LARGE, f"the request body is larger than {limit} bytes", limit=limit)
