"""Tree upload: small files many per request, large ones one by one, each whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from headrace.common.contracts.http.folders import FolderView, RefusedEntry
from headrace.sdk.archives import BATCH_FILES, SMALL_BYTES, UploadItem, batches
from headrace.sdk.errors import ApiError
from headrace.sdk.trees.files import FolderFiles
from headrace.sdk.trees.jobs import Job, Progress, TransferState, run
from headrace.sdk.trees.plan import plan_upload
from headrace.sdk.trees.results import LeftOut, ResumeStore, TreeFile, TreeProgress, TreeResult, microseconds

_FEW_DIRECTORIES: Final = 20
"""Up to so many directories are listed one by one, else the whole folder."""
_NOT_LISTED: Final = {404, 409}
"""Listing failed because nothing is there yet, or it cannot be listed: nothing is skipped."""
_THIS_FILE: Final = {400, 409, 413, 460}
"""Refusals that concern one file only."""


class TreeUpload:
    """Upload of files and directories into a folder. `close` aborts its requests."""

    def __init__(
        self, folders: FolderFiles, folder: FolderView, url: str, resume: ResumeStore | None, close: Callable[[], None]
    ) -> None:
        self._folders, self._folder, self._url = folders, folder, url
        self._resume, self._close = resume, close
        self._left_out: list[LeftOut] = []

    def run(
        self,
        sources: Sequence[Path],
        to: str,
        *,
        only: Callable[[str], bool] | None,
        skip_same: bool,
        progress: TreeProgress | None,
        parallel: int,
    ) -> TreeResult:
        """Upload everything at `sources`. Raises TreeError before anything is sent, and the error that ends the upload."""
        plan = plan_upload(sources, to, only)
        self._left_out = plan.left_out
        there = self._existing(plan.files, to) if skip_same and plan.files else set()
        files = [file for file in plan.files if file.path not in there]
        if progress is not None:
            progress.begin(sum(file.size_bytes for file in files))
        run(self._jobs(files, plan.directories), progress, parallel=parallel, close=self._close)
        missing = {row.path for row in self._left_out}
        return TreeResult(
            files=tuple(file for file in files if file.path not in missing),
            same=tuple(file for file in plan.files if file.path in there),
            directories=tuple(path for path in plan.directories if path not in missing),
            left_out=tuple(self._left_out),
        )

    def _existing(self, files: Sequence[TreeFile], to: str) -> set[str]:
        """Return the paths of files that exist in the folder with the same size and modification time."""
        parents = {file.path.rpartition("/")[0] for file in files}
        few = len(parents) <= _FEW_DIRECTORIES
        there: dict[str, tuple[int, int]] = {}
        wanted = {file.path for file in files}
        for parent in sorted(parents) if few else [to.strip("/")]:
            try:
                for view in self._folders.files(self._folder.id, parent, recursive=not few):
                    if view.kind == "file" and view.path in wanted:
                        there[view.path] = view.size_bytes, microseconds(view.modified_at)
            except ApiError as error:
                if error.status not in _NOT_LISTED:
                    raise
        return {file.path for file in files if there.get(file.path) == (file.size_bytes, file.modified_ns)}

    def _jobs(self, files: Sequence[TreeFile], directories: Sequence[str]) -> list[Job]:
        few = [UploadItem(file.local, file.path, file.size_bytes) for file in files if file.size_bytes <= SMALL_BYTES]
        starts = range(0, len(directories), BATCH_FILES)
        return [
            *(partial(self._small, batch) for batch in batches(few)),
            *(partial(self._large, file) for file in files if file.size_bytes > SMALL_BYTES),
            *(partial(self._make, directories[start : start + BATCH_FILES]) for start in starts),
        ]

    def _small(self, batch: Sequence[UploadItem], running: TransferState) -> None:
        running.check()
        self._refused(list(self._folders.upload_small(self._folder.id, batch)))
        for file in batch:
            running.tell(file.path, file.size_bytes, file.size_bytes)

    def _make(self, directories: Sequence[str], running: TransferState) -> None:
        running.check()
        self._refused(list(self._folders.upload_small(self._folder.id, (), directories=directories)))

    def _refused(self, rows: Sequence[RefusedEntry]) -> None:
        self._left_out.extend(LeftOut(row.path, f"found {row.found}; allowed: {row.allowed}") for row in rows)

    def _large(self, file: TreeFile, running: TransferState) -> None:
        running.one(file, self._one)

    def _one(self, file: TreeFile, progress: Progress) -> None:
        progress(0, file.size_bytes)
        try:
            if self._resume is None:
                self._folders.upload(self._folder.id, file.local, file.path, progress=progress)
            else:
                self._resumed(file, progress, self._resume)
        except ApiError as error:
            if error.status not in _THIS_FILE:
                raise
            self._left_out.append(LeftOut(file.path, str(error)))
        except OSError as error:
            self._left_out.append(LeftOut(file.path, f"it cannot be read: {error.strerror}"))

    def _resumed(self, file: TreeFile, progress: Progress, store: ResumeStore) -> None:
        key = resume_key(self._url, self._folder, file)
        try:
            self._folders.upload(
                self._folder.id,
                file.local,
                file.path,
                progress=progress,
                resume=store.find(key),
                on_created=lambda upload_id: store.remember(key, upload_id),
            )
        except (ApiError, OSError) as error:
            if not isinstance(error, ApiError) or error.status in _THIS_FILE:
                store.forget(key)
            raise
        store.forget(key)


def resume_key(url: str, folder: FolderView, file: TreeFile) -> str:
    """Return the key of one upload in the ResumeStore; it differs once the file changed. Raises OSError."""
    here = file.local.stat()
    return json.dumps([url, str(folder.id), file.path, str(file.local.absolute()), here.st_size, here.st_mtime_ns])
