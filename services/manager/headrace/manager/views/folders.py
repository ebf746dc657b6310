"""Views of model folders and their entries."""

from __future__ import annotations

from datetime import timedelta

from headrace.common.contracts.http.folders import FileView, FolderUser, FolderView, TrashedFolderView
from headrace.common.contracts.vocabulary import FolderPermission
from headrace.manager.domain.entity_tags import tag_of_folder
from headrace.manager.domain.records.folders import FileEntry, Folder, FolderFacts, FolderUsers, TrashedFolder


def folder_view(
    folder: Folder, facts: FolderFacts, permission: FolderPermission, *, shared: bool, users: FolderUsers | None = None
) -> FolderView:
    """Return a folder, as a caller sees it: with what permission, and whether because it is shared."""
    return FolderView(
        id=folder.id,
        name=folder.name,
        project_id=folder.project_id,
        usage_mode=folder.usage_mode,
        created_at=folder.created_at,
        source=folder.source,
        etag=tag_of_folder(folder),
        project=facts.project,
        size_bytes=facts.usage.bytes,
        files=facts.usage.files,
        permission=permission,
        shared_to_caller=shared,
        shared_with=None if shared else facts.shared_with,
        shared_with_all=facts.shared_with_all,
        used_by=users and tuple(FolderUser(service=service, project=project) for service, project in users.seen),
        used_by_count=users and users.count,
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
