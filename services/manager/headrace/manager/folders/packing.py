"""Tar writer: files of a folder as a stream (POSIX pax, not compressed), piece by piece.

All functions block: call them in a thread.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Final

from headrace.common.contracts.manifest import MAX_DEPTH
from headrace.common.contracts.problems import Conflict, NotFound, Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.manager.folders.tree import OpenFile, Tree
from headrace.manager.folders.unpacking import SHA256

PIECE_BYTES: Final = 512 * 1024
CHANGED: Final = "HEADRACE.changed"
"""Global pax record with the path of a file that changed while it was read: its content is of no single moment."""
LEFT_OUT: Final = "HEADRACE.left_out"
"""Global pax record at the end with the skipped entries: JSON, `count` and `entries` of `path` and `found`."""
MAX_LISTED_LEFT_OUT: Final = 100
"""Number of skipped entries that are named; all are counted."""
MAX_REMEMBERED_NAMES: Final = 20_000
"""Bound on remembered names of the directories on the way to the next entry; a larger directory is read again more often."""
_MIN_REMEMBERED_NAMES: Final = 1000
"""Minimum of these for each directory."""
_END: Final = bytes(2 * tarfile.BLOCKSIZE)


class Packer:
    """Writes one archive of the directory at `below`, or of the files at `paths`. Close it always.

    No link is followed; links, special files and names that are not UTF-8 are skipped, and listed at the end. Files
    that are gone are skipped silently. Only a complete archive has its end marker.
    """

    def __init__(
        self,
        tree: Tree,
        below: tuple[str, ...] = (),
        *,
        paths: Sequence[tuple[str, ...]] | None = None,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        self._tree = tree
        self._below = below
        self._paths = paths
        self._piece_bytes = piece_bytes
        self._parts = self._archive()
        self._lock = Lock()
        self.files = 0
        self.left_out_count = 0
        self._changed_last = False
        self._left_out: list[dict[str, str]] = []

    def piece(self) -> bytes:
        """Return the next bytes, about `piece_bytes`; empty at the end.

        Raises NotFound, Conflict; Unavailable when a file was truncated.
        """
        made: list[bytes] = []
        size = 0
        with self._lock:
            for part in self._parts:
                made.append(part)
                size += len(part)
                if size >= self._piece_bytes:
                    break
        return b"".join(made)

    def close(self) -> None:
        """Close the current file, once a call that still runs in a thread has ended."""
        with self._lock:
            self._parts.close()

    def _archive(self) -> Generator[bytes, None, None]:
        for names, directory in self._entries():
            if directory:
                entry = tarfile.TarInfo(self._name(names))
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                yield _header(entry)
                self._changed_last = False
            else:
                try:
                    file = self._tree.open_file(names)
                except (NotFound, Conflict):  # gone meanwhile, or another thing
                    continue
                try:
                    yield from self._file(names, file)
                finally:
                    file.close()
                self.files += 1
        if self.left_out_count:
            told = json.dumps({"count": self.left_out_count, "entries": self._left_out}, ensure_ascii=False)
            yield tarfile.TarInfo.create_pax_global_header({LEFT_OUT: told})
        if self.left_out_count or self._changed_last:
            yield _header(self._top())  # readers expect an entry after a header that is not one's
        yield _END

    def _entries(self) -> Iterator[tuple[tuple[str, ...], bool]]:
        if self._paths is not None:
            yield from ((names, False) for names in self._paths)
            return
        first, _ = self._tree.files(self._below, recursive=False, after="", limit=1)
        if first and first[0].path == "/".join(self._below):
            yield self._below, False  # a file
        else:
            yield from self._walk(self._below, MAX_REMEMBERED_NAMES)

    def _walk(self, names: tuple[str, ...], left: int) -> Iterator[tuple[tuple[str, ...], bool]]:
        """Yield the entries of the directory at `names` and below. `left`: remaining part of MAX_REMEMBERED_NAMES."""
        after, more = "", True
        while more:
            limit = max(left, _MIN_REMEMBERED_NAMES)
            try:
                found = self._tree.entries(names, after=after, limit=limit, left_out=partial(self._leave_out, names))
            except NotFound:  # removed meanwhile
                return
            more = len(found) == limit
            for at, (name, directory) in enumerate(found):
                after, below = name, (*names, name)
                yield below, directory
                if directory and len(below) <= MAX_DEPTH:  # no path leads further down
                    yield from self._walk(below, left - (len(found) - at))

    def _file(self, names: tuple[str, ...], file: OpenFile) -> Iterator[bytes]:
        entry = tarfile.TarInfo(self._name(names))
        entry.size, entry.mode = file.size_bytes, 0o644
        entry.pax_headers = {"mtime": f"{file.modified_ns // 10**9}.{file.modified_ns % 10**9:09}"}
        small = file.size_bytes <= self._piece_bytes
        content = file.read_at(0, min(file.size_bytes, self._piece_bytes))
        if small:
            entry.size = len(content)
            entry.pax_headers[SHA256] = hashlib.sha256(content).hexdigest()
        yield _header(entry)
        at = 0
        while content:
            yield content
            at += len(content)
            content = file.read_at(at, min(self._piece_bytes, entry.size - at)) if at < entry.size else b""
        if at < entry.size:
            raise Unavailable(f"{'/'.join(names)} was cut while it was read", reason=ApiReason.FILE_CHANGED)
        yield bytes(-at % tarfile.BLOCKSIZE)
        self._changed_last = not file.is_unchanged()
        if self._changed_last:
            yield tarfile.TarInfo.create_pax_global_header({CHANGED: entry.name})

    def _top(self) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(".")
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        with suppress(NotFound, Conflict), self._tree.directory(()) as fd:
            entry.mtime = int(os.fstat(fd).st_mtime)
        return entry

    def _leave_out(self, names: tuple[str, ...], name: str, found: str) -> None:
        self.left_out_count += 1
        if len(self._left_out) < MAX_LISTED_LEFT_OUT:
            self._left_out.append({"path": self._name((*names, name)), "found": found})

    def _name(self, names: tuple[str, ...]) -> str:
        """Return the path as the archive has it: relative to the packed directory, or to the folder for chosen files."""
        return "/".join(names[len(self._below) :] or names[-1:])


def _header(entry: tarfile.TarInfo) -> bytes:
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
