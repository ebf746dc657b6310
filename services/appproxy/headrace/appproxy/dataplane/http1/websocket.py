"""WebSocket frame boundaries and the close frame (RFC 6455 sections 5.2 and 5.5.1). Payloads are never inspected."""

from __future__ import annotations

from typing import Final

POLICY_VIOLATION: Final = 1008
_MAX_REASON: Final = 123
"""A control frame has at most 125 bytes, two of which are the code."""


class FrameTracker:
    """Tracks frame boundaries in one direction of a WebSocket, from the frames' lengths."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._left = 0
        """Bytes left of the current frame."""
        self._head = b""
        """Received part of the next frame's header, which has at most 14 bytes."""

    def feed(self, data: bytes) -> None:
        """Advance over the next bytes."""
        if self._head:
            data = self._head + data
            self._head = b""
        at, end = self._left, len(data)
        while at < end:
            after = _after(data, at)
            if not after:
                self._head = data[at:]
                at = end
                break
            at = after
        self._left = at - end

    @property
    def between(self) -> bool:
        """True at a frame boundary: another frame may be inserted here."""
        return not self._left and not self._head


def _after(data: bytes, at: int) -> int:
    """Return the index at which the frame that begins `at` ends, maybe beyond the data; 0 while its header is
    incomplete.
    """
    size = len(data) - at
    if size < 2:
        return 0
    second = data[at + 1]
    length = second & 0x7F
    wide = 0 if length < 126 else 2 if length == 126 else 8
    head = 2 + wide + (4 if second & 0x80 else 0)
    if size < head:
        return 0
    if wide:
        length = int.from_bytes(data[at + 2 : at + 2 + wide], "big")
    return at + head + length


def close_frame(code: int, reason: str) -> bytes:
    """Return a close frame as a server sends it. The reason is cut to what fits."""
    text = reason.encode()[:_MAX_REASON].decode(errors="ignore").encode()
    return b"\x88%c%b%b" % (2 + len(text), code.to_bytes(2, "big"), text)
