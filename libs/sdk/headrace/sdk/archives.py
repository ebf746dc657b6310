"""Many small files in one request: a tar archive made in memory, sent again when its answer was lost."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace.common.contracts.http.folders import ArchiveReceipt, RefusedEntry
from headrace.sdk.errors import AnswerLostError, ApiError, TransferError, UnreachableError
from headrace.sdk.transport import Query, Transport, parsed

SMALL_BYTES: Final = 1024 * 1024
"""Files up to this size go many in one request; larger ones are better uploaded one by one, which can be continued."""
_BATCH_BYTES: Final = 8 * 1024 * 1024
BATCH_FILES: Final = 500
_PATIENCE: Final = 8
_DIGEST: Final = "HEADRACE.sha256"
_AGAIN: Final = {502, 503, 504}


@dataclass(frozen=True)
class Small:
    """A file to send: its content or where it lies here, its path in the folder, and its size as far as is known."""

    source: Path | bytes
    path: str
    size_bytes: int


def batches(files: Iterable[Small]) -> Iterator[list[Small]]:
    """Yield the files in parts that each make one request: at most 500 files, 8 MiB, or one larger file."""
    batch: list[Small] = []
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
    transport: Transport, path: str, query: Query, files: Sequence[Small], directories: Sequence[str]
) -> ArchiveReceipt:
    """Send the files and empty directories in one request. Files that cannot be read here are among the refused ones.

    It may be done twice, which changes nothing. Raises ApiError, TransferError when the server stays away.
    """
    content, unread = _packed(files, directories)
    failures = 0
    while True:
        try:
            answer = transport.send(
                "POST", path, query=query, content=content, headers={"Content-Type": "application/x-tar"}
            )
        except (UnreachableError, AnswerLostError, ApiError) as error:
            if isinstance(error, ApiError) and error.status not in _AGAIN:
                raise
            if failures >= _PATIENCE:
                raise TransferError(f"the upload stopped: {error}") from error
            transport.sleep(min(0.1 * 2**failures, 5.0))
            failures += 1
        else:
            receipt = parsed(ArchiveReceipt, answer)
            return receipt.model_copy(
                update={"refused": (*receipt.refused, *unread), "refused_count": receipt.refused_count + len(unread)}
            )


def _packed(files: Sequence[Small], directories: Sequence[str]) -> tuple[bytes, list[RefusedEntry]]:
    made, unread = io.BytesIO(), []
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for directory in directories:
            entry = tarfile.TarInfo(directory)
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
        for file in files:
            try:
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
            entry.pax_headers = {_DIGEST: hashlib.sha256(content).hexdigest()}
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue(), unread
