"""Segmentation of fuzz inputs: 0xff marks a segment boundary; the first byte picks one more segmentation and the limits."""

from __future__ import annotations

from collections.abc import Iterator

MARK = b"\xff"
"""Where an input is cut; so no input has this byte, which is as good as any other above 0x7f."""
END = b"\r\n\r\n"
"""Behind every input: ends a head that was begun, so that none is refused in one division and still awaited in another."""


def divisions(given: bytes) -> Iterator[list[bytes]]:
    """Yield `given[1:]` without its marks: in one segment, cut at the marks, byte by byte, and unevenly by `given[0]`."""
    marked = [*given[1:].split(MARK), END]
    data = b"".join(marked)
    yield [data]
    yield [piece for piece in marked if piece]
    yield [data[i : i + 1] for i in range(len(data))]
    state = given[0] if given else 0
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        size = 1 + (state >> 16) % (7 if state & 1 else 61)
        pieces.append(data[at : at + size])
        at += size
    yield pieces
