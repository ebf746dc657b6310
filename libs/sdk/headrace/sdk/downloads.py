"""Downloads that are whole or not there, and continue where a connection broke."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Final

import httpx

from headrace.sdk.errors import AnswerLostError, TransferError, UnreachableError
from headrace.sdk.transport import Query, Transport

_PATIENCE: Final = 8
_CHUNK_BYTES: Final = 1024 * 1024
_RANGE = re.compile(r"^bytes (\d+)-\d+/(\d+)$")


def download(transport: Transport, path: str, query: Query, to: Path, progress: Callable[[int, int], None]) -> None:
    """Fetch `path` into `to`. Raises TransferError when the server stays away, OSError when the disk does not take it."""
    with NamedTemporaryFile(dir=to.parent, prefix=f".{to.name[:100]}.", suffix=".part", delete=False) as file:
        try:
            _fetch(transport, path, query, file, progress)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o666 & ~_umask())  # a temporary file is made for its owner only
            Path(file.name).replace(to)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def write_whole(to: Path, content: bytes, *, modified: float) -> None:
    """Put a small file into its place, whole or not at all, with its time of change. Raises OSError."""
    with NamedTemporaryFile(dir=to.parent, prefix=f".{to.name[:100]}.", suffix=".part", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.utime(file.fileno(), ns=(in_ns(modified), in_ns(modified)))
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            Path(file.name).replace(to)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def seconds_of(file: Path) -> str:
    """Return a file's time of change as it travels: seconds since 1970, with six decimals. Raises OSError."""
    whole, rest = divmod((file.stat().st_mtime_ns + 500) // 1000, 1_000_000)
    return f"{whole}.{rest:06}"


def in_ns(seconds: float) -> int:
    """Return a time of change in nanoseconds, of which whole microseconds travel."""
    return round(seconds * 1_000_000) * 1000


def _fetch(
    transport: Transport, path: str, query: Query, file: IO[bytes], progress: Callable[[int, int], None]
) -> None:
    tag: str | None = None

    def attempt() -> None:
        nonlocal tag
        # If-Range: the rest only if it is still the same file, else all of it.
        headers = {"Accept-Encoding": "identity"}
        if file.tell() and tag:
            headers |= {"Range": f"bytes={file.tell()}-", "If-Range": tag}
        with transport.stream(path, query=query, headers=headers) as answer:
            tag = _strong_tag(answer)
            total = _start(answer, file)
            progress(file.tell(), total)
            for chunk in answer.iter_bytes(_CHUNK_BYTES):
                file.write(chunk)
                progress(file.tell(), max(total, file.tell()))
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


def _start(answer: httpx.Response, file: IO[bytes]) -> int:
    """Put `file` where the answer's first byte belongs; return the whole size, 0 when the server does not say."""
    part = _RANGE.match(answer.headers.get("Content-Range", "")) if answer.status_code == 206 else None
    if part is not None and int(part[1]) == file.tell():
        return int(part[2])
    file.seek(0)
    file.truncate()
    if answer.status_code != 200:
        raise AnswerLostError("the server sent another part than the one asked for")
    return int(answer.headers.get("Content-Length", 0))


def _strong_tag(answer: httpx.Response) -> str | None:
    tag: str | None = answer.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else None


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
