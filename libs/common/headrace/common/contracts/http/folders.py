"""Model folders. Uploads speak tus 1.0 at `/v1/folders/{id}/uploads` (core and creation; `Upload-Metadata: path <base64>`)."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field, NonNegativeInt, StringConstraints

from headrace.common.contracts.http.page import Body, Change, Changeable, Reference, View
from headrace.common.contracts.ids import FolderId, ProjectId, Slug
from headrace.common.contracts.vocabulary import FileKind, FolderPermission, UsageMode


class CreateFolder(Body):
    """An empty folder. `project` is a name or an id; may be left out when the caller has one project."""

    name: Slug
    project: Reference | None = None
    usage_mode: UsageMode = "model"


class UpdateFolder(Change):
    """Changes of a folder. What mounts it goes on under the new name."""

    name: Slug


class FolderUser(View):
    """A service that mounts a folder."""

    service: str
    project: str


class FolderView(Changeable):
    """A folder."""

    id: FolderId
    name: str
    project_id: ProjectId
    usage_mode: UsageMode
    created_at: AwareDatetime
    source: str | None = None
    """Model URI whose files it holds: imports alone change it, and it leaves when nothing needs it."""
    project: str = ""
    """The project's name. Other projects name the folder `<project>/<name>`."""
    size_bytes: NonNegativeInt = 0
    """As it is counted for the project's quota."""
    files: NonNegativeInt = 0
    """Files and directories."""
    permission: FolderPermission = "read"
    """What the caller may do with its files."""
    shared_to_caller: bool = False
    """Whether the caller sees it because it is shared, and is no member of its project."""
    shared_with: NonNegativeInt | None = None
    """With how many projects it is shared, and how many invitations are open; null where `shared_to_caller`."""
    shared_with_all: bool = False
    """Whether all projects may read it."""
    used_by: tuple[FolderUser, ...] | None = None
    """Services that mount it by their current revision, or the one that serves: of those that the caller may see the first 20.
    In the response to GET of one folder only."""
    used_by_count: NonNegativeInt | None = None
    """All of these services, also those that the caller may not see. Likewise."""


class TrashedFolderView(View):
    """A deleted folder that can be restored. It counts for the project's quota."""

    id: FolderId
    name: str
    project_id: ProjectId
    usage_mode: UsageMode
    stored_bytes: NonNegativeInt
    stored_files: NonNegativeInt
    """Files and directories."""
    deleted_at: AwareDatetime
    deleted_by: str
    purged_at: AwareDatetime
    """When it is removed for good."""


class RestoreFolder(Body):
    """How a deleted folder comes back."""

    name: Slug | None = None
    """Another name than it had, for where that was given to another folder."""


class FileView(View):
    """A file or directory in a folder, on request also a link or special file; `path` is relative to the folder."""

    path: str
    kind: FileKind
    """Links and special files (pipes, sockets, devices), which containers may leave, are neither read nor followed."""
    size_bytes: NonNegativeInt
    modified_at: AwareDatetime
    etag: str | None = None
    """Entity tag of a file's content, in answers about one file."""


_Path = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class CreateDirectory(Body):
    """A directory in a folder; missing ones above it are created."""

    path: _Path


class Move(Body):
    """A file, or a directory with its content, and the path that it gets in the same folder. Nothing is replaced."""

    path: _Path
    to: _Path


class UploadView(View):
    """An incomplete resumable upload. It counts for the project's quota with its whole size."""

    id: UUID
    path: str
    size_bytes: NonNegativeInt
    received_bytes: NonNegativeInt
    created_by: str
    created_at: AwareDatetime
    written_at: AwareDatetime
    """Time of the last received data."""
    expires_at: AwareDatetime
    """Expiry, if no more data is received."""


class Selection(Body):
    """Files to download in one archive."""

    paths: Annotated[
        tuple[_Path, ...],
        Field(min_length=1, max_length=1000),
    ]


class RefusedEntry(View):
    """An entry of an archive that was left out, and why."""

    path: str
    found: str
    allowed: str


class ArchiveReceipt(View):
    """Result of an uploaded archive. Refused entries beyond 1,000 are only counted."""

    files: NonNegativeInt
    directories: NonNegativeInt
    bytes: NonNegativeInt
    refused_count: NonNegativeInt
    refused: tuple[RefusedEntry, ...]
