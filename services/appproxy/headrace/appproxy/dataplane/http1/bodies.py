"""Message bodies: counted, chunked (RFC 9112 section 7.1), or delimited by the end of the connection."""

from __future__ import annotations

import re
from typing import Final

from headrace.appproxy.dataplane.http1.heads import CHUNKED, UNTIL_CLOSE, FramingError
from headrace.common.contracts.reasons.proxy import ProxyReason

_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_MAX_DIGITS: Final = 15
_LINE: Final = 4096
"""Longest chunk-size line (with extensions, which are dropped) and trailer section, in bytes."""


class CountedBody:
    """Body delimited by Content-Length, of which `left` bytes are still to come."""

    __slots__ = ("done", "left", "raw", "rest")

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = not length
        self.rest = b""
        """Bytes after the end of the body."""

    def feed(self, data: bytes) -> bytes:
        """Return the part of `data` that belongs to the body."""
        left = self.left - len(data)
        if left > 0:
            self.left = left
            return data
        self.done = True
        if left < 0:
            self.rest = data[left:]
            data = data[:left]
        self.left = 0
        return data


class UntilCloseBody:
    """Body delimited by the end of the connection."""

    __slots__ = ()
    done = False
    rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return `data`."""
        return data


_SIZE: Final = 0
_DATA: Final = 1
_AFTER: Final = 2
_TRAILERS: Final = 3
"""States of a chunked body: size line, data, CRLF after the data, trailer section."""


class ChunkedBody:
    """Body in the chunked transfer coding. `raw` is, after each `feed`, the framing to forward for exactly the returned
    bytes.

    Chunk extensions are dropped, as RFC 9112 allows; trailers are bounded, and available in `trailers` once the body is
    `done`.
    """

    __slots__ = ("_held", "_left", "_state", "done", "raw", "rest", "trailers")

    def __init__(self) -> None:
        self._held = b""
        self._left = 0
        self._state = _SIZE
        self.done = False
        self.raw = b""
        self.rest = b""
        self.trailers = b""

    def feed(self, data: bytes) -> bytes:
        """Return the content in `data`. Raises FramingError."""
        if self._state == _SIZE and not self._held:
            # One whole chunk in one read, as engines send their events: it is forwarded unchanged.
            begin = _plain_chunk(data)
            if begin:
                self.raw = data
                return data[begin:-2]
        return self._feed_general(data)

    def _feed_general(self, data: bytes) -> bytes:
        if self._held:
            data = self._held + data
            self._held = b""
        parts: list[bytes] = []
        at = 0
        while at < len(data) and not self.done:
            if self._state == _DATA:
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                if not self._left:
                    self._state = _AFTER
                continue
            end = self._line_end(data, at)
            if end < 0:
                break
            self._line(data[at:end])
            at = end + 2
        if self.done:
            self.rest = data[at:]
        elif self._state != _DATA:
            self._held = data[at:]
        content = parts[0] if len(parts) == 1 else b"".join(parts)
        self.raw = b"%x\r\n%b\r\n" % (len(content), content) if content else b""
        return content

    def _line_end(self, data: bytes, at: int) -> int:
        """Return the index at which the line that begins at `at` ends, or -1 while it is incomplete."""
        end = data.find(b"\n", at, at + _LINE)
        if end > at and data[end - 1] == 13:
            return end - 1
        if end >= 0 or len(data) - at >= _LINE or (self._state == _AFTER and data[at : at + 2] not in {b"\r", b""}):
            raise FramingError(ProxyReason.BAD_CHUNK, "a chunk is not framed by CRLF lines of a reasonable length")
        return -1

    def _line(self, line: bytes) -> None:
        if self._state == _AFTER:
            if line:
                raise FramingError(ProxyReason.BAD_CHUNK, "a chunk is longer than its size says")
            self._state = _SIZE
        elif self._state == _SIZE:
            self._left = _size(line)
            self._state = _DATA if self._left else _TRAILERS
        elif line:
            self.trailers += line + b"\r\n"
            name, colon, _ = line.partition(b":")
            if not colon or not name or name.strip() != name or len(self.trailers) > _LINE or _CONTROL.search(line):
                raise FramingError(ProxyReason.BAD_TRAILER, "the trailer section is malformed or too large")
        else:
            self.done = True


def _size(line: bytes) -> int:
    """Return the size in a chunk-size line."""
    digits, semicolon, extension = line.partition(b";")
    if semicolon:
        digits = digits.rstrip(b" \t")
        if _CONTROL.search(extension):
            raise FramingError(ProxyReason.BAD_CHUNK, "a chunk extension has control characters")
    if not 0 < len(digits) <= _MAX_DIGITS or not _HEX.issuperset(digits):
        raise FramingError(ProxyReason.BAD_CHUNK, "a chunk size is not a hexadecimal number")
    return int(digits, 16)


def _plain_chunk(data: bytes) -> int:
    """Return the index of the content if `data` is one whole chunk without extensions, else 0."""
    size = 0
    for at in range(min(len(data), _MAX_DIGITS + 1)):
        byte = data[at]
        if 0x30 <= byte <= 0x39:
            size = size * 16 + byte - 0x30
        elif 0x61 <= byte <= 0x66:
            size = size * 16 + byte - 0x57
        elif 0x41 <= byte <= 0x46:
            size = size * 16 + byte - 0x37
        else:
            whole = byte == 0x0D and size > 0 and len(data) == at + 2 + size + 2
            return at + 2 if whole and data[at + 1] == 0x0A and data.endswith(b"\r\n") else 0
    return 0


Body = CountedBody | ChunkedBody | UntilCloseBody


def body_of(length: int) -> Body:
    """Return the body parser for this `length` (heads.py defines the values)."""
    if length >= 0:
        return CountedBody(length)
    if length == CHUNKED:
        return ChunkedBody()
    assert length == UNTIL_CLOSE  # noqa: S101 - a head's length is nothing else
    return UntilCloseBody()
