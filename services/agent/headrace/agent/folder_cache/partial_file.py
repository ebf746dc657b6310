"""Large file that is being fetched, piece by piece and by several at once; what it has outlives the process.

`<name>` has the bytes, `<name>.pieces` which pieces are whole. The digest is computed over the beginning that is whole while
more is fetched, so that little is left to do at the end. All functions block.
"""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

from headrace.agent.domain.fetch_requests import PIECE_BYTES, WantedObject, pieces_of

_READ_BYTES = 2**20


class PartialFile:
    """A large file on its way into the cache. Raises OSError."""

    def __init__(self, folder: Path, wanted: WantedObject) -> None:
        self.wanted = wanted
        self.path = folder / wanted.name
        self._journal = folder / f"{wanted.name}.pieces"
        self._pieces = pieces_of(wanted.size)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._digest = hashlib.sha256()
        self._digested = 0
        """Pieces of the beginning that the digest has."""
        self._digesting = threading.Lock()
        try:
            self._whole = self._read_journal()
        except OSError:
            os.close(self._fd)
            raise

    @property
    def bytes_done(self) -> int:
        """Bytes of the pieces that are whole."""
        missing = self.missing()
        return self.wanted.size - sum(min(PIECE_BYTES, self.wanted.size - index * PIECE_BYTES) for index in missing)

    def missing(self) -> list[int]:
        """Return the pieces that are still to be fetched, in order."""
        return [index for index in range(self._pieces) if index not in self._whole]

    def write(self, offset: int, view: memoryview) -> None:
        """Write bytes of a piece."""
        while view:
            written = os.pwrite(self._fd, view, offset)
            view, offset = view[written:], offset + written

    def finish_piece(self, index: int) -> None:
        """Note that a piece is whole. The kernel is told to write it to the disk, so that little is left to sync at the end.

        It starts writing what is dirty of a range that is not needed (posix_fadvise(2), Linux), and does not wait for it.
        """
        os.posix_fadvise(self._fd, index * PIECE_BYTES, PIECE_BYTES, os.POSIX_FADV_DONTNEED)
        with self._journal.open("a", encoding="ascii") as file:
            file.write(f"{index}\n")
        self._whole.add(index)
        self._digest_more(wait=False)

    def digest(self) -> str:
        """Return the SHA-256 of the file, of which all pieces are whole."""
        self._digest_more(wait=True)
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close it; what it has stays for the next fetch."""
        with self._digesting:
            os.close(self._fd)

    def discard(self) -> None:
        """Remove what it has."""
        self._journal.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def _read_journal(self) -> set[int]:
        """Return the whole pieces. A journal that does not fit the file is of no use, and neither are its pieces then."""
        size = os.fstat(self._fd).st_size
        try:
            lines = self._journal.read_text(encoding="ascii").splitlines() if size == self.wanted.size else []
        except (FileNotFoundError, ValueError):
            lines = []
        found = {int(line) for line in lines if line.isdecimal() and len(line) <= 9}
        whole = {index for index in found if index < self._pieces}
        if not whole:
            self._journal.unlink(missing_ok=True)
            os.ftruncate(self._fd, 0)
            os.ftruncate(self._fd, self.wanted.size)
        return whole

    def _digest_more(self, *, wait: bool) -> None:
        """Digest the pieces that follow those digested, as far as they are whole; one thread at a time."""
        if not self._digesting.acquire(blocking=wait):
            return
        try:
            while self._digested in self._whole:
                at = self._digested * PIECE_BYTES
                end = min(at + PIECE_BYTES, self.wanted.size)
                while at < end:
                    data = os.pread(self._fd, min(_READ_BYTES, end - at), at)
                    if not data:
                        return  # it was cut by somebody else: the digest will differ
                    self._digest.update(data)
                    at += len(data)
                self._digested += 1
        finally:
            self._digesting.release()
