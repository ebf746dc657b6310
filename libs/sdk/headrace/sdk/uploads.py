"""Resumable uploads: tus 1.0 (https://tus.io/protocols/resumable-upload), core and creation."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from headrace.sdk.downloads import seconds_of
from headrace.sdk.errors import AnswerLostError, ApiError, TransferError, UnexpectedAnswerError, UnreachableError
from headrace.sdk.transport import Query, Transport, segment

CHUNK_BYTES: Final = 32 * 1024 * 1024
"""Bytes per request: the server responds when they are on its disk."""
_BLOCK_BYTES: Final = 1024 * 1024
_TUS: Final = {"Tus-Resumable": "1.0.0"}
_PATIENCE: Final = 8
"""Consecutive failures, without a byte of progress, before giving up: about 25 s."""


class Uploader:
    """Resumable uploader for one folder, one file at a time."""

    def __init__(self, transport: Transport, path: str, query: Query, progress: Callable[[int, int], None]) -> None:
        self._transport = transport
        self._path = path
        self._query = query
        self._progress = progress

    def upload(
        self,
        source: Path | bytes,
        path: str,
        *,
        resume: str | None,
        on_created: Callable[[str], None],
        landed: Callable[[int], bool],
    ) -> None:
        """Upload all of `source`. `landed(size)` returns True if the complete file is in the folder; called after a
        lost response.
        """
        with _opened(source) as file:
            digest, size = _measure(file)
            upload_id, offset = self._found(resume, size)
            if upload_id is None:
                changed = "" if isinstance(source, bytes) else seconds_of(source)
                upload_id = self._create(path, size, digest, changed)
                on_created(upload_id)
            self._progress(offset, size)
            if size or upload_id == resume:  # an empty file is complete once its upload is created
                self._send(file, upload_id, offset, size, landed)

    def _found(self, resume: str | None, size: int) -> tuple[str | None, int]:
        """Return the upload to resume and its offset, or (None, 0) if it expired or is of another file."""
        if resume is None:
            return None, 0
        try:
            offset, length = self._offset(resume)
        except ApiError as error:
            if error.status in {404, 410}:
                return None, 0
            raise
        return (resume, offset) if length == size else (None, 0)

    def _create(self, path: str, size: int, digest: str, changed: str) -> str:
        metadata = ",".join(
            f"{key} {base64.b64encode(value.encode()).decode()}"
            for key, value in ({"path": path, "sha256": digest} | ({"mtime": changed} if changed else {})).items()
        )
        headers = {**_TUS, "Upload-Length": str(size), "Upload-Metadata": metadata}
        answer = self._transport.send("POST", self._path, query=self._query, headers=headers)
        # Only the id is taken from Location: the key is sent to the caller's URL only.
        upload_id = answer.headers.get("Location", "").partition("?")[0].rstrip("/").rpartition("/")[2]
        if not upload_id:
            raise UnexpectedAnswerError("the server made an upload without a Location")
        return str(upload_id)

    def _send(self, file: BinaryIO, upload_id: str, offset: int, size: int, landed: Callable[[int], bool]) -> None:
        failures = 0
        while True:
            try:
                if failures:
                    offset = self._offset(upload_id)[0]
                    self._progress(offset, size)
                # an empty one if all data was received: it completes the upload
                offset = self._patch(file, upload_id, offset, size)
                failures = 0
                if offset == size:
                    return
            except (UnreachableError, AnswerLostError) as error:
                failures = self._after_failure(failures, error, upload_id)
            except ApiError as error:
                if error.status == 404 and failures and landed(size):
                    self._progress(size, size)  # the response to the last chunk was lost, not the chunk
                    return
                if error.status not in {409, 423, 502, 503, 504}:
                    raise
                failures = self._after_failure(failures, error, upload_id)

    def _after_failure(self, failures: int, error: Exception, upload_id: str) -> int:
        if failures >= _PATIENCE:
            raise TransferError(f"the upload stopped: {error}", upload_id=upload_id) from error
        self._transport.sleep(min(0.1 * 2**failures, 5.0))
        return failures + 1

    def _patch(self, file: BinaryIO, upload_id: str, offset: int, size: int) -> int:
        length = min(CHUNK_BYTES, size - offset)

        def blocks() -> Iterator[bytes]:
            file.seek(offset)
            sent = 0
            while sent < length:
                block = file.read(min(_BLOCK_BYTES, length - sent))
                if not block:
                    raise TransferError("the file became shorter while it was uploaded", upload_id=upload_id)
                yield block
                sent += len(block)
                self._progress(offset + sent, size)

        headers = {
            **_TUS,
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(length),
        }
        answer = self._transport.send(
            "PATCH", self._one(upload_id), query=self._query, content=blocks(), headers=headers
        )
        arrived = _number(answer.headers.get("Upload-Offset"))
        if not offset < arrived <= size and not offset == arrived == size:
            raise UnexpectedAnswerError(f"the server says offset {arrived} after bytes {offset} to {offset + length}")
        return arrived

    def _offset(self, upload_id: str) -> tuple[int, int]:
        headers = self._transport.send("HEAD", self._one(upload_id), query=self._query, headers=_TUS).headers
        return _number(headers.get("Upload-Offset")), _number(headers.get("Upload-Length"))

    def _one(self, upload_id: str) -> str:
        return f"{self._path}/{segment(upload_id)}"


def _number(value: str | None) -> int:
    if value is None or not value.isdigit():
        raise UnexpectedAnswerError(
            f"the server says {value!r} where a number of bytes is expected; does it speak tus 1.0?"
        )
    return int(value)


def _opened(source: Path | bytes) -> AbstractContextManager[BinaryIO]:
    return BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _measure(file: BinaryIO) -> tuple[str, int]:
    """Return SHA-256 (hex) and size in bytes."""
    digest = hashlib.sha256()
    while block := file.read(1024 * 1024):
        digest.update(block)
    return digest.hexdigest(), file.tell()
