"""Tar reader: unpacks a stream into a folder.

Each file is checked, written whole and renamed into place, and a bad entry fails alone.

POSIX tar (ustar, pax, and GNU's long names), not compressed. Bytes are fed as they arrive; all functions block.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from threading import Lock
from typing import Final
from uuid import UUID

from headrace.common.contracts.problems import Conflict, InvalidRequest, NotFound, TooLarge
from headrace.manager.domain import storage_usage
from headrace.manager.domain.paths import modified_ns, split_path
from headrace.manager.domain.records.archives import LeftOut, Unpacked
from headrace.manager.domain.storage_usage import StorageChange, StorageUsage
from headrace.manager.folders.arriving import IncomingFile
from headrace.manager.folders.file_identity import FileIdentity
from headrace.manager.folders.group_commit import GroupCommit
from headrace.manager.folders.partials import Partials
from headrace.manager.folders.tree import Tree

MAX_ARCHIVE_ENTRIES: Final = 100_000
MAX_LISTED_REFUSED: Final = 1000
"""Number of refused entries that the answer names."""
SHA256: Final = "HEADRACE.sha256"
"""Pax record with the hexadecimal digest of a file's content, to be verified."""
_BLOCK: Final = tarfile.BLOCKSIZE
_MAX_HEADER_BYTES: Final = 16 * 1024
_SHOWN: Final = 200
_AT_ONCE: Final = 64
"""Number of files written before they are synced and renamed together."""
_LITTLE: Final = 64 * 1024
"""Up to this file size, free disk space is checked once per group of files."""
_NOTHING_THERE: Final = "a path where nothing else is in the way"
_EXTENDED: Final = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}
_FILES: Final = {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE}
_KINDS: Final = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


@dataclass
class _Entry:
    """Current entry of the stream. `left`: content bytes to come, then `padding`."""

    kind: bytes
    name: str
    left: int
    padding: int
    names: tuple[str, ...] = ()
    sha256: str | None = None
    modified_ns: int | None = None
    refused: bool = False
    waits: bool = False
    """Whether its content waits for an allowance."""
    held: bytearray = field(default_factory=bytearray)
    """Content of an extended header."""


class Unpacker:
    """Unpacks one archive into `tree` below `into`. Close it always: incomplete files are deleted.

    `hashed` is called with the SHA-256 of files that are in their places.
    """

    def __init__(
        self,
        tree: Tree,
        partials: Partials,
        flushing: GroupCommit,
        new_id: Callable[[], UUID],
        *,
        into: tuple[str, ...],
        max_bytes: int,
        hashed: Callable[[Sequence[tuple[FileIdentity, str]]], None] = lambda _: None,
    ) -> None:
        self._tree = tree
        self._partials = partials
        self._flushing = flushing
        self._new_id = new_id
        self._into = into
        self._max_bytes = max_bytes
        self._hashed = hashed
        self._buffer = bytearray()
        self._entry: _Entry | None = None
        self._pax: dict[str, str] = {}
        self._file: IncomingFile | None = None
        self._written: list[tuple[_Entry, IncomingFile]] = []
        self._in_place: list[tuple[FileIdentity, str]] = []
        self._at = 0
        self._entries = 0
        self._allowed = self._arriving = self._current = StorageUsage()
        self._lacking = StorageUsage()
        self._ended = False
        self.files = self.directories = self.bytes = self.refused_count = 0
        self._refused: list[LeftOut] = []
        self._lock = Lock()

    @property
    def granted(self) -> StorageUsage:
        """Total storage allowed so far."""
        return self._allowed

    @property
    def change(self) -> StorageChange:
        """Usage change of the folder: what was added, and what that replaced."""
        return self._tree.change

    def allow(self, amount: StorageUsage) -> None:
        """Allow the archive to store `amount` more."""
        self._allowed += amount

    def feed(self, data: bytes) -> StorageUsage:
        """Process further bytes; files that became complete are in place afterwards.

        Return the amount that has to be allowed before it continues (with another call, without further bytes); zero
        when it continued. Raises InvalidRequest for what is not a tar archive, TooLarge, InsufficientStorage,
        Unavailable; earlier files stay. Raises NotFound when the folder was deleted: nothing is counted any more.
        """
        with self._lock:
            if not self._tree.exists():
                raise NotFound("the folder does not exist any more")
            self._buffer += data
            self._lacking = StorageUsage()
            try:
                while not self._ended and self._step():
                    pass
            finally:
                self._put()
            if self._ended:
                self._buffer.clear()  # what follows the end is padding
            return self._lacking

    def finish(self) -> Unpacked:
        """Return the result. Raises InvalidRequest when the archive ends in the middle of an entry."""
        if not self._ended and (self._entry is not None or self._buffer):
            raise self._unreadable("the archive ends in the middle of an entry")
        return Unpacked(
            files=self.files,
            directories=self.directories,
            bytes=self.bytes,
            refused_count=self.refused_count,
            refused=tuple(self._refused),
        )

    def close(self) -> None:
        """Delete incomplete files, once a call that still runs in a thread has ended."""
        with self._lock:
            for file in [*(file for _, file in self._written), *([self._file] if self._file else [])]:
                file.forget()
            self._written, self._file, self._ended = [], None, True  # a call that comes after it opens nothing

    def _step(self) -> bool:
        """Process the next element for which the buffer suffices."""
        entry = self._entry
        if entry is None:
            return self._header()
        if entry.waits and not self._opened(entry):
            return False
        if entry.left:
            return self._content(entry)
        if len(self._buffer) < entry.padding:
            return False
        self._consume(entry.padding)
        self._entry = None
        self._whole(entry)
        return True

    def _header(self) -> bool:
        if len(self._buffer) < _BLOCK:
            return False
        block = self._consume(_BLOCK)
        try:
            found = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # not in the stubs
            self._ended = True
            return False
        except (tarfile.HeaderError, ValueError) as error:
            raise self._unreadable(f"no header of an entry ({error})") from None
        self._entries += 1
        if self._entries > MAX_ARCHIVE_ENTRIES:
            raise TooLarge(
                f"the archive has more entries than {MAX_ARCHIVE_ENTRIES}{self.so_far()}", limit=MAX_ARCHIVE_ENTRIES
            )
        self._entry = self._begin(found)
        return True

    def _begin(self, found: tarfile.TarInfo) -> _Entry:
        size = found.size
        if found.type not in _EXTENDED and "size" in self._pax:
            size = int(self._pax["size"]) if self._pax["size"].isdecimal() and len(self._pax["size"]) < 19 else -1
        if size < 0:
            raise self._unreadable("an entry without a size")
        entry = _Entry(found.type, found.name, size, -size % _BLOCK)
        if found.type in _EXTENDED:
            if size > _MAX_HEADER_BYTES:
                raise self._unreadable(f"an extended header of {size} bytes; allowed: {_MAX_HEADER_BYTES}")
            return entry
        entry.name = self._pax.get("path", found.name)
        entry.sha256 = self._pax.get(SHA256)
        entry.modified_ns = modified_ns(self._pax.get("mtime", str(max(0, int(found.mtime)))))
        self._pax = {}
        entry.waits = self._accepted(entry)
        return entry

    def _opened(self, entry: _Entry) -> bool:
        """Return whether the entry is within the allowance, and open it."""
        needed = StorageUsage(entry.left, len(entry.names))  # it may be the first in each directory on its way
        if self._arriving and storage_usage.lacking(self._allowed, self._tree.added + self._arriving, needed):
            self._put()  # from then on those count as they are
        self._lacking = storage_usage.lacking(self._allowed, self._tree.added + self._arriving, needed)
        if self._lacking:
            return False
        entry.waits = False
        self._current = needed
        self._arriving += needed
        if entry.kind in _FILES:
            if entry.left > _LITTLE or not self._written:
                self._partials.room.check("/".join(entry.names), entry.left)
            self._file = IncomingFile(self._partials, self._new_id())
        return True

    def _accepted(self, entry: _Entry) -> bool:
        if entry.kind not in _FILES and entry.kind != tarfile.DIRTYPE:
            self._refuse(entry, _KINDS.get(entry.kind, f"an entry of type {entry.kind!r}"), "files and directories")
            return False
        name = entry.name.removeprefix("./").removesuffix("/")
        if name in {"", "."} and entry.kind == tarfile.DIRTYPE:
            entry.names = self._into
            return True  # the directory that was archived itself
        try:
            entry.names = (*self._into, *split_path(name))
            split_path("/".join(entry.names))
            if entry.left > self._max_bytes and entry.kind in _FILES:
                self._refuse(entry, f"{entry.left} bytes", f"at most {self._max_bytes} bytes")
        except InvalidRequest as problem:
            wrong = problem.extra["errors"][0]
            self._refuse(entry, wrong["found"], wrong["allowed"])
        return not entry.refused

    def _content(self, entry: _Entry) -> bool:
        if not self._buffer:
            return False
        part = self._consume(min(entry.left, len(self._buffer)))
        entry.left -= len(part)
        if entry.kind in _EXTENDED:
            entry.held += part
        elif self._file is not None:
            self._file.write(part)
        return True

    def _whole(self, entry: _Entry) -> None:
        if entry.kind in _EXTENDED:
            self._extended(entry)
        elif entry.kind == tarfile.DIRTYPE and not entry.refused:
            try:
                with self._tree.directory(entry.names, make=True):
                    self.directories += 1
            except (Conflict, NotFound) as problem:
                self._refuse(entry, problem.detail, _NOTHING_THERE)
        elif self._file is not None:
            file, self._file = self._file, None
            if entry.sha256 is not None and entry.sha256 != file.digest.hexdigest():
                file.forget()
                self._refuse(entry, f"content with SHA-256 {file.digest.hexdigest()}", entry.sha256[:64])
                return
            self._written.append((entry, file))
            if len(self._written) >= _AT_ONCE:
                self._put()

    def _extended(self, entry: _Entry) -> None:
        if entry.kind == tarfile.GNUTYPE_LONGNAME:
            self._pax["path"] = bytes(entry.held).rstrip(b"\0").decode("utf-8", "surrogateescape")
        elif entry.kind in {tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE}:
            self._pax = self._records(bytes(entry.held))

    def _records(self, held: bytes) -> dict[str, str]:
        r"""Parse the records of a pax header: `<length> <key>=<value>\n` each."""
        found: dict[str, str] = {}
        while held and held[:1] != b"\0":
            length, _, _ = held[:8].partition(b" ")
            size = int(length) if length.isdigit() else 0
            key, equals, value = held[len(length) + 1 : size - 1].partition(b"=")
            if not equals or held[size - 1 : size] != b"\n":
                raise self._unreadable("a pax header that is none")
            found[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
            held = held[size:]
        return found

    def _put(self) -> None:
        """Move the written files into place: sync content first, then rename, then sync directories; then count them."""
        files, self._written = self._written, []
        self._arriving = StorageUsage() if self._file is None else self._current
        try:
            self._flushing.all([partial(file.sync, entry.modified_ns) for entry, file in files])
            parents = set[tuple[str, ...]]()
            for parent, some in groupby(files, lambda one: one[0].names[:-1]):  # in the order in which they came
                if self._placed(parent, list(some)):
                    parents.add(parent)
            parents |= self._tree.made_in()
            self._flushing.all([partial(self._synced, names) for names in parents])
            hashed, self._in_place = self._in_place, []
            self._hashed(hashed)
        finally:
            for _, file in files:
                file.forget()  # does nothing to those that are in their places

    def _placed(self, parent: tuple[str, ...], files: Sequence[tuple[_Entry, IncomingFile]]) -> bool:
        """Return whether at least one of the files is in place."""
        before = self.files
        try:
            with self._tree.directory(parent, make=True) as fd:
                for entry, file in files:
                    self._place(fd, entry, file)
        except (Conflict, NotFound) as problem:
            for entry, _ in files:
                self._refuse(entry, problem.detail, _NOTHING_THERE)
        return self.files > before

    def _place(self, parent: int, entry: _Entry, file: IncomingFile) -> None:
        try:
            self._tree.place(parent, file.path, entry.names, file.size)
        except (Conflict, NotFound) as problem:
            self._refuse(entry, problem.detail, _NOTHING_THERE)
            return
        self.files += 1
        self.bytes += file.size
        if file.identity is not None:
            self._in_place.append((file.identity, file.digest.hexdigest()))

    def _synced(self, names: tuple[str, ...]) -> None:
        with suppress(NotFound, Conflict):  # removed meanwhile
            self._tree.sync(names)

    def _refuse(self, entry: _Entry, found: str, allowed: str) -> None:
        entry.refused = True
        self.refused_count += 1
        if len(self._refused) < MAX_LISTED_REFUSED:
            path = entry.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")[:4096]
            self._refused.append(LeftOut(path=path, found=found[:_SHOWN], allowed=allowed[:_SHOWN]))

    def _consume(self, size: int) -> bytes:
        part = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._at += size
        return part

    def _unreadable(self, found: str) -> InvalidRequest:
        where, allowed = f"byte {self._at} of the archive", "a POSIX tar archive, not compressed"
        return InvalidRequest.of(where, found, allowed, more=self.so_far())

    def so_far(self) -> str:
        """Return the text about what was unpacked before an error."""
        return f". What came before is in its place: {self.files} files"
