"""Batched transfers of small files: a tar archive in memory, sent or fetched again if the response was lost.

A request per file would cost more than a small file does.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from headrace.common.contracts.http.folders import ArchiveReceipt, RefusedEntry, Selection
from headrace.sdk.downloads import remove_abandoned, seconds_of, write_failure, write_whole
from headrace.sdk.errors import AnswerLostError, ApiError, TransferError, UnreachableError
from headrace.sdk.transport import Query, Transport, parsed

SMALL_BYTES: Final = 1024 * 1024
"""Files up to this size are sent many per request; larger ones are uploaded one by one, resumable."""
_BATCH_BYTES: Final = 8 * 1024 * 1024
BATCH_FILES: Final = 500
_PATIENCE: Final = 8
_DIGEST: Final = "HEADRACE.sha256"
_CHANGED: Final = "HEADRACE.changed"
_AGAIN: Final = {502, 503, 504}


@dataclass(frozen=True)
class UploadItem:
    """File to upload: its local path or content, its path in the folder, and its size as far as known."""

    source: Path | bytes
    path: str
    size_bytes: int


@dataclass(frozen=True)
class DownloadItem:
    """File to download: its path in the folder, its local path, and its size as far as known."""

    path: str
    to: Path
    size_bytes: int


F = TypeVar("F", UploadItem, DownloadItem)
T = TypeVar("T")


def batches(files: Iterable[F]) -> Iterator[list[F]]:
    """Yield batches of files, one per request: at most 500 files, 8 MiB, or one larger file."""
    batch: list[F] = []
    size = 0
    for file in files:
        if batch and (len(batch) == BATCH_FILES or size + file.size_bytes > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size_bytes
    if batch:
        yield batch


def send_archive(
    transport: Transport, path: str, query: Query, files: Sequence[UploadItem], directories: Sequence[str]
) -> ArchiveReceipt:
    """Upload files and empty directories in one request. Files that cannot be read locally are among the refused ones.

    The request may be repeated, which is idempotent. Raises ApiError, and TransferError if the server stays
    unreachable.
    """
    content, unread = _pack(files, directories)

    def once() -> ArchiveReceipt:
        answer = transport.send(
            "POST", path, query=query, content=content, headers={"Content-Type": "application/x-tar"}
        )
        return parsed(ArchiveReceipt, answer)

    receipt = _retry_until_answered(transport, once, "upload")
    return receipt.model_copy(
        update={"refused": (*receipt.refused, *unread), "refused_count": receipt.refused_count + len(unread)}
    )


def fetch_archive(
    transport: Transport, path: str, query: Query, files: Sequence[DownloadItem]
) -> Iterator[RefusedEntry]:
    """Download files in one request, and yield those that failed, with the reason. Each is written whole or not at all.

    Raises ApiError, TransferError if the server stays unreachable, OSError if no file can be written.
    """
    body = Selection(paths=tuple(file.path for file in files))
    names: dict[Path, set[str]] = {}
    for wanted in files:
        names.setdefault(wanted.to.parent, set()).add(wanted.to.name)
    for directory, some in names.items():
        remove_abandoned(directory, some)
    answer = _retry_until_answered(transport, lambda: transport.send("POST", path, query=query, body=body), "download")
    missing = {file.path: file for file in files}
    unwritten: list[RefusedEntry] = []
    with tarfile.open(fileobj=io.BytesIO(answer.content), mode="r:") as archive:
        for entry in archive:
            file = missing.pop(entry.name, None)  # unrequested entries are dropped
            content = archive.extractfile(entry) if file is not None and entry.isreg() else None
            if file is None or content is None:
                continue
            data = content.read()
            digest = entry.pax_headers.get(_DIGEST)
            if len(data) != entry.size or (digest is not None and digest != hashlib.sha256(data).hexdigest()):
                raise TransferError(f"{entry.name} did not come as the server read it")
            try:
                write_whole(file.to, data, modified=entry.mtime)
            except OSError as error:
                unwritten.append(RefusedEntry(path=file.path, found=write_failure(error), allowed="a writable place"))
        changed = archive.pax_headers.get(_CHANGED)
    yield from unwritten
    for gone in missing:
        yield RefusedEntry(
            path=gone,
            found="a name that is not UTF-8" if "\N{REPLACEMENT CHARACTER}" in gone else "nothing",
            allowed="a file that is there while it is fetched",
        )
    if changed is not None:
        yield RefusedEntry(path=changed, found="a file that changed while it was read", allowed="fetching it again")


def _retry_until_answered(transport: Transport, once: Callable[[], T], what: str) -> T:
    """Repeat a request until it is answered. Raises ApiError, and TransferError if the server stays unreachable."""
    failures = 0
    while True:
        try:
            return once()
        except (UnreachableError, AnswerLostError, ApiError) as error:
            if isinstance(error, ApiError) and error.status not in _AGAIN:
                raise
            if failures >= _PATIENCE:
                raise TransferError(f"the {what} stopped: {error}") from error
            transport.sleep(min(0.1 * 2**failures, 5.0))
            failures += 1


def _pack(files: Sequence[UploadItem], directories: Sequence[str]) -> tuple[bytes, list[RefusedEntry]]:
    made, unread = io.BytesIO(), []
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for directory in directories:
            entry = tarfile.TarInfo(directory)
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
        for file in files:
            try:
                changed = {} if isinstance(file.source, bytes) else {"mtime": seconds_of(file.source)}
                content = file.source if isinstance(file.source, bytes) else file.source.read_bytes()
            except OSError as error:
                unread.append(
                    RefusedEntry(
                        path=file.path, found=f"it cannot be read: {error.strerror}", allowed="a readable file"
                    )
                )
                continue
            entry = tarfile.TarInfo(file.path)
            entry.size = len(content)
            entry.pax_headers = {_DIGEST: hashlib.sha256(content).hexdigest(), **changed}
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue(), unread
