"""Views of model folders and their entries."""

from __future__ import annotations

from headrace.common.contracts.http.folders import FileView, FolderView
from headrace.manager.domain.records.folders import FileEntry, Folder


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


def file_view(entry: FileEntry) -> FileView:
    """Return a folder's entry."""
    return FileView(path=entry.path, kind=entry.kind, size_bytes=entry.size_bytes, modified_at=entry.modified_at)
