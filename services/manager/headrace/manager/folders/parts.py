"""Reader of parts of files, one after the other, as one stream.

All functions block: call them in a thread.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

from headrace.common.contracts.problems import Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.manager.folders.tree import Tree

PIECE_BYTES: Final = 512 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """Range of bytes of a file."""

    names: tuple[str, ...]
    offset: int
    length: int


class PartsReader:
    """Reads the bytes of all parts, in order. Close it always. One file is open at a time; no link is followed."""

    def __init__(self, tree: Tree, parts: Sequence[Part]) -> None:
        self._tree = tree
        self._parts = parts
        self._pieces = self._read()
        self._lock = Lock()

    def piece(self) -> bytes:
        """Return the next bytes, about PIECE_BYTES; empty at the end.

        Raises NotFound, Conflict; Unavailable when a file is shorter than asked for.
        """
        made: list[bytes] = []
        size = 0
        with self._lock:
            for part in self._pieces:
                made.append(part)
                size += len(part)
                if size >= PIECE_BYTES:
                    break
        return b"".join(made)

    def close(self) -> None:
        """Close the current file, once a call that still runs in a thread has ended."""
        with self._lock:
            self._pieces.close()

    def _read(self) -> Generator[bytes, None, None]:
        for part in self._parts:
            file = self._tree.open_file(part.names)
            try:
                at, end = part.offset, part.offset + part.length
                while at < end:
                    data = file.read_at(at, min(PIECE_BYTES, end - at))
                    if not data:
                        raise Unavailable(
                            f"{'/'.join(part.names)} has {at} bytes; {end} were asked for",
                            reason=ApiReason.FILE_CHANGED,
                        )
                    yield data
                    at += len(data)
            finally:
                file.close()
