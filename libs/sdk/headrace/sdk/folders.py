"""Model folders and the files in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.common.contracts.http.folder_shares import (
    AcceptFolder,
    FolderInvitationView,
    FolderShareView,
    ShareFolder,
)
from headrace.common.contracts.http.folders import (
    CreateDirectory,
    CreateFolder,
    FileView,
    FolderView,
    Move,
    RefusedEntry,
    RestoreFolder,
    TrashedFolderView,
    UpdateFolder,
    UploadView,
)
from headrace.common.contracts.vocabulary import DefinitionKind, UsageMode
from headrace.sdk.archives import BATCH_FILES, DownloadItem, UploadItem, batches, fetch_archive, send_archive
from headrace.sdk.downloads import download
from headrace.sdk.transport import Query, Transport, segment
from headrace.sdk.trees.download import TreeDownload
from headrace.sdk.trees.jobs import PARALLEL
from headrace.sdk.trees.results import ResumeStore, TreeProgress, TreeResult
from headrace.sdk.trees.upload import TreeUpload
from headrace.sdk.uploads import Uploader

if TYPE_CHECKING:
    from headrace.common.contracts.http.definitions import DefinitionCheck
    from headrace.common.contracts.manifest import FolderManifest

Progress = Callable[[int, int], None]
"""Called with the bytes transferred and the total."""


class Folders:
    """Client of `/v1/folders`: model folders and their files.

    A name is unique in its project: give `project` (name or id) if the name alone is ambiguous. A folder that is shared by another
    project is named `<project>/<name>`.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, body: CreateFolder) -> FolderView:
        """Create an empty folder."""
        return self._transport.create(FolderView, "/v1/folders", body)

    def list(
        self, *, project: str | None = None, usage_mode: UsageMode | None = None, shared: bool = False
    ) -> Iterator[FolderView]:
        """Yield the folders of the caller's projects (or of `project`); with `shared` those of others that are shared with these."""
        query: Query = {"project": project, "usage_mode": usage_mode, "shared": "true" if shared else None}
        return self._transport.items(FolderView, "/v1/folders", query)

    def get(self, folder: object, *, project: str | None = None) -> FolderView:
        """Return one folder."""
        return self._transport.one(FolderView, "GET", _of(folder), query=_in(project))

    def rename(
        self, folder: object, name: str, *, project: str | None = None, if_match: str | None = None
    ) -> FolderView:
        """Rename a folder; services that mount it go on with it."""
        body = UpdateFolder(name=name)
        return self._transport.one(FolderView, "PATCH", _of(folder), body=body, query=_in(project), if_match=if_match)

    def manifest(self, folder: object, *, project: str | None = None) -> FolderManifest:
        """Return all files of the folder as they are now, with size and SHA-256. ApiError `unavailable` with reason
        `folder-hashing` while the SHA-256 of files that were not uploaded through the API is being made.
        """
        from headrace.common.contracts.manifest import FolderManifest  # noqa: PLC0415 - see client.py

        return self._transport.one(FolderManifest, "GET", f"{_of(folder)}/manifest", query=_in(project))

    def check(
        self, folder: object, path: str, *, text: str | None = None, project: str | None = None
    ) -> DefinitionCheck:
        """Return what is wrong with a definition file of the folder, or with a `text` that is not saved there."""
        from headrace.common.contracts.http.definitions import (  # noqa: PLC0415 - see client.py
            CheckDefinition,
            DefinitionCheck,
        )

        body = CheckDefinition(path=path) if text is None else CheckDefinition(path=path, text=text)
        return self._transport.one(DefinitionCheck, "POST", f"{_of(folder)}/check", body=body, query=_in(project))

    def schema(self, kind: DefinitionKind) -> dict[str, Any]:
        """Return the JSON Schema of a definition file, for editors."""
        found: dict[str, Any] = json.loads(self._transport.send("GET", f"/v1/schemas/{segment(kind)}").content)
        return found

    def delete(
        self,
        folder: object,
        *,
        project: str | None = None,
        force: bool = False,
        purge: bool = False,
        if_match: str | None = None,
    ) -> None:
        """Delete a folder and its files. It can be restored from the trash for a while, except with `purge`. ApiError
        `in-use` while a live service uses it, or (without `force`) one of another project, or an older revision.
        """
        query: Query = {**_in(project), "force": "true" if force else None, "purge": "true" if purge else None}
        self._transport.send("DELETE", _of(folder), query=query, if_match=if_match)

    def trash(self, *, project: str | None = None) -> Iterator[TrashedFolderView]:
        """Yield the deleted folders that can be restored; each counts for its project's quota."""
        return self._transport.items(TrashedFolderView, "/v1/trash", _in(project))

    def restore(self, folder: object, *, name: str | None = None, project: str | None = None) -> FolderView:
        """Restore a deleted folder (name or id) with its files, with `name` under another name."""
        path, body = f"/v1/trash/{segment(folder)}/restore", RestoreFolder(name=name)
        return self._transport.one(FolderView, "POST", path, body=body, query=_in(project))

    def purge(self, folder: object, *, project: str | None = None) -> None:
        """Remove a deleted folder (name or id) and its files for good."""
        self._transport.send("DELETE", f"/v1/trash/{segment(folder)}", query=_in(project))

    def share(self, folder: object, body: ShareFolder, *, project: str | None = None) -> FolderShareView:
        """Share a folder with another project, or all; or invite a user to. `project`: the folder's."""
        return self._transport.create(FolderShareView, f"{_of(folder)}/shares", body, query=_in(project))

    def shares(self, folder: object, *, project: str | None = None) -> Iterator[FolderShareView]:
        """Yield with whom a folder is shared, and open invitations."""
        return self._transport.items(FolderShareView, f"{_of(folder)}/shares", _in(project))

    def unshare(self, folder: object, share: object, *, project: str | None = None) -> None:
        """End a share (by its id), or withdraw an invitation."""
        self._transport.send("DELETE", f"{_of(folder)}/shares/{segment(share)}", query=_in(project))

    def invitations(self) -> Iterator[FolderInvitationView]:
        """Yield the caller's open invitations to share folders with a project of his."""
        return self._transport.items(FolderInvitationView, "/v1/folder-invitations")

    def accept(self, invitation: object, body: AcceptFolder | None = None) -> FolderView:
        """Accept an invitation (by its id): the folder is shared with the project that `body` names, or the caller's only one."""
        path = f"/v1/folder-invitations/{segment(invitation)}/accept"
        return self._transport.one(FolderView, "POST", path, body=body or AcceptFolder())

    def decline(self, invitation: object) -> None:
        """Decline an invitation."""
        self._transport.send("DELETE", f"/v1/folder-invitations/{segment(invitation)}")

    def files(
        self,
        folder: object,
        path: str = "",
        *,
        recursive: bool = False,
        everything: bool = False,
        project: str | None = None,
    ) -> Iterator[FileView]:
        """Yield the entries of the directory `path`, with `recursive` also of its subdirectories; with `everything`
        also links and special files.
        """
        query: Query = {
            "path": path or None,
            "recursive": "true" if recursive else None,
            "all": "true" if everything else None,
            "project": project,
        }
        return self._transport.items(FileView, f"{_of(folder)}/files", query)

    def read(self, folder: object, path: str, *, project: str | None = None) -> bytes:
        """Return the content of a small file; use download() for large ones."""
        return self._transport.send("GET", _file(folder, path), query=_in(project)).content

    def read_tagged(self, folder: object, path: str, *, project: str | None = None) -> tuple[bytes, str]:
        """Return the content of a small file, and its entity tag, by which write() recognises that it is still there."""
        answer = self._transport.send("GET", _file(folder, path), query=_in(project))
        return answer.content, answer.headers.get("ETag", "").strip('"')

    def write(
        self,
        folder: object,
        path: str,
        content: bytes,
        *,
        if_match: str | None = None,
        only_new: bool = False,
        project: str | None = None,
    ) -> FileView:
        """Write a file of at most 1 MiB as a whole; return it with its entity tag.

        With `if_match` (an entity tag) only that content is replaced, with `only_new` nothing: ApiError
        `precondition-failed` otherwise, and nothing has changed.
        """
        headers = {"Content-Type": "application/octet-stream"} | ({"If-None-Match": "*"} if only_new else {})
        return self._transport.one(
            FileView,
            "PUT",
            _file(folder, path),
            query=_in(project),
            content=content,
            headers=headers,
            if_match=if_match,
        )

    def delete_file(self, folder: object, path: str, *, project: str | None = None) -> None:
        """Delete a file, or a directory with its content."""
        self._transport.send("DELETE", _file(folder, path), query=_in(project))

    def make_directory(self, folder: object, path: str, *, project: str | None = None) -> FileView:
        """Create a directory, and those above it; nothing happens if it is there."""
        body = CreateDirectory(path=path)
        return self._transport.one(FileView, "POST", f"{_of(folder)}/directories", body=body, query=_in(project))

    def move(self, folder: object, path: str, to: str, *, project: str | None = None) -> FileView:
        """Move a file, or a directory with its content, to another path of the folder. ApiError `conflict` where
        something is there.
        """
        body = Move(path=path, to=to)
        return self._transport.one(FileView, "POST", f"{_of(folder)}/moves", body=body, query=_in(project))

    def download(
        self, folder: object, path: str, to: Path, *, project: str | None = None, progress: Progress | None = None
    ) -> None:
        """Download a file to `to`, atomically (an existing file stays until then).

        An interrupted download is resumed. Raises TransferError if it cannot be completed, OSError for the local disk.
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
        """Upload `source` (a file, or bytes) to `path` in the folder; an existing file is replaced once the upload is
        complete.

        An interrupted upload is resumed. To resume in a later process, keep the upload id passed to `on_created`, and
        give it as `resume` (an upload that expired starts anew). Raises TransferError (with the upload id) if the
        server stays unreachable or the file changes meanwhile.
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
        files: Iterable[UploadItem],
        *,
        directories: Sequence[str] = (),
        project: str | None = None,
        progress: Callable[[Sequence[UploadItem]], None] | None = None,
    ) -> Iterator[RefusedEntry]:
        """Upload many small files, up to 500 per request, and yield those that were refused, with the reason.

        `directories` are created, also empty ones. `progress` gets the files of each answered request. Each file is
        written whole or not at all. Raises TransferError if the server stays unreachable; repeating the call is
        idempotent.
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
        files: Iterable[DownloadItem],
        *,
        project: str | None = None,
        progress: Callable[[Sequence[DownloadItem]], None] | None = None,
    ) -> Iterator[RefusedEntry]:
        """Download many small files, up to 500 per request, and yield those that failed, with the reason.

        Each is written whole or not at all, with its modification time; its local directory must exist. `progress` gets
        the files of each answered request. Raises TransferError if the server stays unreachable, OSError for the local
        disk.
        """
        for batch in batches(files):
            yield from fetch_archive(self._transport, f"{_of(folder)}/archive/selection", _in(project), batch)
            if progress is not None:
                progress(batch)

    def upload_tree(
        self,
        folder: object,
        sources: Path | Collection[Path],
        to: str = "",
        *,
        project: str | None = None,
        only: Callable[[str], bool] | None = None,
        skip_same: bool = True,
        resume: ResumeStore | None = None,
        progress: TreeProgress | None = None,
        parallel: int = PARALLEL,
    ) -> TreeResult:
        """Upload files, and the content of directories, below `to` in the folder; return what was sent, skipped and
        left out.

        Small files are sent many per request, large ones one by one, and with `resume` (for example a ResumeFile) the
        latter are resumed in a later process. `skip_same` skips files that exist with the same size and modification
        time. `only` is called with paths in the folder, and selects. A link to a file is sent as that file; other
        links, special files and what the folder refuses are left out, with the reason. Another failure (ApiError,
        TransferError, …) ends the upload; repeated, it sends the rest. Raises TreeError, before anything is sent, for
        missing sources, two that would become one file, and more than a million.
        """
        there = self._view(folder, project)
        with self._transport.another() as own:
            return TreeUpload(Folders(own), there, own.url, resume, own.close).run(
                [sources] if isinstance(sources, Path) else list(sources),
                to,
                only=only,
                skip_same=skip_same,
                progress=progress,
                parallel=parallel,
            )

    def download_tree(
        self,
        folder: object,
        to: Path,
        path: str = "",
        *,
        project: str | None = None,
        skip_same: bool = True,
        progress: TreeProgress | None = None,
        parallel: int = PARALLEL,
    ) -> TreeResult:
        """Download the folder, or the file or directory at `path`, into the directory `to`; return what was written,
        skipped and left out.

        Each file is written whole or not at all, with its modification time, by which `skip_same` recognises local
        copies. Links and special files, files deleted meanwhile, and files whose local path is taken by something else
        are left out, with the reason. Another failure (ApiError, TransferError, OSError of the disk) ends the download;
        repeated, it fetches the rest. Raises TreeError, before anything is fetched, if there is no `path`, if `to` is
        no directory, and for more than a million.
        """
        there = self._view(folder, project)
        with self._transport.another() as own:
            return TreeDownload(Folders(own), there, own.close).run(
                path, to, skip_same=skip_same, progress=progress, parallel=parallel
            )

    def _view(self, folder: object, project: str | None) -> FolderView:
        return folder if isinstance(folder, FolderView) else self.get(folder, project=project)

    def uploads(self, folder: object, *, project: str | None = None) -> Iterator[UploadView]:
        """Yield the incomplete uploads into the folder, oldest first; each counts for the project's quota."""
        return self._transport.items(UploadView, f"{_of(folder)}/uploads", _in(project))

    def cancel_upload(self, folder: object, upload_id: str, *, project: str | None = None) -> None:
        """Delete an incomplete upload and its data."""
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
