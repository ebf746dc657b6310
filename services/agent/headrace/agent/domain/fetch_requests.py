"""Requests of a fetch: small files together, large ones in pieces, so that neither round trips nor a break cost much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

PIECE_BYTES: Final = 16 * 2**20
"""Piece of a large file: what a break costs at most."""
MAX_SMALL_BYTES: Final = 2**20
"""Largest file that is fetched together with others, and checked in memory."""
MAX_BATCH_BYTES: Final = 16 * 2**20
MAX_BATCH_FILES: Final = 500
MAX_BATCH_PATH_BYTES: Final = 256 * 1024
"""Of the paths that name the files, so that the request stays small."""


@dataclass(frozen=True, slots=True)
class WantedObject:
    """Content that the cache lacks, and a file of the snapshot that has it."""

    name: str
    """Its name in the cache."""
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Span:
    """Range of bytes of a wanted object."""

    wanted: WantedObject
    offset: int
    length: int

    def after(self, received: int) -> Span:
        """Return what is left of it."""
        return replace(self, offset=self.offset + received, length=self.length - received)


def pieces_of(size: int) -> int:
    """Return the number of pieces of a large file."""
    return -(-size // PIECE_BYTES)


def piece(wanted: WantedObject, index: int) -> Span:
    """Return a piece of a large file."""
    offset = index * PIECE_BYTES
    return Span(wanted, offset, min(PIECE_BYTES, wanted.size - offset))


def batches(small: Iterable[WantedObject]) -> Iterator[tuple[Span, ...]]:
    """Yield requests for whole small files, each bounded in bytes and in files."""
    batch: list[Span] = []
    size = names = 0
    for wanted in small:
        name = len(wanted.path.encode(errors="surrogatepass"))
        full = len(batch) == MAX_BATCH_FILES or names + name > MAX_BATCH_PATH_BYTES
        if batch and (full or size + wanted.size > MAX_BATCH_BYTES):
            yield tuple(batch)
            batch, size, names = [], 0, 0
        batch.append(Span(wanted, 0, wanted.size))
        size += wanted.size
        names += name
    if batch:
        yield tuple(batch)


def together(spans: Iterable[Span], most: int) -> list[Span]:
    """Return the first of these spans that have at most so many bytes in all; the first one in any case."""
    found: list[Span] = []
    for span in spans:
        most -= span.length
        if found and most < 0:
            break
        found.append(span)
    return found
