"""Model folders and the files in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from headrace.common.contracts.http.folders import (
    CreateFolder,
    FileView,
    FolderView,
    RefusedEntry,
    UploadView,
    UsageMode,
)
from headrace.sdk.archives import BATCH_FILES, Small, Wanted, batches, fetch_archive, send_archive
from headrace.sdk.downloads import download
from headrace.sdk.transport import Query, Transport, segment
from headrace.sdk.uploads import Uploader

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


class Folders:
    """`/v1/folders`. A name is unique in its project: give `project` (name or id) where it is not clear which is meant."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, body: CreateFolder) -> FolderView:
        """Create an empty folder."""
        return self._transport.one(FolderView, "POST", "/v1/folders", body=body)

    def list(self, *, project: str | None = None, usage_mode: UsageMode | None = None) -> Iterator[FolderView]:
        """Yield the folders that the caller may see."""
        return self._transport.items(FolderView, "/v1/folders", {"project": project, "usage_mode": usage_mode})

    def get(self, folder: object, *, project: str | None = None) -> FolderView:
        """Return one folder."""
        return self._transport.one(FolderView, "GET", _of(folder), query=_in(project))

    def delete(self, folder: object, *, project: str | None = None, force: bool = False) -> None:
        """Delete a folder and its files. ApiError `in-use` while a live service uses it, or (without `force`) an older revision."""
        query: Query = {**_in(project), "force": "true" if force else None}
        self._transport.send("DELETE", _of(folder), query=query)

    def files(
        self, folder: object, path: str = "", *, recursive: bool = False, project: str | None = None
    ) -> Iterator[FileView]:
        """Yield what lies in the directory `path`, with `recursive` also below."""
        query: Query = {"path": path or None, "recursive": "true" if recursive else None, "project": project}
        return self._transport.items(FileView, f"{_of(folder)}/files", query)

    def read(self, folder: object, path: str, *, project: str | None = None) -> bytes:
        """Return the content of a small file; use download() for large ones."""
        return self._transport.send("GET", _file(folder, path), query=_in(project)).content

    def delete_file(self, folder: object, path: str, *, project: str | None = None) -> None:
        """Delete a file, or a directory with what is in it."""
        self._transport.send("DELETE", _file(folder, path), query=_in(project))

    def download(
        self, folder: object, path: str, to: Path, *, project: str | None = None, progress: Progress | None = None
    ) -> None:
        """Write the file to `to`, which is there whole or not at all (an earlier one stays until then).

        A broken connection is continued where it broke. Raises TransferError when it cannot be completed, OSError for the disk.
        """
        download(self._transport, _file(folder, path), _in(project), to, progress or _ignore)

    def upload(
        self,
        folder: object,
        source: Path | bytes,
        path: str,
        *,
        project: str | None = None,
        progress: Progress | None = None,
        resume: str | None = None,
        on_created: Callable[[str], None] | None = None,
    ) -> None:
        """Put `source` (a file, or bytes) at `path` in the folder; what was there is replaced once all has arrived.

        A broken connection is continued where it broke. To continue in a later process, keep the upload id that
        `on_created` is called with, and give it as `resume` (an upload that is gone there starts anew).
        Raises TransferError (it has the upload id) when the server stays away or the file changes meanwhile.
        """
        uploader = Uploader(self._transport, f"{_of(folder)}/uploads", _in(project), progress or _ignore)
        uploader.upload(
            source,
            path,
            resume=resume,
            on_created=on_created or (lambda _: None),
            landed=self._landed(folder, path, project),
        )

    def upload_small(
        self,
        folder: object,
        files: Iterable[Small],
        *,
        directories: Sequence[str] = (),
        project: str | None = None,
        progress: Callable[[Sequence[Small]], None] | None = None,
    ) -> Iterator[RefusedEntry]:
        """Put many small files into the folder, up to 500 in a request, and yield those that were refused, with the reason.

        `directories` are created, also when nothing lies in them. `progress` gets the files of each request that was answered.
        Each file is there whole or not at all. Raises TransferError when the server stays away; doing it again is harmless.
        """
        path, query = f"{_of(folder)}/archive", _in(project)
        for start in range(0, len(directories), BATCH_FILES):
            some = directories[start : start + BATCH_FILES]
            yield from send_archive(self._transport, path, query, (), some).refused
        for batch in batches(files):
            yield from send_archive(self._transport, path, query, batch, ()).refused
            if progress is not None:
                progress(batch)

    def download_small(
        self,
        folder: object,
        files: Iterable[Wanted],
        *,
        project: str | None = None,
        progress: Callable[[Sequence[Wanted]], None] | None = None,
    ) -> Iterator[RefusedEntry]:
        """Fetch many small files, up to 500 in a request, and yield those that did not come, with the reason.

        Each is at its place here whole or not at all, with its time of change; its directory has to be there. `progress` gets the
        files of each request that was answered. Raises TransferError when the server stays away, OSError for the disk.
        """
        for batch in batches(files):
            yield from fetch_archive(self._transport, f"{_of(folder)}/archive/selection", _in(project), batch)
            if progress is not None:
                progress(batch)

    def uploads(self, folder: object, *, project: str | None = None) -> Iterator[UploadView]:
        """Yield the uploads into the folder that are not complete, oldest first; each counts for the project's quota."""
        return self._transport.items(UploadView, f"{_of(folder)}/uploads", _in(project))

    def cancel_upload(self, folder: object, upload_id: str, *, project: str | None = None) -> None:
        """Drop an unfinished upload and what arrived of it."""
        path = f"{_of(folder)}/uploads/{segment(upload_id)}"
        self._transport.send("DELETE", path, query=_in(project), headers={"Tus-Resumable": "1.0.0"})

    def _landed(self, folder: object, path: str, project: str | None) -> Callable[[int], bool]:
        def landed(size_bytes: int) -> bool:
            parent, _, name = path.strip("/").rpartition("/")
            found = self.files(folder, parent, project=project)
            return any(f.path.rsplit("/", 1)[-1] == name and f.size_bytes == size_bytes for f in found)

        return landed


def _ignore(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


def _of(folder: object) -> str:
    return f"/v1/folders/{segment(folder)}"


def _file(folder: object, path: str) -> str:
    return f"{_of(folder)}/files/{'/'.join(segment(part) for part in path.strip('/').split('/'))}"


def _in(project: str | None) -> Query:
    return {"project": project}
