"""Views of model folders and their entries."""

from __future__ import annotations

from datetime import timedelta

from headrace.common.contracts.http.folders import FileView, FolderView, TrashedFolderView
from headrace.manager.domain.records.folders import FileEntry, Folder, TrashedFolder


def folder_view(folder: Folder) -> FolderView:
    """Return a folder."""
    return FolderView(
        id=folder.id,
        name=folder.name,
        project_id=folder.project_id,
        usage_mode=folder.usage_mode,
        created_at=folder.created_at,
        source=folder.source,
    )


def trashed_view(trashed: TrashedFolder, *, kept_for: timedelta) -> TrashedFolderView:
    """Return a deleted folder."""
    return TrashedFolderView(
        id=trashed.folder.id,
        name=trashed.folder.name,
        project_id=trashed.folder.project_id,
        usage_mode=trashed.folder.usage_mode,
        stored_bytes=trashed.usage.bytes,
        stored_files=trashed.usage.files,
        deleted_at=trashed.trashed_at,
        deleted_by=trashed.trashed_by,
        purged_at=trashed.trashed_at + kept_for,
    )


def file_view(entry: FileEntry, etag: str | None = None) -> FileView:
    """Return a folder's entry."""
    return FileView(
        path=entry.path, kind=entry.kind, size_bytes=entry.size_bytes, modified_at=entry.modified_at, etag=etag
    )
