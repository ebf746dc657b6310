"""Files of a folder as a tar stream (POSIX pax, not compressed), made piece by piece. All functions block: call them in a thread."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Generator, Iterator, Sequence
from threading import Lock
from typing import Final

from headrace.common.contracts.problems import Conflict, NotFound, Unavailable
from headrace.manager.domain.paths import MAX_DEPTH
from headrace.manager.folders.tree import OpenFile, Tree
from headrace.manager.folders.unpacking import SHA256

PIECE_BYTES: Final = 512 * 1024
CHANGED: Final = "HEADRACE.changed"
"""The global pax record after a file that changed while it was read: its path. Its content is no moment's."""
_NAMES: Final = 20_000
"""Names that are remembered of the directories on the way to what comes next, which is how often a large one is read anew."""
_LEAST_NAMES: Final = 1000
"""Of each of them at least so many."""
_END: Final = bytes(2 * tarfile.BLOCKSIZE)


class Packer:
    """Makes one archive of what lies in the directory at `below`, or of the files at `paths`. Close it always.

    No link is followed, and special files are passed over, as is what is gone. Only a whole archive has its end.
    """

    def __init__(
        self, tree: Tree, below: tuple[str, ...] = (), *, paths: Sequence[tuple[str, ...]] | None = None, piece_bytes: int = PIECE_BYTES
    ) -> None:  # fmt: skip
        self._tree = tree
        self._below = below
        self._paths = paths
        self._piece_bytes = piece_bytes
        self._parts = self._archive()
        self._lock = Lock()
        self.files = 0

    def piece(self) -> bytes:
        """Return what comes next, about `piece_bytes`; nothing at the end. Raises NotFound, Conflict, Unavailable when a file was cut."""
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
        """Let go of the file in hand, once a call that still runs in a thread has ended."""
        with self._lock:
            self._parts.close()

    def _archive(self) -> Generator[bytes, None, None]:
        for names, directory in self._entries():
            if directory:
                entry = tarfile.TarInfo(self._name(names))
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                yield _header(entry)
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
        yield _END

    def _entries(self) -> Iterator[tuple[tuple[str, ...], bool]]:
        if self._paths is not None:
            yield from ((names, False) for names in self._paths)
            return
        first, _ = self._tree.files(self._below, recursive=False, after="", limit=1)
        if first and first[0].path == "/".join(self._below):
            yield self._below, False  # a file
        else:
            yield from self._walk(self._below, _NAMES)

    def _walk(self, names: tuple[str, ...], left: int) -> Iterator[tuple[tuple[str, ...], bool]]:
        """Yield what lies in the directory at `names` and below it. `left`: of _NAMES."""
        after, more = "", True
        while more:
            limit = max(left, _LEAST_NAMES)
            try:
                found = self._tree.entries(names, after=after, limit=limit)
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
            raise Unavailable(f"{'/'.join(names)} was cut while it was read", reason="file-changed")
        yield bytes(-at % tarfile.BLOCKSIZE)
        if not file.is_unchanged():
            yield tarfile.TarInfo.create_pax_global_header({CHANGED: entry.name})

    def _name(self, names: tuple[str, ...]) -> str:
        """Return the path as the archive has it: of a directory's content below it, of chosen files in the folder."""
        return "/".join(names[len(self._below) :] or names[-1:])


def _header(entry: tarfile.TarInfo) -> bytes:
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
