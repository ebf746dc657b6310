"""What a transfer of a tree needs of a folder's files: the calls of `Folders`, as a protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from headrace.common.contracts.http.folders import FileView, RefusedEntry
from headrace.sdk.archives import DownloadItem, UploadItem


class FolderFiles(Protocol):
    """Lists, uploads and downloads files of a folder, given by its id."""

    def files(
        self, folder: object, path: str = "", *, recursive: bool = False, everything: bool = False
    ) -> Iterator[FileView]:
        """Yield the entries of a directory."""
        ...

    def upload(
        self,
        folder: object,
        source: Path | bytes,
        path: str,
        *,
        progress: Callable[[int, int], None] | None = None,
        resume: str | None = None,
        on_created: Callable[[str], None] | None = None,
    ) -> None:
        """Upload one file."""
        ...

    def upload_small(
        self, folder: object, files: Iterable[UploadItem], *, directories: Sequence[str] = ()
    ) -> Iterator[RefusedEntry]:
        """Upload many small files; yield those that were refused."""
        ...

    def download(
        self, folder: object, path: str, to: Path, *, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Download one file."""
        ...

    def download_small(self, folder: object, files: Iterable[DownloadItem]) -> Iterator[RefusedEntry]:
        """Download many small files; yield those that failed."""
        ...
