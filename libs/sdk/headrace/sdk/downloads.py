"""Downloads of single files: written whole or not at all, resumed after a lost connection."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Final

from headrace.sdk.connections import Response
from headrace.sdk.errors import AnswerLostError, TransferError, UnexpectedAnswerError, UnreachableError
from headrace.sdk.transport import Query, Transport

_PATIENCE: Final = 8
_PROGRESS_BYTES: Final = 1024 * 1024
"""Progress is reported after at least so many bytes."""
WRITEBACK_BYTES: Final = 32 * 1024 * 1024
"""Of a file that arrives, the disk begins to write whenever so many bytes have come."""
_PART_NAME: Final = 100
"""Bytes of a file's name that are in the name of its partial file."""
_PART = re.compile(r"^(\..+)\.[a-z0-9_]{8}\.part$", re.DOTALL)
_OF_THIS_FILE: Final = {
    errno.EACCES,
    errno.EBUSY,
    errno.EEXIST,
    errno.EILSEQ,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
}
"""Errors that concern one path only; others, as a full disk, concern all."""
_FRESH_S: Final = 60.0
"""A partial file that was written to so recently is kept, locked or not."""
_MAX_LOOKED_AT: Final = 10_000
_RANGE = re.compile(r"^bytes (\d+)-\d+/(\d+)$")


def write_failure(error: OSError) -> str:
    """Return why one file or directory cannot be written locally. Raises an error that concerns all of them."""
    if error.errno not in _OF_THIS_FILE:
        raise error
    return f"it cannot be written here: {error.strerror}"


def remove_abandoned(directory: Path, names: Collection[str]) -> None:
    """Remove partial files that killed downloads of these names left in `directory`, except those another process still
    writes.

    Of a directory with very many entries only a part is searched; leftovers only take room.
    """
    wanted = {_part_prefix(name) for name in names}
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in islice(entries, _MAX_LOOKED_AT):
            match = _PART.match(entry.name)
            if match is not None and match[1] in wanted and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_if_abandoned(Path(entry.path))


def _remove_if_abandoned(part: Path) -> None:
    with part.open("rb") as file:
        facts = os.fstat(file.fileno())
        if facts.st_uid == os.geteuid() and time.time() - facts.st_mtime > _FRESH_S:
            fcntl.flock(
                file, fcntl.LOCK_EX | fcntl.LOCK_NB
            )  # BlockingIOError, an OSError: another process writes to it
            part.unlink()


def _part_prefix(name: str) -> str:
    """Return the name prefix of a file's partial download, cut to leave room within the 255 bytes of a file name."""
    return "." + os.fsencode(name)[:_PART_NAME].decode(errors="ignore")


@contextmanager
def _part_of(to: Path) -> Iterator[IO[bytes]]:
    """Yield a new partial file beside `to`, locked against remove_abandoned() of other processes, and removed on an
    error.
    """
    with NamedTemporaryFile(dir=to.parent, prefix=f"{_part_prefix(to.name)}.", suffix=".part", delete=False) as file:
        try:
            with suppress(OSError):  # a file system that has no locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def download(transport: Transport, path: str, query: Query, to: Path, progress: Callable[[int, int], None]) -> None:
    """Download `path` to `to`. Raises TransferError if the server stays unreachable, OSError for the local disk."""
    remove_abandoned(to.parent, (to.name,))
    with _part_of(to) as file:
        _fetch(transport, path, query, file, progress)
        file.flush()
        os.fsync(file.fileno())
        Path(file.name).chmod(0o666 & ~_umask())  # temporary files are created with mode 0600
        Path(file.name).replace(to)


def write_whole(to: Path, content: bytes, *, modified: float) -> None:
    """Write a small file atomically, with its modification time. Raises OSError."""
    with _part_of(to) as file:
        file.write(content)
        file.flush()
        os.utime(file.fileno(), ns=(in_ns(modified), in_ns(modified)))
        os.fchmod(file.fileno(), 0o666 & ~_umask())
        Path(file.name).replace(to)


def seconds_of(file: Path) -> str:
    """Return a file's modification time as it is transferred: seconds since 1970, with six decimals. Raises OSError."""
    whole, rest = divmod(rounded_ns(file.stat()) // 1000, 1_000_000)
    return f"{whole}.{rest:06}"


def rounded_ns(facts: os.stat_result) -> int:
    """Round a modification time in nanoseconds to whole microseconds, as it is transferred."""
    return (facts.st_mtime_ns + 500) // 1000 * 1000


def in_ns(seconds: float) -> int:
    """Convert a transferred modification time to nanoseconds."""
    return round(seconds * 1_000_000) * 1000


def _fetch(
    transport: Transport, path: str, query: Query, file: IO[bytes], progress: Callable[[int, int], None]
) -> None:
    tag: str | None = None

    def attempt() -> None:
        nonlocal tag
        # If-Range: the rest if the file is unchanged, else all of it.
        headers = {"Accept-Encoding": "identity"}
        if file.tell() and tag:
            headers |= {"Range": f"bytes={file.tell()}-", "If-Range": tag}
        with transport.stream(path, query=query, headers=headers) as answer:
            tag = _strong_tag(answer)
            total = _start(answer, file)
            _write(answer, file, lambda done: progress(done, max(total, done)))
        if total and file.tell() != total:
            raise AnswerLostError(f"{file.tell()} of {total} bytes came")

    failures = 0
    while True:
        before = file.tell()
        try:
            attempt()
        except (UnreachableError, AnswerLostError) as error:
            failures = 1 if tag and file.tell() > before else failures + 1
            if failures > _PATIENCE:
                raise TransferError(f"the download stopped: {error}") from error
            transport.sleep(min(0.1 * 2**failures, 5.0))
        else:
            return


def _write(answer: Response, file: IO[bytes], progress: Callable[[int], None]) -> None:
    """Write the response's body to the file as it comes."""
    done = told = begun = file.tell()
    progress(done)
    for piece in answer.iter_bytes(_PROGRESS_BYTES):
        file.write(piece)
        done += len(piece)
        if done - begun >= WRITEBACK_BYTES:
            _begin_writeback(file, begun, done)
            begun = done
        if done - told >= _PROGRESS_BYTES:
            progress(done)
            told = done
    if done > told:
        progress(done)


def _begin_writeback(file: IO[bytes], start: int, end: int) -> None:
    """Have the disk begin to write these bytes, so that the sync at the end finds little left to wait for.

    The kernel would begin after seconds. Of this advice to drop pages Linux starts the writeback of dirty ones, which stay
    cached, and waits for none (PostgreSQL uses it so too).
    """
    file.flush()
    if sys.platform != "darwin":  # which has no such call
        with suppress(OSError):  # a file system without it; a failed write is told by the sync
            os.posix_fadvise(file.fileno(), start, end - start, os.POSIX_FADV_DONTNEED)


def _start(answer: Response, file: IO[bytes]) -> int:
    """Seek to the response's first byte; return the total size, 0 if the server does not tell.

    Raises UnexpectedAnswerError for an encoded body, whose bytes are not the file's.
    """
    if (encoding := answer.headers.get("Content-Encoding", "identity")) != "identity":
        raise UnexpectedAnswerError(
            f"the file came with Content-Encoding: {encoding}; allowed: none (a proxy that compresses?)"
        )
    part = _RANGE.match(answer.headers.get("Content-Range", "")) if answer.status_code == 206 else None
    if part is not None and int(part[1]) == file.tell():
        return int(part[2])
    file.seek(0)
    file.truncate()
    if answer.status_code != 200:
        raise AnswerLostError("the server sent another part than the one asked for")
    return int(answer.headers.get("Content-Length", 0))


def _strong_tag(answer: Response) -> str | None:
    tag: str | None = answer.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else None


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
